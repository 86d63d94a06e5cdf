"""Kills at the storage operations of a search, torn or whole; the resumed search equals one without interruptions."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from faults.ended_search import check_resumed
from faults.forked import run as run_forked
from faults.long_run import spread
from faults.storage import Fault, FaultAt
from faults.straight import Straight

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


def killed(words: tuple[object, ...], kill: FaultAt) -> None:
    assert run_forked(*words, before=kill).code == -signal.SIGKILL


def cases(operations: list[str]) -> list[tuple[int, Fault]]:
    """Before every operation; and before every fsync also with half of what was written."""
    faults: tuple[Fault, Fault] = ("killed", "torn")
    return [(k, fault) for k, line in enumerate(operations) for fault in faults[: 1 + line.startswith("fsync")]]


def test_the_search_has_the_operations_that_this_file_is_about(straight: Straight) -> None:
    kinds = {line.split()[0] for line in straight.operations}
    assert {"os.mkdir", "open", "fsync", "os.rename", "os.remove"} <= kinds and len(straight.operations) > 120
    for name in ("journal.jsonl", "history.jsonl", "iterations.jsonl", "strategy.safetensors", "best.json"):
        assert any(name in line for line in straight.operations), name


def test_a_kill_at_an_operation_loses_nothing(straight: Straight, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("search", straight.file, "--output", run)
    for operation, fault in spread(cases(straight.operations), 12):
        killed(words, FaultAt(run, operation, fault))
        ended = run_forked(*words, *(["--resume"] if (run / "state" / "journal.jsonl").exists() else []))
        check_resumed(ended, run, straight.left, (operation, fault, straight.operations[operation]))
        shutil.rmtree(run)


def test_a_kill_while_a_killed_search_is_resumed_loses_nothing(straight: Straight, tmp_path: Path) -> None:
    """Also of what mends the folder, before the trial that was killed begins again."""
    run, log = tmp_path / "run", tmp_path / "operations"
    words = ("search", straight.file, "--output", run)
    middle = [k for k, line in enumerate(straight.operations) if line.startswith("fsync") and "/run/state/" in line]
    for operation in spread(middle[4:], 3):
        killed(words, FaultAt(run, operation, "torn"))
        left = shutil.copytree(run, tmp_path / "left")
        assert run_forked(*words, "--resume", before=FaultAt(run, log=log)).code == 0
        events = [json.loads(line)["event"] for line in (run / "state" / "journal.jsonl").read_text().splitlines()]
        # A trial that begins again and is killed again has crashed.
        last = before_the_trial(log.read_text().splitlines()) if "again" in events else 30
        for again in spread(range(last), 2):
            shutil.rmtree(run)
            shutil.copytree(left, run)
            killed((*words, "--resume"), FaultAt(run, again, "torn"))
            check_resumed(run_forked(*words, "--resume"), run, straight.left, (operation, again))
        for path in (run, left):
            shutil.rmtree(path)
        log.unlink()


def before_the_trial(operations: list[str]) -> int:
    """The operation that says that a trial begins again: the first fsync of the journal."""
    return next(k for k, line in enumerate(operations) if line.startswith("fsync") and "journal.jsonl" in line)
