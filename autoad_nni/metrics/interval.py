"""How far a figure could lie elsewhere, had other images been drawn: a bootstrap interval of any metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autoad_nni.errors import AutoADError

__all__ = ["Indices", "bootstrap_interval"]

Indices = npt.NDArray[np.intp]


def bootstrap_interval(
    metric: Callable[[Indices], float],
    labels: npt.ArrayLike,
    *,
    level: float = 0.95,
    n_draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    r"""Return the percentile interval of a metric by a stratified bootstrap over images.

    As many normal and as many anomalous images as there are are drawn with replacement, each from their own kind, and
    the metric is computed of those that were drawn. The interval goes from the quantile :math:`(1 - level) / 2` of
    these figures to the quantile :math:`(1 + level) / 2`.

    It knows of nothing but which images were drawn: not of how the model was chosen. For a model that was chosen on the
    very images, the figure and its interval are too high. With a few anomalous images it is too narrow, with one it
    knows only of the normal images; and where every image is in order, it is the point 1.

    Args:
        metric: Of chosen images, given by their indices, some of them more than once.
        labels: 1 for anomalous, 0 for normal.
        level: Share of the figures within the interval, between 0 and 1.
        n_draws: How many times images are drawn.
        seed: Of the draws.

    Shape:
        - labels: ``(n,)``
        - what ``metric`` gets: ``(n,)``

    Raises:
        AutoADError: All labels are of one class.

    Reference:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, Section 13.3.

    Example:
        >>> from autoad_nni.metrics.image import auroc
        >>> labels, scores = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([0.1, 0.4, 0.2, 0.3, 0.35, 0.8, 0.25])
        >>> round(auroc(labels, scores), 2)
        0.75
        >>> low, high = bootstrap_interval(lambda drawn: auroc(labels[drawn], scores[drawn]), labels)
        >>> round(low, 2), round(high, 2)
        (0.33, 1.0)
    """
    marks = np.asarray(labels)
    kinds = [np.flatnonzero(marks == 0), np.flatnonzero(marks == 1)]
    if not all(len(kind) for kind in kinds):
        raise AutoADError(
            f"labels with one class only: {len(kinds[1])} of {len(marks)} are anomalous. Expected normal and anomalous "
            "images. Add images of the other class."
        )
    random = np.random.default_rng(seed)
    figures = [metric(np.concatenate([random.choice(kind, len(kind)) for kind in kinds])) for _ in range(n_draws)]
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
