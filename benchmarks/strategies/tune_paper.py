"""What keeps the preset `paper` from learning, its learning rate or its prior, on seeds that no comparison reports.

    python benchmarks/strategies/tune_paper.py [TABLES]

Prints, as tuning.py says, means over 10 seeds of the best reward, for both tables and apart.

Run once; mean, small, random:
  0.8919  0.9335  0.8504  paper
  0.8918  0.9328  0.8508  kl_weight 0
  0.8886  0.9334  0.8438  learning_rate 2e-2
  0.9134  0.9578  0.8690  both
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

from typing import Any

from tuning import tune

from autoad_nni.bench.specs import Spec

SEEDS = range(1000, 1010)  # the comparison reports 0 to 49
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"kl_weight": 0.0},
    {"learning_rate": 2e-2},
    {"kl_weight": 0.0, "learning_rate": 2e-2},
)

if __name__ == "__main__":
    tune(((changes or "paper", Spec("autoad", {"preset": "paper", **changes})) for changes in CHANGES), SEEDS)
