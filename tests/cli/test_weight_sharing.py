"""The trials of a search start from one another's weights: ``--weight-sharing``."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from run_command import command
from safetensors import safe_open
from small_experiment import SAMPLE, TRIAL, history, write

from autoad_nni.searches.replay import JournalMiddleware
from autoad_nni.trial.record import TrialRecord

TRIALS = 6
ALONE = TRIAL.replace("--epochs 1", "--epochs 6")  # so that more training shows
SHARING = f"{ALONE} --weight-sharing"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("experiment") / "small.yml", trialCommand=SHARING, maxTrialNumber=TRIALS)


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    ended = command("search", file, "--output", run)
    assert (ended.code, ended.err) == (0, "")
    return run


@pytest.fixture(scope="module")
def alone(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "alone"
    without = write(file.with_name("alone.yml"), trialCommand=ALONE, maxTrialNumber=TRIALS)
    assert command("search", without, "--output", run).code == 0
    return run


def weights(run: Path) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """What each file holds; the order of a file's metadata differs from run to run."""
    contents = {}
    for path in (run / "state" / "shared_weights").iterdir():
        with safe_open(path, framework="pt") as file:
            contents[path.name] = file.metadata(), {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118
    return contents


def rewards(run: Path) -> list[float]:
    return [line["reward"] for line in history(run)]


def operations(sample: dict[str, Any]) -> set[str]:
    """What a sample of one layer learns, as the small space tells it apart."""
    transforms = {f"{side} {sample['layer1_channels']} {sample['layer1_kernel']}" for side in ("encoder", "decoder")}
    norms = {f"encoder norm {sample['layer1_channels']}", "decoder norm"}
    return transforms | (norms if sample["layer1_normalization"] == "batch" else set())


def test_there_is_one_file_per_operation_that_was_trained(finished: Path) -> None:
    trained = [operations(line["sample"]) for line in history(finished)]
    assert all(line["verdict"] == "ok" for line in history(finished))
    files = weights(finished)
    assert len(files) == len(set().union(*trained)) and all(name.endswith(".safetensors") for name in files)
    assert max(Counter(name for names in trained for name in names).values()) > 1, "or nothing was shared"


def test_sharing_changes_the_results_of_later_trials_only(finished: Path, alone: Path) -> None:
    first, first_alone = history(finished)[0], history(alone)[0]
    assert first == first_alone
    assert rewards(finished) != rewards(alone)
    assert not (alone / "state" / "shared_weights").exists()


def test_a_search_that_starts_anew_has_weights_of_its_own_and_gives_the_same(
    finished: Path, file: Path, tmp_path: Path
) -> None:
    assert command("search", file, "--output", tmp_path / "again").code == 0
    assert history(tmp_path / "again") == history(finished)
    assert weights(tmp_path / "again") == weights(finished)


@pytest.mark.parametrize("stored", [False, True], ids=["before it stored its weights", "after it stored its weights"])
def test_a_killed_search_goes_on_to_the_same_end(
    finished: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """Killed in trial 3, before its end is in the journal."""
    run, before = tmp_path / "run", tmp_path / "before"
    real = JournalMiddleware.take

    def killed(self: JournalMiddleware, record: TrialRecord) -> None:
        if record.number == 3:
            raise KeyboardInterrupt
        shutil.copytree(run / "state" / "shared_weights", before, dirs_exist_ok=True)
        real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(JournalMiddleware, "take", killed)
        assert command("search", file, "--output", run).code == 130
    assert len(history(run)) == 3
    assert any(metadata["trial"] == "3" for metadata, _ in weights(run).values())
    if not stored:
        shutil.rmtree(run / "state" / "shared_weights")
        shutil.copytree(before, run / "state" / "shared_weights")
    ended = command("search", file, "--output", run, "--resume")
    assert (ended.code, ended.err) == (0, "")
    assert history(run) == history(finished) and weights(run) == weights(finished)
    assert (run / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()


def test_a_search_is_resumed_with_the_sharing_it_began_with(finished: Path, alone: Path, file: Path) -> None:
    for run, other in ((finished, file.with_name("alone.yml")), (alone, file)):
        ended = command("search", other, "--output", run, "--trials", 9, "--resume")
        assert ended.code == 2 and "began with --weight-sharing" in ended.err
        assert len(ended.err.splitlines()) == 1


def test_a_spoilt_file_is_named_in_the_history(finished: Path, file: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    for path in (run / "state" / "shared_weights").iterdir():
        path.write_bytes(b"spoilt")
    assert command("search", file, "--output", run, "--trials", TRIALS + 4, "--resume").code == 0
    spoilt = set().union(*(operations(line["sample"]) for line in history(finished)))
    crashed = [line["verdict"] == "crashed" for line in history(run)[TRIALS:]]
    assert crashed == [bool(operations(line["sample"]) & spoilt) for line in history(run)[TRIALS:]]
    details = [line["detail"] for line in history(run) if line["verdict"] == "crashed"]
    assert details and all(f"AutoADError: {run}/state/shared_weights/" in detail for detail in details)
    assert all("cannot be read" in detail for detail in details)


def test_a_sample_run_by_hand_has_no_others_to_share_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample.json").write_text(json.dumps(SAMPLE))
    runs = [command("trial", *words.split()[2:], "--sample", "sample.json") for words in (SHARING, SHARING, ALONE)]
    figures = [json.loads(ended.out) for ended in runs]
    for metrics in figures:
        del metrics["seconds"], metrics["ms"]
    assert figures[0] == figures[1] == figures[2]
    assert [path.name for path in tmp_path.iterdir()] == ["sample.json"]
