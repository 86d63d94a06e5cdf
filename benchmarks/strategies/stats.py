"""The two statistics of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats  # type: ignore[import-untyped]

__all__ = ["Estimate", "estimate", "rank_correlation"]


class Estimate(NamedTuple):
    """A mean over seeds.

    Attributes:
        mean: The mean.
        margin: Half the width of its 95 % interval (Student's t); NaN for a single seed.
    """

    mean: float
    margin: float


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and 95 % interval; of paired differences, this is the paired t interval.

    Example:
        >>> mean, margin = estimate([0.1, 0.2, 0.3])
        >>> round(mean, 3), round(margin, 3)
        (0.2, 0.248)
    """
    if len(values) < 2:
        return Estimate(float(np.mean(values)), float("nan"))
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Estimate(float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1)) * error)


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's rank correlation; ties have their mean rank.

    Example:
        >>> rank_correlation([1, 2, 3], [10, 30, 20])
        0.5
    """
    ranks = stats.rankdata(first), stats.rankdata(second)
    return float(np.corrcoef(*ranks)[0, 1])
