from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from autoad_nni.search.journal import Journal
from autoad_nni.runs.folder import RunFolder
from autoad_nni.models.detector import Detector
from autoad_nni.errors import AutoADError
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.distances.l1 import L1Distance

PLUGINS = {"hypothesis knn": "autoad-nni-knn 0.1.0"}


def detector(weight: float) -> Detector:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, weight)
    return Detector(layer, ReconstructionHypothesis(), L1Distance())


def weight_in(folder: RunFolder) -> float:
    loaded = detector(0.0)
    folder.load_weights(loaded)
    return loaded.autoencoder.get_parameter("weight").item()


def ok(reward: float) -> dict[str, object]:
    return {"default": reward, "verdict": "ok"}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run folder with a trial of reward 0.5 and weight 1, and one of reward 0.7 that was killed on its way in."""
    path = tmp_path / "run"
    folder = RunFolder(path, resume=False)
    Journal(folder.journal, {})
    folder.save_weights(0, detector(1.0))
    folder.add_trial(0, {"a": 1}, ok(0.5), plugins={})
    folder.save_weights(1, detector(2.0))
    return path


def test_weights_become_the_best_only_when_the_trial_is_added(begun: Path) -> None:
    folder = RunFolder(begun, resume=True)
    folder.add_trial(0, {"a": 1}, ok(0.5), plugins={})
    assert weight_in(folder) == 1.0
    folder.add_trial(1, {"a": 2}, ok(0.7), plugins={})
    assert weight_in(folder) == 2.0
    assert folder.best is not None and folder.best["trial"] == 1


def test_a_trial_that_runs_into_its_time_limit_when_repeated_leaves_the_best_weights_alone(begun: Path) -> None:
    folder = RunFolder(begun, resume=True)
    folder.add_trial(0, {"a": 1}, ok(0.5), plugins={})
    folder.add_trial(1, {"a": 2}, {"default": 0.0, "verdict": "over_time"}, plugins={}, detail="too slow")
    assert weight_in(folder) == 1.0
    assert folder.summary.verdicts == {"ok": 1, "over_time": 1}


def test_a_trial_is_written_once_however_often_it_is_added(begun: Path) -> None:
    folder = RunFolder(begun, resume=True)
    folder.add_trial(0, {"a": 1}, ok(0.5), plugins={})
    folder.add_trial(1, {"a": 2}, None, plugins=PLUGINS, detail="RuntimeError: boom")
    assert [json.loads(line) for line in (begun / "history.jsonl").read_text().splitlines()] == [
        {"trial": 0, "sample": {"a": 1}, "plugins": {}, "metrics": ok(0.5)},
        {
            "trial": 1,
            "sample": {"a": 2},
            "plugins": PLUGINS,
            "metrics": {"verdict": "crashed"},
            "detail": "RuntimeError: boom",
        },
    ]


def test_the_first_of_equally_good_trials_stays_the_best(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", resume=False)
    assert folder.improves(0.0)
    for trial, reward in enumerate([0.5, 0.7, 0.7, 0.6]):
        folder.add_trial(trial, {"a": trial}, ok(reward), plugins={})
    assert folder.best == {"trial": 1, "reward": 0.7, "sample": {"a": 1}, "plugins": {}, "validation": ok(0.7)}
    assert not folder.improves(0.7) and folder.improves(0.71)


def test_a_rejected_trial_is_never_the_best(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", resume=False)
    folder.add_trial(0, {"a": 0}, {"default": 0.0, "verdict": "over_macs"}, plugins={})
    folder.write_best({"test": None}, {})
    assert folder.best is None and not (tmp_path / "run" / "best.json").exists()


def test_weights_survive_as_they_are(begun: Path) -> None:
    folder = RunFolder(begun, resume=True)
    exact = detector(0.1)
    folder.save_weights(5, exact)
    folder.add_trial(5, {}, ok(0.9), plugins={})
    loaded = detector(0.0)
    folder.load_weights(loaded)
    for name, tensor in exact.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_history_changed_by_hand_is_named(begun: Path) -> None:
    (begun / "history.jsonl").write_text("notes\n")
    with pytest.raises(AutoADError, match=r"history.jsonl, line 1 is no JSON object"):
        RunFolder(begun, resume=True)


def test_two_searches_are_not_in_one_folder_at_once(begun: Path) -> None:
    first = RunFolder(begun, resume=True)
    with pytest.raises(AutoADError, match=rf"^another search runs in {begun}\. Expected none"):
        RunFolder(begun, resume=True)
    first.close()
    RunFolder(begun, resume=True)


def test_a_process_that_is_gone_holds_no_folder(begun: Path) -> None:
    code = "import os, sys, pathlib; from autoad_nni.runs.lock import RunLock; "
    code += "lock = RunLock(pathlib.Path('run'), pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(begun / "state" / "lock")])
    assert done.returncode == -9
    RunFolder(begun, resume=True)


def test_what_a_kill_left_half_written_is_removed_at_the_next_start(begun: Path) -> None:
    """Killed for real, between writing a file and putting it in its place, in three folders."""
    (begun / "pictures" / "dent").mkdir(parents=True)
    before = sorted(begun.rglob("*"))
    code = "import os, sys, pathlib; from autoad_nni.storing import replace_file; "
    code += "os.replace = lambda old, new: os.kill(os.getpid(), 9); replace_file(pathlib.Path(sys.argv[1]), b'half')"
    for name in ("best.json", "state/trial-0002.safetensors", "pictures/dent/a.png"):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(begun / name)])
        assert done.returncode == -9
    (begun / ".mine").touch()
    assert len(sorted(begun.rglob("*"))) == len(before) + 4
    RunFolder(begun, resume=True)
    assert sorted(begun.rglob("*")) == sorted([*before, begun / ".mine"])
