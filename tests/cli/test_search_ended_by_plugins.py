"""Plugins that end the process of a search, or never return: it goes on after them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ending_plugins import install_endings
from run_command import Ended
from small_experiment import TRIAL, history, space, tuner, write

# The command; the watch of hanging trials goes off a second after one hangs, however long the machine takes until then.
COMMAND = """
import faulthandler
watch = faulthandler.dump_traceback_later

def start(limit, **options):
    faulthandler.time_is_up = lambda: watch(1, **options)
    watch(limit, **options)

faulthandler.dump_traceback_later = start
from autoad_nni.cli import main
main()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_endings(tmp_path_factory.mktemp("site"))


def experiment(folder: Path, distances: list[str], **changes: object) -> Path:
    """A trial for each of the distances."""
    values = {label: [entry["_value"][0]] for label, entry in space().items()}
    search_space = space(**{**values, "distance": distances})
    chosen = {"searchSpace": search_space, "tuner": tuner(strategy="grid_search"), "maxTrialNumber": len(distances)}
    return write(folder / "x.yml", **{**chosen, **changes})


def search(file: Path, site: Path, *more: str) -> Ended:
    words = ["search", str(file), "--output", str(file.with_name("run")), *more]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(site),
        "MARKER": str(file.with_name("marker")),
    }
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, env=environment, timeout=200
    )
    return Ended(process.returncode, process.stdout, process.stderr)


@pytest.mark.parametrize(
    "codes", [{"exits": 7}, pytest.param({"exits": 7, "killed": -9}, marks=pytest.mark.slow)], ids=" ".join
)
def test_a_trial_that_ends_the_process_twice_is_crashed_and_the_search_goes_on(
    site: Path, tmp_path: Path, codes: dict[str, int]
) -> None:
    file = experiment(tmp_path, [*codes, "l2"])
    ended = [search(file, site).code]
    while ended[-1] != 0 and len(ended) < 10:
        ended.append(search(file, site, "--resume").code)
    assert sorted(ended) == sorted([0, *codes.values(), *codes.values()])
    records = history(tmp_path / "run")
    crashed = dict.fromkeys(codes, "crashed")
    assert {line["sample"]["distance"]: line["verdict"] for line in records} == {**crashed, "l2": "ok"}
    assert [line["number"] for line in records] == list(range(len(codes) + 1))
    assert all("ended twice while it ran" in line["detail"] for line in records if line["verdict"] == "crashed")


@pytest.mark.parametrize("name", ["sleeps", "loops"])
@pytest.mark.slow
def test_a_trial_that_hangs_ends_the_process_with_one_line_and_is_crashed_the_second_time(
    site: Path, tmp_path: Path, name: str
) -> None:
    file = experiment(tmp_path, [name, "l2"], trialCommand=f"{TRIAL} --max-seconds 60")
    ended = [search(file, site)]
    while ended[-1].code != 0 and len(ended) < 5:
        ended.append(search(file, site, "--resume"))
    assert [each.code for each in ended] == [1, 1, 0]
    for each in ended[:2]:
        assert each.err.count("\n") == 1 and each.err.startswith("autoad-nni: trial ")
        assert " has taken 150 s with --max-seconds 60, and hangs, at File " in each.err
        assert {"sleeps": " in map. Expected", "loops": " in match. Expected"}[name] in each.err
        assert "The same command with --resume goes on" in each.err
    verdicts = {line["sample"]["distance"]: line["verdict"] for line in history(tmp_path / "run")}
    assert verdicts == {name: "crashed", "l2": "ok"}
