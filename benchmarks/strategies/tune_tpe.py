"""Chooses the arguments of NNI's TPE for the comparison of strategies, on seeds that it does not report.

    python benchmarks/strategies/tune_tpe.py [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials of the best reward, on each table of the folder.
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

import sys
from pathlib import Path

import numpy as np

from autoad_nni.bench.answers import load_answers
from autoad_nni.bench.report import best_so_far, curves_of
from autoad_nni.bench.runs import play
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


def main() -> None:
    tables = load_answers(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
    for arguments in SETTINGS:
        spec = Spec("tpe", {"tpe_args": arguments})
        means = []
        for answers in tables:
            best = best_so_far(curves_of([play("tuned", spec, seed, answers, 200) for seed in SEEDS]))
            means.append(float(np.mean(best[:, [49, 99, 199]])))
        each = [f"{answers.name} {mean:.4f}" for answers, mean in zip(tables, means, strict=True)]
        print(f"{np.mean(means):.4f}", *each, arguments, flush=True)


if __name__ == "__main__":
    main()
