"""Kills at the storage operations of a search, torn or whole; the resumed search equals one without interruptions."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli.small_experiment import TRIAL, tuner, write
from faults.ended_search import check_resumed, left_by
from faults.forked import run as run_forked
from faults.long_run import spread
from faults.storage import KillAt

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

TRIALS = 4


class Straight(NamedTuple):
    """A search that nobody interrupted, and its storage operations."""

    file: Path
    left: dict[str, Any]
    operations: list[str]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    folder = tmp_path_factory.mktemp("straight")
    # The winner changes and has two members; the strategy is put down twice.
    search = tuner(strategy_args={"batch_size": 2, "learning_rate": 0.2})
    file = write(folder / "x.yml", tuner=search, trialCommand=f"{TRIAL} --members 2", maxTrialNumber=TRIALS)
    run = folder / "run"
    ended = run_forked("search", file, "--output", run, before=KillAt(run, log=folder / "operations"))
    assert (ended.code, ended.err) == (0, "")
    return Straight(file, left_by(run), (folder / "operations").read_text().splitlines())


def killed(words: tuple[object, ...], kill: KillAt) -> None:
    assert run_forked(*words, before=kill).code == -signal.SIGKILL


def cases(operations: list[str]) -> list[tuple[int, bool]]:
    """Before every operation; and before every fsync also with half of what was written."""
    numbers = range(len(operations))
    return [(k, torn) for k in numbers for torn in (False, True)[: 1 + operations[k].startswith("fsync")]]


def test_the_search_has_the_operations_that_this_file_is_about(straight: Straight) -> None:
    kinds = {line.split()[0] for line in straight.operations}
    assert {"os.mkdir", "open", "fsync", "os.rename", "os.remove"} <= kinds and len(straight.operations) > 120
    for name in ("journal.jsonl", "history.jsonl", "iterations.jsonl", "strategy.safetensors", "best.json"):
        assert any(name in line for line in straight.operations), name


def test_a_kill_at_an_operation_loses_nothing(straight: Straight, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("search", straight.file, "--output", run)
    for operation, torn in spread(cases(straight.operations), 12):
        killed(words, KillAt(run, operation, torn=torn))
        ended = run_forked(*words, *(["--resume"] if (run / "state" / "journal.jsonl").exists() else []))
        check_resumed(ended, run, straight.left, (operation, torn, straight.operations[operation]))
        shutil.rmtree(run)


def test_a_kill_while_a_killed_search_is_resumed_loses_nothing(straight: Straight, tmp_path: Path) -> None:
    """Also of what mends the folder, before the trial that was killed begins again."""
    run, log = tmp_path / "run", tmp_path / "operations"
    words = ("search", straight.file, "--output", run)
    middle = [k for k, line in enumerate(straight.operations) if line.startswith("fsync") and "/run/state/" in line]
    for operation in spread(middle[4:], 3):
        killed(words, KillAt(run, operation, torn=True))
        left = shutil.copytree(run, tmp_path / "left")
        assert run_forked(*words, "--resume", before=KillAt(run, log=log)).code == 0
        events = [json.loads(line)["event"] for line in (run / "state" / "journal.jsonl").read_text().splitlines()]
        # A trial that begins again and is killed again has crashed.
        last = before_the_trial(log.read_text().splitlines()) if "again" in events else 30
        for again in spread(range(last), 2):
            shutil.rmtree(run)
            shutil.copytree(left, run)
            killed((*words, "--resume"), KillAt(run, again, torn=True))
            check_resumed(run_forked(*words, "--resume"), run, straight.left, (operation, again))
        for path in (run, left):
            shutil.rmtree(path)
        log.unlink()


def before_the_trial(operations: list[str]) -> int:
    """The operation that says that a trial begins again: the first fsync of the journal."""
    return next(k for k, line in enumerate(operations) if line.startswith("fsync") and "journal.jsonl" in line)
