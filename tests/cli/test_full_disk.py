"""A disk that is full ends a search in one line, and no trial is taken for crashed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from full_disk import largest_file
from run_command import command
from small_experiment import TRIAL, history, space, write

from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.storing import StorageError, append_bytes, replace_file

SMALL = space(layer1_channels=[3], layer1_kernel=[1], layer1_normalization=["none"])
BIG = space(layer1_channels=[32], layer1_kernel=[7])


@pytest.mark.parametrize(
    ("n_bytes", "named", "changes"),
    [
        (500, "state/journal.jsonl", {}),  # its first line
        (3300, "state/journal.jsonl", {"searchSpace": SMALL, "trialCommand": f"{TRIAL} --members 1"}),
        (8000, "state/trial-0000.safetensors", {"searchSpace": BIG}),
        (20_000, "best.safetensors", {"searchSpace": BIG, "trialCommand": f"{TRIAL} --seed 2"}),  # of perfect trials
        (3000, "tensorboard/trial-0000", {"trialCommand": TRIAL.replace("--epochs 1", "--epochs 40")}),
    ],
)
@pytest.mark.slow
def test_a_full_disk_is_no_crashed_trial(tmp_path: Path, n_bytes: int, named: str, changes: dict[str, Any]) -> None:
    file, run = write(tmp_path / "x.yml", maxTrialNumber=3, **changes), tmp_path / "run"
    with largest_file(n_bytes):
        ended = command("search", file, "--output", run)
    assert ended.code == 2
    assert ended.err == (
        f"autoad-nni: {run}/{named} cannot be written: File too large. Expected to keep results there. "
        "Make room or give write access; --resume goes on with a search.\n"
    )
    assert not list(run.rglob(".*")), "no temporary file is left"
    assert command("search", file, "--output", run, "--resume").code == 0
    assert [line["verdict"] for line in history(run)] == ["ok"] * 3
    events = [json.loads(line) for line in (run / "state" / "journal.jsonl").read_text().splitlines()]
    assert [event["record"]["verdict"] for event in events if event["event"] == "end"] == ["ok"] * 3


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    replace_file(path, b"old")
    with largest_file(10), pytest.raises(OSError, match="File too large"):
        replace_file(path, b"new" * 10)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_line_that_cannot_be_appended_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_bytes(path, b"one\n")
    with largest_file(6), pytest.raises(OSError, match="File too large"):
        append_bytes(path, b"two and more\n")
    assert path.read_bytes() == b"one\n"


def test_scalars_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(StorageError, match=rf"^{tmp_path}/tensorboard/search cannot be written: "):
        ScalarWriter(tmp_path / "tensorboard" / "search").add(1, {"reward": 0.5})
