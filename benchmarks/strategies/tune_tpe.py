"""Chooses the arguments of NNI's TPE for the comparison of strategies, on seeds that it does not report.

    python benchmarks/strategies/tune_tpe.py [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials of the best reward, on each table of the folder.
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

from tuning import tune

from autoad_nni.bench.specs import Spec

SEEDS = range(1000, 1010)  # the comparison reports 0 to 49
SETTINGS: tuple[dict[str, float], ...] = (
    {},  # NNI's: gamma 0.25, prior_weight 1, n_startup_jobs 20
    {"gamma": 0.1},
    {"gamma": 0.5},
    {"gamma": 1.0},
    {"prior_weight": 0.25},
    {"prior_weight": 4.0},
    {"n_startup_jobs": 10},
)


if __name__ == "__main__":
    tune(((arguments, Spec("tpe", {"tpe_args": arguments})) for arguments in SETTINGS), SEEDS)
