"""How well anomaly maps separate defect from normal pixels: pure functions of masks and maps.

Mask 1 is defect; a higher value in the map is more anomalous. Regions are 8-connected: pixels that touch at a corner
belong together.

The areas are exact, without a curve or a list of thresholds. As the threshold falls, a defect pixel with score s begins
to be found at the false-positive rate a (normal pixels above s), and is found from b on (those equal to s too),
linearly in between. Its share of the area is a formula of a and b, which are read off the sorted normal scores. Memory:
these (4 bytes per normal pixel for float32 maps, 8 for float64) and arrays of one image; 20 MB for 100 float32 maps of
224 x 224 (benchmarks/map_metrics.py). Scores are compared in the precision they have: rounded to float32, different
float64 scores would tie.

References: Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR
2019 [1]; Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129, 2021 [2]; Li et al., TNNLS 2022, Section
V-B and Table III [3].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from autoad_nni.errors import AutoADError

__all__ = ["aupro", "normal_threshold", "pixel_auroc", "rpro"]

Mask = npt.NDArray[np.bool_]
Real = npt.NDArray[Any]  # of floating point numbers, float32 or wider


def pixel_auroc(masks: npt.ArrayLike, maps: npt.ArrayLike) -> float:
    r"""Return the area under the receiver operating characteristic over the pixels of all images.

    It is the probability that a defect pixel has a higher score than a normal one,
    :math:`P(s_+ > s_-) + \tfrac12 P(s_+ = s_-)`.

    Args:
        masks: 1 for defect, 0 for normal.
        maps: Higher is more anomalous.

    Shape:
        Both ``(n, h, w)``.

    Returns:
        In [0, 1]; 1 for perfect separation, 0.5 for chance.

    Raises:
        AutoADError: All pixels are of one kind.
        ValueError: A score is not finite, a mask is neither 0 nor 1, or the shapes differ.

    Source: [1], Section 4.3; [3].

    Example:
        >>> pixel_auroc([[[0, 0], [1, 1]]], [[[0.1, 0.4], [0.35, 0.8]]])
        0.75
    """
    defect, scores = checked(masks, maps)
    found = _found_share(defect, scores, 1.0)
    return float(sum(found(image[mask]).sum() for mask, image in zip(defect, scores, strict=True)) / defect.sum())


def aupro(masks: npt.ArrayLike, maps: npt.ArrayLike, *, max_fpr: float = 0.3) -> float:
    r"""Return the area under the per-region overlap against the false-positive rate, up to ``max_fpr``.

    At a threshold, the per-region overlap (PRO) is the share of the pixels of a region :math:`C_k` that score at or
    above it, averaged over the K regions of all masks, so that a small region counts as much as a large one; the
    false-positive rate f is that share of the normal pixels of all images:

    .. math:: \mathrm{PRO} = \frac1K \sum_k \frac{|P \cap C_k|}{|C_k|}, \qquad
        \mathrm{AUPRO} = \frac1{f_{max}} \int_0^{f_{max}} \mathrm{PRO}(f) \, df .

    Both are interpolated linearly from one distinct score to the next, also at the limit.

    Args:
        masks: 1 for defect, 0 for normal.
        maps: Higher is more anomalous.
        max_fpr: Above 0, at most 1.

    Shape:
        Both ``(n, h, w)``.

    Returns:
        In [0, 1]; 1 for perfect separation, ``max_fpr / 2`` for chance.

    Raises:
        AutoADError: All pixels are of one kind.
        ValueError: A score is not finite, a mask is neither 0 nor 1, the shapes differ, or ``max_fpr`` is out of range.

    Source: [2]; its limit of 0.3 is the default. Not in the paper [3].

    Example:
        One region with scores 0.9 and 0.35, normal pixels with 0.1 and 0.4: found at the rates 0 and 1/2.

        >>> round(aupro([[[0, 0], [1, 1]]], [[[0.1, 0.4], [0.35, 0.9]]], max_fpr=1), 6)  # (1 + 1/2) / 2
        0.75
        >>> aupro([[[0, 0], [1, 1]]], [[[0.1, 0.4], [0.35, 0.9]]])
        0.5
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr is {max_fpr}; expected above 0, at most 1")
    defect, scores = checked(masks, maps)
    return _region_mean(defect, scores, _found_share(defect, scores, max_fpr))


def rpro(masks: npt.ArrayLike, maps: npt.ArrayLike, *, threshold: float) -> float:
    r"""Return the relative per-region overlap at a threshold.

    With the set P of the pixels above the threshold and the K regions :math:`C_k` of all masks, it is

    .. math:: \mathrm{RPRO} = \frac1K \sum_k \frac{|P \cap C_k|}{|C_k|} .

    Args:
        masks: 1 for defect, 0 for normal.
        maps: Higher is more anomalous.
        threshold: For instance from :func:`normal_threshold`; a pixel equal to it is not above it.

    Shape:
        Both ``(n, h, w)``.

    Returns:
        In [0, 1]; 1 if every defect pixel is above the threshold. False positives do not lower it; a threshold set on
        normal images limits them.

    Raises:
        AutoADError: No pixel is a defect.
        ValueError: A score or the threshold is not finite, a mask is neither 0 nor 1, or the shapes differ.

    Source: [1], Section 4.3 and Table 3; [3]. Not given by them: the formula, and what a region is; here the
    per-region overlap of [2]. Detected regions smaller than the minimum area count too.

    Example:
        >>> rpro([[[0, 0, 1, 1], [1, 0, 0, 0]]], [[[0.9, 0, 0.9, 0.2], [0.8, 0, 0, 0]]], threshold=0.5)  # 1/2 and 1
        0.75
    """
    if not np.isfinite(threshold):
        raise ValueError(f"threshold is {threshold}; expected a finite number")
    defect, scores = checked(masks, maps, normal_needed=False)
    # As an array: NumPy would round a plain float to the maps' float32.
    limit = np.array([threshold], np.float64)
    return _region_mean(defect, scores, lambda values: (values > limit).astype(np.float64))


def normal_threshold(maps: npt.ArrayLike, *, min_area: int) -> float:
    """Return the lowest threshold above which no map of a normal image has a region of ``min_area`` pixels or more.

    Above is strict, as in :func:`rpro`, so that the threshold is one of the scores; for ``min_area=1``, the maximum.

    Args:
        maps: Of normal images; higher is more anomalous.
        min_area: In pixels, from 1 to ``h * w``.

    Shape:
        ``(n, h, w)``.

    Raises:
        AutoADError: There are no pixels.
        ValueError: A score is not finite, ``maps`` has another shape, or ``min_area`` is out of range.

    Source: [1], Section 4.3: increasing thresholds until the largest region is just below the minimum defect area. Not
    given by it: the step of the thresholds (here exact), whether a pixel at the threshold counts, and which pixels
    touch.

    Example:
        >>> normal_threshold([[[0.1, 0.2, 0.7, 0.6, 0.1, 0.9]]], min_area=2)  # 0.7 and 0.6 touch; 0.9 is alone
        0.6
    """
    scores = _finite(maps)
    if not scores.size:
        raise AutoADError(f"maps of shape {scores.shape}: no pixel. Expected maps of normal images. Add normal images.")
    if not 1 <= min_area <= scores[0].size:
        raise ValueError(f"min_area is {min_area}; expected 1 to h * w = {scores[0].size}")
    threshold: Any = -np.inf
    for image in scores:
        # Most images do not exceed the threshold of those before: one look, no search.
        if not _has_region(image, threshold, min_area):
            continue
        values = np.unique(image)
        low, high = int(values.searchsorted(threshold, "right")), len(values) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if _has_region(image, values[middle], min_area) else (low, middle)
        threshold = values[low]
    return float(threshold)


def _has_region(image: Real, threshold: Any, min_area: int) -> bool:
    above = image > threshold
    if np.count_nonzero(above) < min_area:
        return False
    labels, _ = regions(above)
    return bool(np.bincount(labels[above]).max() >= min_area)


def regions(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Number the 8-connected regions from 1; 0 is outside."""
    from scipy import ndimage  # type: ignore[import-untyped]  # here, because it takes longer to import than all the rest

    labels, count = ndimage.label(mask, structure=np.ones((3, 3), bool))
    return labels, int(count)


def _region_mean(defect: Mask, scores: Real, value: Callable[[Real], npt.NDArray[np.float64]]) -> float:
    """Return the mean over regions of the mean over a region's pixels."""
    total, n_regions = 0.0, 0
    for mask, image in zip(defect, scores, strict=True):
        labels, count = regions(mask)
        region = labels[mask] - 1
        total += float((np.bincount(region, value(image[mask])) / np.bincount(region)).sum())
        n_regions += count
    return total / n_regions


def _found_share(defect: Mask, scores: Real, max_fpr: float) -> Callable[[Real], npt.NDArray[np.float64]]:
    """Return the share of the false-positive rates up to ``max_fpr`` at which a pixel is found, by its score.

    Rates are counts of normal pixels here. From ``start`` to ``end`` the found part of the pixel grows from 0 to 1.
    """
    normal = np.empty(defect.size - np.count_nonzero(defect), scores.dtype)
    position = 0
    for mask, image in zip(defect, scores, strict=True):
        values = image[~mask]
        normal[position : position + len(values)] = values
        position += len(values)
    normal.sort()
    limit = max_fpr * len(normal)

    def share(values: Real) -> npt.NDArray[np.float64]:
        order = np.argsort(values)  # neighbouring searches then touch the same memory: 5 to 10 times faster
        start = len(normal) - normal.searchsorted(values[order], "right")
        end = len(normal) - normal.searchsorted(values[order], "left")
        within = np.minimum(end, limit) - np.minimum(start, limit)
        area = limit - np.minimum(end, limit) + within**2 / (2 * np.maximum(end - start, 1))
        result = np.empty(len(values))
        result[order] = area / limit
        return result

    return share


def _finite(maps: npt.ArrayLike) -> Real:
    scores = np.asarray(maps)
    if scores.ndim != 3:
        raise ValueError(f"maps of shape {scores.shape}; expected (n, h, w)")
    scores = scores.astype(np.promote_types(scores.dtype, np.float32), copy=False)
    n_faults = sum(int(np.count_nonzero(~np.isfinite(image))) for image in scores)
    if n_faults:
        raise ValueError(f"{n_faults} of {scores.size} scores are not finite")
    return scores


def checked(masks: npt.ArrayLike, maps: npt.ArrayLike, *, normal_needed: bool = True) -> tuple[Mask, Real]:
    marks, shape = np.asarray(masks), np.shape(maps)
    if marks.ndim != 3 or marks.shape != shape:
        raise ValueError(f"masks of shape {marks.shape} and maps of shape {shape}; expected (n, h, w) both")
    if marks.dtype != np.bool_ and not ((marks == 0) | (marks == 1)).all():
        raise ValueError("masks with values other than 0 (normal) and 1 (defect)")
    n_defect = int(np.count_nonzero(marks))
    if not n_defect or (normal_needed and n_defect == marks.size):
        raise AutoADError(
            f"masks with one kind of pixel only: {n_defect} of {marks.size} are defect. Expected normal and defect "
            "pixels. Add images of the other kind."
        )
    return marks.astype(bool, copy=False), _finite(maps)
