"""Chooses the arguments of NNI's policy-based RL for the comparison of strategies, on seeds that it does not report.

    python -m benchmarks.strategies.tune_rl [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials of the best reward, on each table of the folder. Needs
tianshou 0.5.1 and gym 0.26.2 (README, Choices); a search of 200 trials takes half a minute.

Run once; mean, small, random. The comparison keeps NNI's settings; random sampling has 0.8815, 0.9282 and 0.8347 on
the seeds that it reports:
  0.8981  0.9337  0.8625  NNI's
  0.8925  0.9325  0.8524  learning_rate 3e-4
  0.8908  0.9395  0.8421  learning_rate 1e-3
  0.8903  0.9432  0.8375  learning_rate 1e-3, 5 samples per update, one update
  0.8902  0.9422  0.8383  learning_rate 3e-3, one update
  0.8805  0.9279  0.8332  learning_rate 1e-3, 10 samples per update, one update
  0.8801  0.9206  0.8396  10 samples per update
  0.8797  0.9308  0.8286  learning_rate 1e-3, one update
  0.8574  0.9305  0.7843  learning_rate 3e-3
"""

from __future__ import annotations

from typing import Any

from benchmarks.strategies.specs import Spec
from benchmarks.strategies.tuning import tune

SEEDS = range(1000, 1005)  # the comparison reports 0 to 49
ONE_UPDATE: dict[str, Any] = {"batch_size": 32, "repeat": 2, "update_times": 1}  # NNI's: 5 updates of 5 passes
SETTINGS: tuple[dict[str, Any], ...] = (
    {},  # NNI's: learning_rate 1e-4, samples_per_update 20
    {"samples_per_update": 10},
    *({"learning_rate": rate} for rate in (3e-4, 1e-3, 3e-3)),
    *({"learning_rate": rate, "update_kwargs": ONE_UPDATE} for rate in (1e-3, 3e-3)),
    *({"learning_rate": 1e-3, "samples_per_update": n, "update_kwargs": ONE_UPDATE} for n in (5, 10)),
)


if __name__ == "__main__":
    tune(((arguments, Spec("policy_based_rl", arguments)) for arguments in SETTINGS), SEEDS)
