"""A search that nobody interrupted, to compare others with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from cli.small_experiment import TRIAL, tuner, write
from faults.ended_search import left_by
from faults.forked import run as run_forked
from faults.storage import FaultAt

TRIALS = 4


class Straight(NamedTuple):
    """Its experiment file, what it left, and its storage operations."""

    file: Path
    left: dict[str, Any]
    operations: list[str]


def search_straight(folder: Path) -> Straight:
    # The winner changes and has two members; the strategy is put down twice.
    strategy = tuner(strategy_args={"batch_size": 2, "learning_rate": 0.2})
    file = write(folder / "x.yml", tuner=strategy, trialCommand=f"{TRIAL} --members 2", maxTrialNumber=TRIALS)
    run = folder / "run"
    ended = run_forked("search", file, "--output", run, before=FaultAt(run, log=folder / "operations"))
    assert (ended.code, ended.err) == (0, "")
    return Straight(file, left_by(run), (folder / "operations").read_text().splitlines())
