from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.runs.folder import RunFolder
from autoad_nni.runs.records import BestRecord, KnownResult, Result, read_history
from autoad_nni.runs.start import RunStart
from autoad_nni.searches.journal import Journal
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.verdicts import Verdict
from autoad_nni.version import __version__

START = RunStart(
    request=TrialRequest.from_options(data="digits", abnormal="photos"),
    images="a1",
    image_shape=(1, 8, 8),
    plugins={"data set digits": f"autoad-nni {__version__}"},
    metadata={"experiment": "small.yml", "strategy": "autoad", "seed": 0},
)
CRASHED = TrialRecord.crashed(1, {"a": 2}, "RuntimeError: boom", plugins={"hypothesis knn": "autoad-nni-knn 0.1.0"})


def detector(weight: float) -> Detector:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, weight)
    return Detector(layer, ReconstructionHypothesis(), L1Distance())


def joined(path: Path) -> dict[int, float]:
    """The weight of each trial in the file of the winner, by number."""
    names = {name.partition("/")[::2]: value for name, value in load_file(path / "best.safetensors").items()}
    return {int(number): value.item() for (number, name), value in names.items() if name == "autoencoder.weight"}


def kept(path: Path) -> list[int]:
    """The trials whose weights are in ``state/``."""
    return sorted(int(file.stem.removeprefix("trial-")) for file in (path / "state").glob("trial-*.safetensors"))


def trial(number: int, reward: float, verdict: Verdict = Verdict.OK, known: str = "") -> TrialRecord:
    return TrialRecord(
        number=number,
        sample={"a": number},
        verdict=verdict,
        reward=reward,
        validation={"auroc": reward, "aupr_in": number / 100},  # no two are the same model
        seconds=1.5,
        known=known,
    )


def ended(folder: RunFolder, *records: TrialRecord) -> None:
    """As a search does it: weights that are worth it first, then the record, then the winner."""
    for record in records:
        if folder.keeps(record):
            folder.save_weights(record.number, detector(float(record.number)))
        folder.add_trial(record)
        folder.write_best()


def opened(path: Path, *, resume: bool = True, start: RunStart = START) -> RunFolder:
    folder = RunFolder(path, start, resume=resume)
    folder.begin()
    return folder


def start_with(members: int) -> RunStart:
    return replace(START, request=replace(START.request, members=members))


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run folder with a trial of reward 0.85 and weight 1, and one of reward 0.9 that was killed on its way in."""
    path = tmp_path / "run"
    folder = opened(path, resume=False)
    Journal(folder.journal, {})
    folder.save_weights(0, detector(1.0))
    folder.add_trial(trial(0, 0.85))
    folder.save_weights(1, detector(2.0))
    return path


def test_weights_become_the_winner_s_only_when_the_trial_is_added(begun: Path) -> None:
    folder = opened(begun)
    folder.add_trial(trial(0, 0.85))
    folder.write_best()
    assert joined(begun) == {0: 1.0}
    folder.add_trial(trial(1, 0.9))
    folder.write_best()
    assert joined(begun) == {1: 2.0, 0: 1.0}
    assert [member.number for member in BestRecord.read(begun).members] == [1, 0]
    assert folder.best is not None and folder.best.number == 1


def test_a_trial_that_runs_into_its_time_limit_when_repeated_leaves_the_best_weights_alone(begun: Path) -> None:
    folder = opened(begun)
    folder.add_trial(trial(0, 0.85))
    folder.add_trial(trial(1, 0.0, Verdict.OVER_TIME))
    folder.write_best()
    assert joined(begun) == {0: 1.0} and kept(begun) == [0]
    assert folder.summary.verdicts == {"ok": 1, "over_time": 1}


@pytest.mark.parametrize("members", [1, 2, 3])
def test_weights_are_kept_as_long_as_they_are_needed(tmp_path: Path, members: int) -> None:
    """Those of the best few, and of the best known method."""
    path = tmp_path / "run"
    folder = opened(path, resume=False, start=start_with(members))
    rewards = [0.92, 0.95, 0.93, 0.92, 0.96, 0.94]
    for number, reward in enumerate(rewards):
        ended(folder, trial(number, reward, known="padim" if number in (0, 3) else ""))
        ranked = sorted(range(number + 1), key=lambda i: (-rewards[i], i))
        assert sorted(joined(path)) == sorted(ranked[:members])
        assert all(weight == number for number, weight in joined(path).items())
        assert kept(path) == sorted({*ranked[:members], 0}), "0 is the first of the two best known methods"
    assert folder.known == trial(0, 0.92, known="padim")


def test_a_trial_that_is_kept_and_is_no_member_drops_another_one(tmp_path: Path) -> None:
    """The winner stays as it is: its file is not written, but the weights of the worse known method go."""
    path = tmp_path / "run"
    folder = opened(path, resume=False, start=start_with(1))
    ended(folder, trial(0, 0.9), trial(1, 0.5, known="padim"))
    before = (path / "best.safetensors").stat().st_mtime_ns
    ended(folder, trial(2, 0.6, known="patchcore"))
    assert (path / "best.safetensors").stat().st_mtime_ns == before
    assert kept(path) == [0, 2] and folder.known == trial(2, 0.6, known="patchcore")


def test_of_planted_defects_the_weights_of_trusted_methods_are_kept(tmp_path: Path) -> None:
    request = TrialRequest.from_options(data="digits", anomalies="planted", members=2)
    folder = opened(tmp_path / "run", resume=False, start=replace(START, request=request))
    ended(folder, trial(0, 0.5, known="padim"), trial(1, 0.6, known="pca"), trial(2, 0.3, known="patchcore"))
    ended(folder, *(trial(i, 0.7 + i / 100) for i in range(3, 7)))
    assert [record.number for record in folder.members] == [6, 5, 2, 0]
    assert joined(folder.path) == {6: 6.0, 5: 5.0, 2: 2.0, 0: 0.0}
    assert kept(folder.path) == [0, 1, 2, 5, 6], "trial 1 is the best known method"
    folder.close()


def test_a_trial_is_written_once_however_often_it_is_added(begun: Path) -> None:
    folder = opened(begun)
    folder.add_trial(trial(0, 0.85))
    folder.add_trial(CRASHED)
    assert read_history(begun) == [trial(0, 0.85), CRASHED]
    assert [json.loads(line) for line in (begun / "history.jsonl").read_text().splitlines()][1]["verdict"] == "crashed"


def test_the_first_of_equally_good_trials_stays_the_best(tmp_path: Path) -> None:
    folder = opened(tmp_path / "run", resume=False, start=start_with(1))
    assert folder.keeps(trial(0, 0.0))
    for number, reward in enumerate([0.5, 0.7, 0.7, 0.6]):
        folder.add_trial(trial(number, reward))
    assert folder.best == trial(1, 0.7) and folder.members == [trial(1, 0.7)]
    assert not folder.keeps(trial(4, 0.7)) and folder.keeps(trial(4, 0.71))
    assert not folder.keeps(trial(4, 0.0, Verdict.OVER_TIME))


def test_a_rejected_trial_is_never_the_best(tmp_path: Path) -> None:
    folder = opened(tmp_path / "run", resume=False)
    folder.add_trial(trial(0, 0.0, Verdict.OVER_MACS))
    assert folder.write_best() is None
    assert folder.best is None and not (tmp_path / "run" / "best.json").exists()


def test_weights_survive_as_they_are(begun: Path) -> None:
    folder = opened(begun)
    exact = detector(0.1)
    folder.save_weights(5, exact)
    folder.add_trial(trial(5, 0.9, known="padim"))
    folder.write_best()
    loaded = detector(0.0)
    folder.load_known(loaded, trial(5, 0.9, known="padim"))
    written = load_file(begun / "best.safetensors")
    for name, tensor in exact.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor) and torch.equal(written[f"5/{name}"], tensor)
    assert len(written) == len(exact.state_dict())


def test_a_history_changed_by_hand_is_named(begun: Path) -> None:
    (begun / "history.jsonl").write_text("notes\n")
    with pytest.raises(AutoADError, match=r"history.jsonl, line 1 is no JSON object"):
        opened(begun)


def test_two_searches_are_not_in_one_folder_at_once(begun: Path) -> None:
    first = opened(begun)
    with pytest.raises(AutoADError, match=rf"^another search runs in {begun}\. Expected none"):
        opened(begun)
    first.close()
    opened(begun)


def test_a_process_that_is_gone_holds_no_folder(begun: Path) -> None:
    code = "import os, sys, pathlib; from autoad_nni.runs.lock import lock_run; "
    code += "lock = lock_run(pathlib.Path('run'), pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(begun / "state" / "lock")])
    assert done.returncode == -9
    opened(begun)


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
    opened(begun)
    assert sorted(begun.rglob("*")) == sorted([*before, begun / ".mine"])


RESULT = Result(
    validation={"auroc": 0.85},
    interval=(0.7, 0.95),
    n_validation=(12, 96),
    test={"auroc": 0.4},
    known=KnownResult(trial(0, 0.85, known="padim"), {"auroc": 0.3}),
)


def test_test_figures_stay_with_their_members_until_there_is_a_better_one(begun: Path) -> None:
    folder = opened(begun)
    folder.add_trial(trial(0, 0.85, known="padim"))
    assert folder.tested() is None
    folder.write_best(RESULT)
    folder.close()
    folder = opened(begun)
    folder.add_trial(trial(0, 0.85, known="padim"))
    before = folder.tested()
    assert before is not None and Result.of(before) == RESULT
    folder.write_best()
    assert Result.of(BestRecord.read(begun)) == RESULT, "read once, and not lost when more trials run"
    ended(folder, trial(2, 0.1))
    assert Result.of(BestRecord.read(begun)) == RESULT, "one that is far worse is no member"
    ended(folder, trial(3, 0.84))
    assert folder.tested() is None
    assert Result.of(BestRecord.read(begun)) == Result()


def test_test_figures_of_another_known_method_do_not_count(tmp_path: Path) -> None:
    folder = opened(tmp_path / "run", resume=False, start=start_with(1))
    ended(folder, trial(0, 0.9), trial(1, 0.5, known="padim"))
    folder.write_best(replace(RESULT, known=KnownResult(trial(1, 0.5, known="padim"), None)))
    assert folder.tested() is not None
    ended(folder, trial(2, 0.6, known="patchcore"))
    assert folder.tested() is None and BestRecord.read(tmp_path / "run").test is None


def test_a_damaged_best_json_is_written_anew(begun: Path) -> None:
    (begun / "best.json").write_text("{")
    folder = opened(begun)
    folder.add_trial(trial(0, 0.85))
    folder.write_best()
    assert BestRecord.read(begun).trial == trial(0, 0.85)


def test_a_search_goes_on_as_it_began_only(begun: Path) -> None:
    other = replace(START, request=TrialRequest.from_options(data="digits", abnormal="photos", epochs=7))
    with pytest.raises(AutoADError, match=r"began with epochs=its default, now it is epochs=7\. Expected the same"):
        opened(begun, start=other)
    with pytest.raises(AutoADError, match=r"began with images with the digest a1, now it is b2: the images have cha"):
        opened(begun, start=replace(START, images="b2"))
    opened(begun)
