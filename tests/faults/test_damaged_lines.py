"""Files of lines that were changed by hand: one line that names the file, from whatever reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.runs.report.page import write_report
from autoad_nni.runs.run import Run
from autoad_nni.searches.journal import Journal
from autoad_nni.trial.record import TrialRecord

pytestmark = pytest.mark.faults

LINES = (b"[" * 100_000, b"[]", b"7", b'{"reward": NaN}', b"{", b"\xff", b"{}")


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:5])
def test_a_damaged_history_is_one_line(run: Path, line: bytes) -> None:
    with (run / "history.jsonl").open("ab") as file:
        file.write(line + b"\n")
    for read in (lambda: Run(run).rows, lambda: write_report(run)):
        with pytest.raises(AutoADError) as caught:
            read()
        assert "\n" not in str(caught.value)


def identity_of(path: Path) -> dict[str, Any]:
    head = json.loads(path.read_text().splitlines()[0])
    return {key: value for key, value in head.items() if key not in ("event", "format")}


EVENTS = (
    b'{"event": "submit", "id": [2]}',
    b'{"event": "submit", "id": {}, "sample": {}}',
    b'{"event": "submit", "id": 2, "sample": 3}',
    b'{"event": "again", "id": []}',
)


@pytest.mark.parametrize("line", [*LINES, *EVENTS], ids=lambda line: line[:30])
def test_a_damaged_journal_is_one_line(run: Path, line: bytes) -> None:
    path = run / "state" / "journal.jsonl"
    identity = identity_of(path)
    Journal(path, identity)
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(AutoADError, match=rf"{path}, line 6"):
        Journal(path, identity)


@pytest.mark.parametrize("change", [lambda record: 3, lambda record: {**record, "number": 7}, lambda record: {}])
def test_an_end_in_the_journal_is_a_record_of_that_trial(run: Path, change: Callable[[Any], Any]) -> None:
    path = run / "state" / "journal.jsonl"
    identity = identity_of(path)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    end = next(event for event in events if event["event"] == "end")
    end["record"] = change(end["record"])
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    with pytest.raises(AutoADError, match="Expected the next trial's submission or an end"):
        Journal(path, identity)


def test_a_pipe_in_the_place_of_the_history_is_named(run: Path) -> None:
    (run / "history.jsonl").unlink()
    os.mkfifo(run / "history.jsonl")
    with pytest.raises(AutoADError, match=r"history\.jsonl cannot be read: not a regular file"):
        Run(run).rows  # noqa: B018


def test_figures_that_are_not_finite_are_none_of_a_report() -> None:
    record = TrialRecord.from_report(0, {}, {"default": 0.5, "auroc": float("nan"), "f1": float("inf"), "aupr": 0.5})
    assert record.validation == {"aupr": 0.5}
