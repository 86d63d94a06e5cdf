"""What each change that the preset process makes to the paper's constants gives, on seeds that no comparison reports.

    python -m benchmarks.strategies.tune_autoad [TABLE ...]

Prints, for that preset, which was the default then, and for each setting put back alone, the mean over 10 seeds of the
best reward after 100 trials, and the paired difference with its 95 % interval, on each table (default: random).

Run once, on random; best, difference:
  0.9389                     default
  0.9200  -0.0188 +- 0.0170  learning_rate 3.5e-4
  0.9240  -0.0149 +- 0.0228  replay_updates 1
  0.9381  -0.0007 +- 0.0064  normalize_advantage false
  0.9404  +0.0015 +- 0.0092  kl_weight 1e-2
The same run had two settings that were removed after it: the plain likelihood of L_explore, a step of its own in which
all samples weigh the same (-0.0073 +- 0.0116), and the outputs of the best 2 of a batch as input of the next iteration
(Fig. 1; +0.0000 +- 0.0000).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.strategies.answers import load_answers
from benchmarks.strategies.report import best_so_far, curves_of
from benchmarks.strategies.runs import play
from benchmarks.strategies.specs import Spec
from benchmarks.strategies.stats import estimate

SEEDS = range(1000, 1010)  # the comparison reports 0 to 49
TRIALS = 100
CHANGES: dict[str, dict[str, Any]] = {
    "default": {},
    "learning_rate 3.5e-4": {"learning_rate": 3.5e-4},
    "replay_updates 1": {"replay_updates": 1},
    "normalize_advantage false": {"normalize_advantage": False},
    "kl_weight 1e-2": {"kl_weight": 1e-2},
}


def main() -> None:
    wanted = sys.argv[1:] or ["random"]
    for answers in load_answers(Path(__file__).parent):
        if answers.name not in wanted:
            continue
        print(f"{answers.name}: {answers.description}", flush=True)
        default: np.ndarray[Any, np.dtype[np.float64]] | None = None
        for name, arguments in CHANGES.items():
            spec = Spec("autoad", {"preset": "process", **arguments})
            runs = [play(name, spec, seed, answers, TRIALS) for seed in SEEDS]
            best = best_so_far(curves_of(runs))[:, -1]
            default = best if default is None else default
            gap = estimate((best - default).tolist())
            print(f"  {name:<26} {best.mean():.4f}  {gap.mean:+.4f} ± {gap.margin:.4f}", flush=True)


if __name__ == "__main__":
    main()
