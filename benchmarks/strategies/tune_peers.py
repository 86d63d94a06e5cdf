"""Chooses the arguments of the strategies smac, optuna and local_search, on seeds that no comparison reports.

    python -m benchmarks.strategies.tune_peers {local_search,tpe,gp,smac} [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials (local search), or 50 and 100, of the best reward, on
each table of the folder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.strategies.specs import Spec
from benchmarks.strategies.tuning import tune


class Grid(NamedTuple):
    """What is tried of one strategy, on how many seeds from 1000 on and trials: the slower it is, the fewer."""

    strategy: str
    seeds: int
    trials: int
    settings: tuple[Mapping[str, Any], ...]


GRIDS = {
    "local_search": Grid("local_search", 20, 200, tuple({"n_startup_trials": n} for n in (1, 5, 10, 20, 40))),
    "tpe": Grid(
        "optuna",
        8,
        100,
        (
            *({"sampler": "tpe", "n_startup_trials": n} for n in (5, 10, 20)),
            *({"sampler": "tpe", "n_startup_trials": 10, "n_ei_candidates": n} for n in (4, 100)),
        ),
    ),
    "gp": Grid("optuna", 2, 100, tuple({"sampler": "gp", "n_startup_trials": n} for n in (5, 10, 20))),
    "smac": Grid(
        "smac",
        2,
        100,
        (
            {"n_initial": 10, "retrain_after": 8},
            {"n_initial": 20, "retrain_after": 8},
            {"n_initial": 10, "retrain_after": 4},
        ),
    ),
}


if __name__ == "__main__":
    grid = GRIDS[sys.argv.pop(1)]
    tune(((each, Spec(grid.strategy, each)) for each in grid.settings), range(1000, 1000 + grid.seeds), grid.trials)
