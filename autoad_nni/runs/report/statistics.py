"""What is computed from the trials of a search, and from the scores of its winner: pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Importance",
    "ShuffledBest",
    "ValueFigures",
    "best_of_shuffled",
    "figures_by_value",
    "importances",
    "pr_points",
    "roc_points",
]

Floats = npt.NDArray[np.float64]


class ShuffledBest(NamedTuple):
    """The best of the first k rewards over all orders of them, for k from 1 to n; each ``(n,)``."""

    mean: Floats
    low: Floats
    high: Floats


def best_of_shuffled(rewards: Sequence[float], level: float = 0.9) -> ShuffledBest:
    r"""Return mean and range of the best of the first k rewards, had they come in a random order.

    Of k out of n rewards, drawn without replacement, the best is at most the i-th lowest with the probability
    :math:`\binom{i}{k} / \binom{n}{k}`. If the rewards are those of independent random samples, the mean estimates
    without bias what the best of k random samples would be. If a strategy chose the samples, it does not: good
    samples that it only found by learning count as if they could have come first.

    Args:
        rewards: In any order.
        level: The range holds this share of all orders.

    Example:
        >>> best_of_shuffled([0.0, 1.0, 0.5]).mean.round(3).tolist()
        [0.5, 0.833, 1.0]
    """
    ordered = np.sort(np.asarray(rewards, np.float64))
    n = len(ordered)
    at_most, below = np.ones(n), np.arange(1.0, n + 1)
    rows = []
    for k in range(1, n + 1):
        at_most = at_most * np.maximum(below - k + 1, 0) / (n - k + 1)
        mean = float(ordered @ np.diff(at_most, prepend=0.0))
        rows.append((mean, *(ordered[np.searchsorted(at_most, (1 + sign * level) / 2 - 1e-12)] for sign in (-1, 1))))
    return ShuffledBest(*np.array(rows).reshape(-1, 3).T)


class ValueFigures(NamedTuple):
    """How the trials with one value of a choice did; of those that ended well, if there are any."""

    value: str
    n_tried: int
    n_ok: int
    mean: float
    deviation: float
    low: float
    high: float


def figures_by_value(values: Sequence[str], rewards: Sequence[float | None]) -> list[ValueFigures]:
    """Return how the trials with each value did, the highest mean first.

    Args:
        values: Of the trials.
        rewards: Of the trials; None for one that did not end well.

    Example:
        >>> [f"{each.value} {each.mean} {each.n_ok}/{each.n_tried}" for each in figures_by_value(
        ...     ["l1", "l2", "l1", "l1"], [0.5, 0.875, 1.0, None])]
        ['l2 0.875 1/1', 'l1 0.75 2/3']
    """
    found = []
    for value in dict.fromkeys(values):
        all_of_it = [reward for each, reward in zip(values, rewards, strict=True) if each == value]
        of_it = np.array([reward for reward in all_of_it if reward is not None])
        if len(of_it):
            deviation = float(of_it.std(ddof=1)) if len(of_it) > 1 else math.nan
            figures = (float(of_it.mean()), deviation, float(of_it.min()), float(of_it.max()))
        else:
            figures = (math.nan,) * 4
        found.append(ValueFigures(value, len(all_of_it), len(of_it), *figures))
    return sorted(found, key=lambda each: (-each.mean if each.n_ok else math.inf, each.value))


class Importance(NamedTuple):
    """How much of the rewards' variance goes with the value of one choice.

    Attributes:
        label: Of the choice.
        n_values: How many of its values were tried.
        share: Epsilon squared, 0 or more.
    """

    label: str
    n_values: int
    share: float


def importances(
    values: Mapping[str, Sequence[str]], rewards: Sequence[float], *, n_shuffles: int = 400, seed: int = 0
) -> tuple[list[Importance], float]:
    r"""Return the share of the variance that each choice goes with, and the share that chance reaches.

    With sums of squares between the means of a choice's k values and in total, over n trials, it is

    .. math:: \epsilon^2 = 1 - (1 - SS_{between} / SS_{total}) \, (n - 1) / (n - k),

    the share corrected for the number of values: without the correction, any choice with as many values as there are
    trials would explain everything. Choices are taken one by one: shares of choices that a strategy made together
    overlap, and none says that a choice is the cause.

    Args:
        values: Of the trials, by label.
        rewards: Of the same trials.
        n_shuffles: How many times the rewards are dealt out anew for what chance reaches.
        seed: Of the shuffling.

    Returns:
        The choices of which several values were tried, the most important first; and the share that in 95 % of
        shuffles none of them exceeds.

    Reference:
        Kelley: "An unbiased correlation ratio measure", PNAS 21, 1935.

    Example:
        >>> found, by_chance = importances(
        ...     {"a": list("xxxxyyyy"), "b": list("xyxyxyxy"), "c": list("xxxxxxxx")},
        ...     [0.1, 0.2, 0.1, 0.2, 0.8, 0.9, 0.8, 0.9])
        >>> [(each.label, each.n_values, round(each.share, 2)) for each in found], round(by_chance, 2)
        ([('a', 2, 0.98), ('b', 2, 0.0)], 0.98)
    """
    held = np.asarray(rewards, np.float64)
    codes = {label: np.unique(list(of_label), return_inverse=True)[1] for label, of_label in values.items()}
    several = {label: code for label, code in codes.items() if 1 < code.max(initial=0) + 1 < len(held)}
    if not several or np.ptp(held) == 0:
        return [], 0.0
    found = [Importance(label, int(code.max()) + 1, _share(code, held)) for label, code in several.items()]
    random = np.random.default_rng(seed)
    highest = []
    for _ in range(n_shuffles):
        shuffled = random.permutation(held)
        highest.append(max(_share(code, shuffled) for code in several.values()))
    ranked = sorted(found, key=lambda each: (-each.share, each.label))
    return ranked, float(np.quantile(highest, 0.95))


def _share(codes: npt.NDArray[np.intp], rewards: Floats) -> float:
    counts = np.bincount(codes)
    means = np.bincount(codes, rewards) / counts
    within, total = ((rewards - means[codes]) ** 2).sum(), ((rewards - rewards.mean()) ** 2).sum()
    n, k = len(rewards), len(counts)
    return max(0.0, float(1 - within / total * (n - 1) / (n - k)))


def roc_points(labels: npt.ArrayLike, scores: npt.ArrayLike) -> list[tuple[float, float]]:
    """Return (false-alarm rate, share of defects found) for every threshold, from the highest down.

    The area under the line through them is :func:`autoad_nni.metrics.image.auroc`.

    Example:
        >>> roc_points([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]
    """
    found, alarms = _counts(labels, scores)
    return [(0.0, 0.0), *zip((alarms / alarms[-1]).tolist(), (found / found[-1]).tolist(), strict=True)]


def pr_points(labels: npt.ArrayLike, scores: npt.ArrayLike) -> list[tuple[float, float]]:
    """Return (recall, precision) for every threshold, from the highest down.

    The area under the steps down to them is :func:`autoad_nni.metrics.image.aupr_out`.

    Example:
        >>> pr_points([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])[:2]
        [(0.5, 1.0), (0.5, 0.5)]
    """
    found, alarms = _counts(labels, scores)
    return list(zip((found / found[-1]).tolist(), (found / (found + alarms)).tolist(), strict=True))


def _counts(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    """How many defects and good images score at least as much as each distinct score, from the highest down."""
    marks, values = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    return np.cumsum(marks[order])[ends], np.cumsum(1 - marks[order])[ends]
