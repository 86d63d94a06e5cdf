"""How well scores separate anomalous from normal images: pure functions of labels and scores.

Label 1 is anomalous; a higher score is more anomalous. With the scores at or above a threshold called anomalous, let TP
and FP be the numbers of anomalous and normal images among them. Equal scores are one threshold, so the order of the
images does not matter. In NumPy, because importing scikit-learn's metrics takes a second in every trial process.

References: Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006 [1]; Davis and Goadrich,
"The Relationship Between Precision-Recall and ROC Curves", ICML 2006 [2]; Li et al., TNNLS 2022, Section V-B [3].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoad_nni.errors import AutoADError

__all__ = ["aupr_in", "aupr_out", "auroc"]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    r"""Return the area under the receiver operating characteristic.

    The curve is the true-positive rate (TP over all anomalous images) against the false-positive rate (FP over all
    normal images). Its area is the probability that an anomalous image has a higher score than a normal one,

    .. math:: P(s_+ > s_-) + \tfrac12 P(s_+ = s_-) .

    Args:
        labels: 1 for anomalous, 0 for normal.
        scores: Higher is more anomalous.

    Shape:
        Both ``(n,)``.

    Returns:
        In [0, 1]; 1 for perfect separation, 0.5 for chance.

    Raises:
        AutoADError: All labels are of one class.
        ValueError: A score is not finite, a label is neither 0 nor 1, or the shapes differ.

    Source: [1], Section 7; [3].

    Example:
        >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75
    """
    true_positives, false_positives = _counts(*_checked(labels, scores))
    hits, alarms = true_positives / true_positives[-1], false_positives / false_positives[-1]
    return float((np.diff(alarms) * (hits[1:] + hits[:-1]) / 2).sum())


def aupr_out(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    r"""Return the area under the precision-recall curve with anomalous images as positives (AUPR-Out).

    Over the distinct thresholds k from the highest down, with precision :math:`P_k = TP / (TP + FP)` and recall
    :math:`R_k`, TP over all anomalous images, it is the average precision

    .. math:: \sum_k (R_k - R_{k-1}) P_k .

    Args:
        labels: 1 for anomalous, 0 for normal.
        scores: Higher is more anomalous.

    Shape:
        Both ``(n,)``.

    Returns:
        In (0, 1]; 1 for perfect separation, about the share of anomalous images for chance.

    Raises:
        AutoADError: All labels are of one class.
        ValueError: A score is not finite, a label is neither 0 nor 1, or the shapes differ.

    Source: [3]. Not given by it: the interpolation. Here steps, like scikit-learn's ``average_precision_score``:
    trapezoids are too optimistic [2].

    Example:
        >>> round(aupr_out([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
        0.833333
    """
    true_positives, false_positives = _counts(*_checked(labels, scores))
    precision = true_positives[1:] / (true_positives + false_positives)[1:]
    return float((np.diff(true_positives / true_positives[-1]) * precision).sum())


def aupr_in(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the precision-recall curve with normal images as positives (AUPR-In).

    It is :func:`aupr_out` of ``1 - labels`` and ``-scores``: low scores are called normal.

    Args:
        labels: 1 for anomalous, 0 for normal.
        scores: Higher is more anomalous.

    Shape:
        Both ``(n,)``.

    Returns:
        In (0, 1]; 1 for perfect separation, about the share of normal images for chance.

    Raises:
        AutoADError: All labels are of one class.
        ValueError: A score is not finite, a label is neither 0 nor 1, or the shapes differ.

    Source: [3]. Not given by it: the interpolation, as in :func:`aupr_out`.

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
    """TP and FP at each distinct threshold from the highest down, after a leading 0."""
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    true_positives = np.cumsum(anomalous[order], dtype=np.float64)[ends]
    return np.append(0.0, true_positives), np.append(0.0, ends + 1 - true_positives)
