"""Chooses the arguments of NNI's policy-based RL for the comparison of strategies, on seeds that it does not report.

    python benchmarks/strategies/tune_rl.py [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials of the best reward, on each table of the folder. Needs
tianshou 0.5.1 and gym 0.26.2 (CONTRIBUTING.md).
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

from typing import Any

from tuning import tune

from autoad_nni.bench.specs import Spec

SEEDS = range(1000, 1005)  # the comparison reports 0 to 49
SETTINGS: tuple[dict[str, Any], ...] = (
    {},  # NNI's: learning_rate 1e-4, samples_per_update 20, 5 updates of 5 passes
    {"learning_rate": 1e-3},
    {"learning_rate": 3e-3},
    {"learning_rate": 1e-2},
    {"learning_rate": 1e-3, "samples_per_update": 10},
    {"learning_rate": 3e-3, "samples_per_update": 10},
)


if __name__ == "__main__":
    tune(((arguments, Spec("policy_based_rl", arguments)) for arguments in SETTINGS), SEEDS)
