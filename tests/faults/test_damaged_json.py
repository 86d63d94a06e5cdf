"""JSON that was changed by hand or by the disk: one line, before memory is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.opening import parse_json
from autoad_nni.runs.bundle.files import read_bundle
from autoad_nni.runs.one_trial import read_sample
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.scores import WinnerScores
from autoad_nni.runs.start import RunStart

pytestmark = pytest.mark.faults

READERS: dict[str, Callable[[Path], Any]] = {
    "best.json": BestRecord.read,
    "started.json": RunStart.read,
    "scores.json": WinnerScores.read,
    "bundle/detector.json": lambda folder: read_bundle(folder / "bundle"),
    "bundle/threshold.json": lambda folder: read_bundle(folder / "bundle"),
    "sample.json": lambda folder: read_sample(folder / "sample.json"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"[",
        b"null",
        b"7",
        b'"x"',
        b"[" * 100_000,
        b"[" * 400 + b"]" * 400,
        b"\xff\xfe",
        b'{"format": NaN}',
        b"9" * 999,
    ],
    ids=["empty", "cut", "null", "number", "text", "deep", "less deep", "no UTF-8", "nan", "huge"],
)
def test_damaged_json_is_one_line(run: Path, name: str, damaged: bytes) -> None:
    (run / name).write_bytes(damaged)
    with pytest.raises(AutoADError) as caught:
        READERS[name](run)
    assert "\n" not in str(caught.value) and str(run / name) in str(caught.value)


@pytest.mark.parametrize("name", ["best.json", "started.json"])
@pytest.mark.parametrize(
    "shape", [[3, 20_000, 20_000], [2, 64, 64], [3, 64, 7], [3, 64.0, 64], [3, True, 64], [1, 8], 3]
)
def test_an_image_shape_that_no_search_has_is_refused(run: Path, name: str, shape: object) -> None:
    """Of 20,000 x 20,000 it took 3.7 GB to say anything."""
    content = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**content, "image_shape": shape}))
    with pytest.raises(AutoADError, match=rf"{name} cannot be read: (the image shape is|a value has another type)"):
        READERS[name](run)


@pytest.mark.parametrize(
    "changes", [{"number": True}, {"number": -1}, {"macs": 0.5}, {"fingerprint": 3}, {"plugins": {"a": 1}}]
)
def test_a_trial_of_wrong_types_is_refused(run: Path, changes: dict[str, Any]) -> None:
    content = json.loads((run / "best.json").read_text())
    content["trial"].update(changes)
    (run / "best.json").write_text(json.dumps(content))
    with pytest.raises(AutoADError, match="a record of a trial is"):
        BestRecord.read(run)


def test_a_winner_without_its_reward_is_refused(run: Path) -> None:
    content = json.loads((run / "best.json").read_text())
    (run / "best.json").write_text(json.dumps({**content, "validation": {"f1": 1.0}}))
    with pytest.raises(AutoADError, match="validation has no auroc"):
        BestRecord.read(run)


@pytest.mark.parametrize("text", ["[NaN]", "[-Infinity]", "1e999", str(2**1024), "[" * 51 + "]" * 51, "[" * 10**6])
def test_json_that_code_would_fail_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it holds|it is nested"):
        parse_json(text)


def test_as_much_json_as_any_file_of_ours_has_is_read(run: Path) -> None:
    assert parse_json(f"[{2**1023}, {'[' * 49}{']' * 49}]")[0] == 2**1023
    for reader in READERS.values():
        assert reader(run) is not None


def test_a_value_with_ends_of_lines_leaves_an_error_in_one_line() -> None:
    error = AutoADError("[[data=a\nb]] is unknown.\r")
    assert str(error) == r"data=a\nb is unknown.\r" and error.on_command_line() == r"--data a\nb is unknown.\r"
