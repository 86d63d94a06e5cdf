"""Two searches on one folder, and the lock that a killed one leaves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cli.small_experiment import history
from faults import forked
from faults.ended_search import check_one_line, check_resumed
from faults.straight import TRIALS, Straight

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_of_two_searches_that_begin_at_once_one_runs_and_the_other_is_one_line(
    straight: Straight, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    both = [forked.start("search", straight.file, "--output", run) for _ in range(2)]
    ended = sorted((each.wait() for each in both), key=lambda each: each.code)
    check_one_line(ended[1], str(run), code=2)
    check_resumed(ended[0], run, straight.left, "beside another")


def test_two_searches_that_are_resumed_at_once_lose_nothing(straight: Straight, tmp_path: Path) -> None:
    """What a kill left is locked by nobody, and its lock file is still there."""
    run = tmp_path / "run"
    words = ("search", straight.file, "--output", run)
    first = forked.start(*words)
    deadline = time.monotonic() + 120
    while not (run / "history.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert (run / "state" / "lock").exists() and len(history(run)) < TRIALS
    both = [forked.start(*words, "--resume") for _ in range(2)]
    ended = sorted((each.wait() for each in both), key=lambda each: each.code)
    if ended[1].code == 0:  # it came when the other had ended
        assert ended[1].err == ""
    else:
        check_one_line(ended[1], f"another search runs in {run}", code=2)
    check_resumed(ended[0], run, straight.left, "resumed twice")
