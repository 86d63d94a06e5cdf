"""Kills at random times; in the long run 50 here. `benchmarks/kills.py` kills the processes of nnictl too."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from faults.long_run import LONG

from benchmarks.kills import AS_UNINTERRUPTED, kill_search

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


def test_a_search_that_is_killed_at_a_random_time_is_resumed_as_if_it_had_not(tmp_path: Path) -> None:
    for number in range(50 if LONG else 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        result = kill_search(folder, random.Random(number))
        assert result["outcome"] == AS_UNINTERRUPTED, (number, result)
