from __future__ import annotations

from pathlib import Path

import pytest
from installed import install, seen
from run_command import Ended, command
from small_experiment import history, space, tuner, write

MODULE = '''
import torch
from autoad_nni.models.distances.base import Distance

class Exploding(Distance):
    """Works in name only."""

    def map(self, reconstruction, images):
        raise RuntimeError("boom,\\nin two lines")

class Squared(Distance):
    def map(self, reconstruction, images):
        return (reconstruction - images).pow(2).mean(1, keepdim=True)

    def forward(self, reconstruction, images):
        return self.map(reconstruction, images).flatten(1).mean(1)
'''
ENTRY_POINTS = """[autoad_nni.losses]
exploding = third_party:Exploding
squared = third_party:Squared
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution that registers two distances."""
    folder = tmp_path_factory.mktemp("site")
    return install(folder, "third-party", "1.2", ENTRY_POINTS, third_party=MODULE)


@pytest.fixture(scope="module")
def searched(site: Path) -> tuple[Ended, Path]:
    # Tanh: a decoder that ends in a relu can be dead, which is a verdict of its own.
    search_space = space(distance=["exploding", "squared"], layer1_activation=["tanh"], layer1_pooling_kernel=[1])
    file = write(site / "x.yml", searchSpace=search_space, tuner=tuner(strategy="random"), maxTrialNumber=6)
    with seen(site):
        return command("search", file, "--output", site / "run"), site / "run"


def test_a_plugin_takes_part_without_a_change_here_and_a_crashing_one_ends_no_search(
    searched: tuple[Ended, Path],
) -> None:
    ended, folder = searched
    assert (ended.code, ended.err) == (0, "")
    verdicts = [(line["sample"]["distance"], line["verdict"]) for line in history(folder)]
    assert len(verdicts) == 6
    assert set(verdicts) == {("exploding", "crashed"), ("squared", "ok")}
    for line in history(folder):
        assert line["plugins"][f"distance {line['sample']['distance']}"] == "third-party 1.2"
    crashed = sum(verdict == "crashed" for _, verdict in verdicts)
    assert f"6 trials: {crashed} crashed, {6 - crashed} ok" in ended.out


def test_the_history_says_why_a_trial_crashed(searched: tuple[Ended, Path]) -> None:
    crashed = [line for line in history(searched[1]) if line["verdict"] == "crashed"]
    assert all(line["detail"] == "RuntimeError: boom, in two lines" for line in crashed)
    assert all(line["detail"] == "" for line in history(searched[1]) if line not in crashed)


def test_it_is_listed_with_its_distribution(site: Path) -> None:
    with seen(site):
        lines = command("plugins", "list").out.splitlines()
    assert f"  {'exploding':<22} third-party 1.2" in lines
    assert any(line.startswith("  l1 ") and "autoad-nni" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("absent", None, "The hypothesis 'absent' of wrong-1 is broken: wrong_absent:Wrong gave ModuleNotFoundError"),
        ("number", "Wrong = 5", "The hypothesis 'number' of wrong-1, called without arguments, gave TypeError"),
        ("other", "Wrong = dict", "gave a dict. Expected a Hypothesis. Run 'autoad-nni plugins check other'"),
        ("exits", "import sys\ndef Wrong():\n    sys.exit(3)", "called without arguments, gave SystemExit: 3"),
    ],
)
def test_a_plugin_that_cannot_be_made_is_refused_before_anything_runs(
    tmp_path: Path, name: str, body: str | None, message: str
) -> None:
    modules = {} if body is None else {f"wrong_{name}": body + "\n"}
    install(tmp_path, "wrong-1", "1.0", f"[autoad_nni.hypotheses]\n{name} = wrong_{name}:Wrong\n", **modules)
    file = write(tmp_path / "x.yml", searchSpace=space(hypothesis=["reconstruction", name]))
    with seen(tmp_path):
        ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 2 and message in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


MEDDLING = """
import os, signal, warnings
import torch
from autoad_nni.models.distances.l2 import L2Distance

class Meddling(L2Distance):
    def map(self, reconstruction, images):
        os.chdir("/")
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        warnings.simplefilter("error")
        found = super().map(reconstruction, images)
        torch.set_grad_enabled(False)
        return found
"""


@pytest.mark.slow
def test_what_a_plugin_changes_for_the_process_spoils_no_other_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first trial meddles; the second is as if it had not, and all is written where it belongs."""
    monkeypatch.chdir(tmp_path)
    site = install(
        tmp_path / "site", "meddler", "1.0", "[autoad_nni.losses]\nmeddling = meddler:Meddling\n", meddler=MEDDLING
    )
    values = {label: [entry["_value"][-1]] for label, entry in space().items()}
    ordered = tuner(strategy="grid_search", strategy_args={"shuffle": False})
    records = {}
    for name, distances in (("alone", ["l2"]), ("beside", ["meddling", "l2"])):
        file = write(tmp_path / f"{name}.yml", searchSpace=space(**{**values, "distance": distances}), tuner=ordered)
        with seen(site):
            ended = command("search", file, "--output", name)
        assert (ended.code, ended.err) == (0, "")
        records[name] = history(tmp_path / name)
    assert [line["sample"]["distance"] for line in records["beside"]] == ["meddling", "l2"]
    assert records["beside"][0]["verdict"] == "crashed"
    (alone,), beside = records["alone"], records["beside"][1]
    assert {**alone, "number": 1} == beside and beside["verdict"] == "ok"
    assert (tmp_path / "beside" / "best.json").exists() and Path.cwd() == tmp_path


def test_a_search_is_not_resumed_without_its_plugins(searched: tuple[Ended, Path]) -> None:
    ended = command("search", searched[1].parent / "x.yml", "--output", searched[1], "--resume")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "The distance 'exploding' is not installed. Expected third-party 1.2" in ended.err
