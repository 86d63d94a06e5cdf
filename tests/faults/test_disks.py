"""A disk that is full or read-only from some instant on, and a folder that is removed under a search: one line each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from faults.ended_search import check_one_line, check_resumed
from faults.forked import run as run_forked
from faults.long_run import spread
from faults.storage import Fault, FaultAt
from faults.straight import Straight

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@pytest.mark.parametrize(
    ("fault", "reason"), [("full", "No space left on device"), ("read-only", "Read-only file system")]
)
def test_a_disk_that_takes_nothing_more_ends_a_search_in_one_line(
    straight: Straight, tmp_path: Path, fault: Fault, reason: str
) -> None:
    run = tmp_path / "run"
    words = ("search", straight.file, "--output", run)
    for operation in spread(range(len(straight.operations)), 4):
        if fault == "full" and not any(line.startswith(("open", "fsync")) for line in straight.operations[operation:]):
            continue  # nothing is written any more
        ended = run_forked(*words, before=FaultAt(run, operation, fault))
        check_one_line(ended, reason, "Expected", code=2)
        if fault == "full":
            assert not list(run.rglob(".*")), "no temporary file is left"
        resume = ["--resume"] if (run / "state" / "journal.jsonl").exists() else []
        check_resumed(run_forked(*words, *resume), run, straight.left, (operation, straight.operations[operation]))
        shutil.rmtree(run)


def test_a_folder_that_is_removed_ends_a_search_in_one_line(straight: Straight, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("search", straight.file, "--output", run)
    in_the_middle = [k for k, line in enumerate(straight.operations) if "/run/history.jsonl" in line]
    for operation in spread(range(in_the_middle[0], in_the_middle[-1]), 3):
        ended = run_forked(*words, before=FaultAt(run, operation, "removed"))
        check_one_line(ended, str(run), code=2)
        assert not (run / "best.json").exists() and not (run / "history.jsonl").exists(), "no part is taken for all"
        shutil.rmtree(run, ignore_errors=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_access_is_one_line(straight: Straight, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        check_one_line(run_forked("search", straight.file, "--output", tmp_path / "run"), "Permission denied", code=2)
    finally:
        tmp_path.chmod(0o700)
