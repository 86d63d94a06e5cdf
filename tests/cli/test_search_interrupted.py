from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from ending_plugins import install_endings
from faults.ended_search import left_by
from installed import seen
from named_space import install_named_space
from run_command import command, start
from safetensors.torch import load_file
from small_experiment import history, space, tuner, write

import autoad_nni as ad
from autoad_nni.data import load_task
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.winner import load_members
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.trial.run import make_scorer

TRIALS = 5


class Chain(NamedTuple):
    """A search that was killed, resumed, stopped with Ctrl-C and resumed to its end."""

    run: Path
    killed: int
    after_kill: list[dict[str, object]]
    stopped: tuple[int, str]
    after_stop: list[dict[str, object]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_endings(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    return write(folder / "pauses.yml", searchSpace=space(distance=["pauses"]), maxTrialNumber=TRIALS)


def interrupt(site: Path, signal_number: int, after: int, *words: object) -> tuple[int, str]:
    """Search, and send the signal in the middle of the trial after so many; return exit code and stderr."""
    run = Path(str(words[words.index("--output") + 1]))
    marker = run.with_name(f"{after} trials have ended")
    paused = {"PAUSE_AFTER": str(after), "HISTORY": str(run / "history.jsonl"), "MARKER": str(marker)}
    with mock.patch.dict(os.environ, paused):
        process = start("search", *words, python_path=site)
    deadline = time.monotonic() + 200
    while not marker.exists():
        assert process.poll() is None, f"ended by itself: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal_number)
    _, err = process.communicate(timeout=200)
    return process.returncode, err


@pytest.fixture(scope="module")
def chain(site: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    run = tmp_path_factory.mktemp("runs") / "chain"
    words = [file, "--output", run]
    killed, _ = interrupt(site, signal.SIGKILL, 1, *words)
    after_kill = history(run)
    stopped = interrupt(site, signal.SIGINT, 3, *words, "--resume")
    after_stop = history(run)
    with seen(site):
        ended = command("search", *words, "--resume")
    assert (ended.code, ended.err) == (0, "")
    return Chain(run, killed, after_kill, stopped, after_stop)


def test_both_interruptions_came_in_the_middle(chain: Chain) -> None:
    assert chain.killed == -signal.SIGKILL
    assert (len(chain.after_kill), len(chain.after_stop)) == (1, 3)


def test_ctrl_c_exits_with_130_and_says_how_to_go_on(chain: Chain) -> None:
    assert chain.stopped == (130, "stopped. The same command with --resume goes on.\n")


def test_what_was_done_before_an_interruption_stays(chain: Chain) -> None:
    whole = history(chain.run)
    assert whole[: len(chain.after_stop)] == chain.after_stop
    assert chain.after_stop[: len(chain.after_kill)] == chain.after_kill


def test_the_end_is_that_of_a_search_without_interruptions(
    chain: Chain, site: Path, file: Path, tmp_path: Path
) -> None:
    """Same samples, same rewards, same weights: three processes against one."""
    with seen(site):
        assert command("search", file, "--output", tmp_path / "straight").code == 0
    assert history(chain.run) == history(tmp_path / "straight")
    weights = [(run / "best.safetensors").read_bytes() for run in (chain.run, tmp_path / "straight")]
    assert weights[0] == weights[1]
    journals = [
        (run / "state" / "journal.jsonl").read_text().splitlines() for run in (chain.run, tmp_path / "straight")
    ]
    kinds = [Counter(json.loads(line)["event"] for line in journal) for journal in journals]
    assert kinds[1] == {"search": 1, "submit": TRIALS, "end": TRIALS}
    assert kinds[0] == {**kinds[1], "again": 2, "stop": 1}, "killed once, stopped on purpose once"
    assert not list(chain.run.glob(".*")), "no temporary file is left"


@pytest.mark.slow
def test_sigterm_in_the_middle_stops_as_ctrl_c_does(site: Path, file: Path, tmp_path: Path) -> None:
    words = [file, "--output", tmp_path / "run"]
    stopped = interrupt(site, signal.SIGTERM, 1, *words)
    assert stopped == (130, "stopped. The same command with --resume goes on.\n")
    assert not list((tmp_path / "run").rglob(".*"))
    with seen(site):
        assert command("search", *words, "--resume", "--trials", "3").code == 0


@pytest.mark.slow
def test_sigterm_while_images_are_made_leaves_no_half_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The textures are planted at the first use, in a hidden folder beside their place."""
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path / "cache"))
    trial = "autoad-nni trial --data textures --category brick --patch 16 --epochs 1 --threads 1"
    process = start("search", write(tmp_path / "x.yml", trialCommand=trial), "--output", tmp_path / "run")
    deadline = time.monotonic() + 200
    while not list((tmp_path / "cache").glob(".*/*/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)
    assert process.returncode == 130
    assert list((tmp_path / "cache").iterdir()) == [] and not (tmp_path / "run").exists()


def check_that_it_loads(run: Path) -> None:
    """The winner, if there is one: each member is the model of its trial."""
    if not (run / "best.json").exists():
        return
    model = ad.load(run)
    record = BestRecord.read(run)
    task, settings = load_task(record.request.task), record.request.settings
    detectors = load_members(record.members, run / "best.safetensors", channels=task.channels, settings=settings)
    for member, detector in zip(record.members, detectors, strict=True):
        assert evaluate(make_scorer(detector, task.train[0], settings.scoring), task.validation) == member.validation
    numbers = {name.partition("/")[0] for name in load_file(run / "best.safetensors")}
    assert numbers == {str(member.number) for member in record.members}
    if record.validation is not None:
        assert evaluate(model.scorer, task.validation) == record.validation


@pytest.mark.slow
def test_a_kill_at_any_write_leaves_a_winner_that_loads_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder as it is before each file is replaced, removed or lengthened is what a kill would leave."""
    trial = "autoad-nni trial --data digits --abnormal photos --limit 800 --epochs 1 --threads 1 --seed 3 --members 2"
    file = write(
        tmp_path / "x.yml",
        trialCommand=f"{trial} --space named",
        tuner=tuner(space="named", known=True),
        maxTrialNumber=7,
    )
    run, left = tmp_path / "run", tmp_path / "left"
    words = ("search", file, "--output", run)

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            if run.exists():
                shutil.copytree(run, left / f"{len(list(left.iterdir())):03d}")
            return real(*arguments, **options)

        return noted

    left.mkdir()
    with seen(install_named_space(tmp_path / "site")):
        with monkeypatch.context() as patch:
            for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
                patch.setattr(owner, name, noting(getattr(owner, name)))
            assert command(*words).code == 0
        expected = left_by(run)
        ranked = sorted(expected["history"], key=lambda line: (-line["reward"], line["number"]))
        known = next(line["number"] for line in ranked if line["known"])
        kept = {*(line["number"] for line in ranked[:2]), known}
        assert set(expected["kept"]) == {f"trial-000{number}.safetensors" for number in kept}
        assert len(kept) == 3 and ranked[0]["number"] > 1, "the winner changes, and has no known method among it"
        folders = sorted(left.iterdir())
        assert len(folders) > 40 and sum((folder / "best.json").exists() for folder in folders) > 20
        loaded: list[list[bytes]] = []
        for number, folder in enumerate(folders):
            winner = [path.read_bytes() for path in sorted(folder.glob("best.*"))]
            if winner not in loaded:
                check_that_it_loads(folder)
                loaded.append(winner)
            if number % 6 == 0:
                shutil.rmtree(run)
                folder.rename(run)
                ended = command(*words, "--resume")
                assert (ended.code, ended.err) == (0, ""), number
                assert left_by(run) == expected, number
