"""What keeps the preset `paper` from learning, its learning rate or its prior, on seeds that no comparison reports.

    python -m benchmarks.strategies.tune_paper [TABLES]

Prints, as tuning.py says, means over 10 seeds of the best reward, for both tables and apart.

Run once; mean, small, random:
  0.8920  0.9336  0.8504  paper
  0.8918  0.9328  0.8508  kl_weight 0
  0.8890  0.9334  0.8446  learning_rate 2e-2
  0.9122  0.9520  0.8724  both
"""

from __future__ import annotations

from typing import Any

from benchmarks.strategies.specs import Spec
from benchmarks.strategies.tuning import tune

SEEDS = range(1000, 1010)  # the comparison reports 0 to 49
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"kl_weight": 0.0},
    {"learning_rate": 2e-2},
    {"kl_weight": 0.0, "learning_rate": 2e-2},
)

if __name__ == "__main__":
    tune(((changes or "paper", Spec("autoad", {"preset": "paper", **changes})) for changes in CHANGES), SEEDS)
