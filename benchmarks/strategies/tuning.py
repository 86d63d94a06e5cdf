"""Compares settings of one strategy on recorded tables: what the tuning scripts share."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.strategies.answers import load_answers
from benchmarks.strategies.report import best_so_far, curves_of
from benchmarks.strategies.runs import play
from benchmarks.strategies.specs import Spec

_AT = (50, 100, 200)


def tune(settings: Iterable[tuple[Any, Spec]], seeds: range, trials: int = 200) -> None:
    """Print, for each setting and its spec, the mean over 50, 100 and 200 trials of the best reward, on each table.

    Args:
        settings: What is printed for a setting, and the strategy.
        seeds: Of its searches.
        trials: Of each; with 100, the mean is over 50 and 100.
    """
    tables = load_answers(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
    for setting, spec in settings:
        means = []
        for answers in tables:
            best = best_so_far(curves_of([play("tuned", spec, seed, answers, trials) for seed in seeds]))
            means.append(float(np.mean(best[:, [n - 1 for n in _AT if n <= trials]])))
        each = [f"{answers.name} {mean:.4f}" for answers, mean in zip(tables, means, strict=True)]
        print(f"{np.mean(means):.4f}", *each, setting, flush=True)
