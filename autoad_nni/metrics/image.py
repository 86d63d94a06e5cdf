"""How well scores tell anomalies from normal images: pure functions of labels and scores.

Label 1 = anomalous; higher score = more anomalous. Equal scores are one threshold, so that the order of the images
never matters. In numpy, as importing scikit-learn's metrics takes a second in every trial process.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoad_nni.errors import AutoADError

__all__ = ["aupr_in", "aupr_out", "auroc"]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the receiver operating characteristic: ``P(s+ > s-) + P(s+ = s-) / 2``.

    Args:
        labels: 1 for anomalous, 0 for normal.
        scores: Higher = more anomalous.

    Shape:
        Both ``(n,)``.

    Raises:
        AutoADError: All labels are of one class.
        ValueError: A score is not finite, a label is neither 0 nor 1, or the shapes differ.

    Example:
        >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75
    """
    true_positives, false_positives = _counts(*_checked(labels, scores))
    hits, alarms = true_positives / true_positives[-1], false_positives / false_positives[-1]
    return float((np.diff(alarms) * (hits[1:] + hits[:-1]) / 2).sum())


def aupr_out(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision with anomalous images as positives: ``sum_k (R_k - R_{k-1}) P_k`` over thresholds.

    Args:
        labels: 1 for anomalous, 0 for normal.
        scores: Higher = more anomalous.

    Shape:
        Both ``(n,)``.

    Raises:
        AutoADError: All labels are of one class.
        ValueError: A score is not finite, a label is neither 0 nor 1, or the shapes differ.

    Differs from / not given by the paper: the paper does not say how it interpolates; steps, as scikit-learn's
    ``average_precision_score`` takes them, are not optimistic as trapezoids are (Davis and Goadrich 2006).

    Example:
        >>> round(aupr_out([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
        0.833333
    """
    true_positives, false_positives = _counts(*_checked(labels, scores))
    precision = true_positives[1:] / (true_positives + false_positives)[1:]
    return float((np.diff(true_positives / true_positives[-1]) * precision).sum())


def aupr_in(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision with normal images as positives: :func:`aupr_out` of ``1 - labels`` and ``-scores``.

    Args:
        labels: 1 for anomalous, 0 for normal.
        scores: Higher = more anomalous.

    Shape:
        Both ``(n,)``.

    Raises:
        AutoADError: All labels are of one class.
        ValueError: A score is not finite, a label is neither 0 nor 1, or the shapes differ.

    Example:
        >>> round(aupr_in([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
        0.833333
    """
    anomalous, values = _checked(labels, scores)
    return aupr_out(~anomalous, -values)


def _checked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    marks, values = np.asarray(labels), np.asarray(scores, np.float64)
    if marks.ndim != 1 or marks.shape != values.shape:
        raise ValueError(f"labels of shape {marks.shape} and scores of shape {values.shape}; expected (n,) both")
    if not np.isin(marks, (0, 1)).all():
        raise ValueError("labels other than 0 (normal) and 1 (anomalous)")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {len(values)} scores are not finite")
    n_anomalous = int(np.count_nonzero(marks))
    if n_anomalous in (0, len(marks)):
        raise AutoADError(
            f"labels with one class only: {n_anomalous} of {len(marks)} are anomalous. Expected normal and anomalous "
            "images. Add images of the other class."
        )
    return marks.astype(bool), values


def _counts(
    anomalous: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """True and false positives at each distinct threshold from the highest down, after a leading 0."""
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    true_positives = np.cumsum(anomalous[order], dtype=np.float64)[ends]
    return np.append(0.0, true_positives), np.append(0.0, ends + 1 - true_positives)
