"""The metrics of maps for one choice of images after another, as a bootstrap needs them: pure functions.

:mod:`autoad_nni.metrics.pixel` sorts every normal pixel, half a second for 80 maps of 224 x 224. Here each image is
summed up once, and what is chosen of them costs a tenth of a millisecond.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoad_nni.metrics.interval import Indices
from autoad_nni.metrics.pixel import Mask, Real, checked, normal_threshold, regions

__all__ = ["MapDraws", "ThresholdDraws"]

_BINS = 2000

Array = npt.NDArray[np.float64]


class MapDraws:
    """Pixel AUROC and AUPRO of chosen images, from scores in 2,000 bins.

    The bins end at quantiles of the normal pixels, so that each holds 1/2000 of these: as far as that, the figures
    differ from those of the scores themselves. With fewer pixels they are exact.

    Args:
        masks: 1 for defect, 0 for normal.
        maps: Higher is more anomalous.

    Shape:
        Both ``(n, h, w)``.

    Raises:
        AutoADError: All pixels are of one kind.
        ValueError: A score is not finite, a mask is neither 0 nor 1, or the shapes differ.

    Example:
        >>> masks, maps = [[[0, 0], [1, 1]], [[0, 0], [0, 1]]], [[[0.1, 0.4], [0.35, 0.8]], [[0.2, 0.3], [0.1, 0.9]]]
        >>> draws = MapDraws(masks, maps)
        >>> draws.pixel_auroc(np.array([0, 0])), draws.aupro(np.array([0, 0]), max_fpr=1)
        (0.75, 0.75)
    """

    def __init__(self, masks: npt.ArrayLike, maps: npt.ArrayLike) -> None:
        defect, scores = checked(masks, maps)
        ends = np.unique(np.quantile(scores[~defect], np.linspace(0, 1, _BINS + 1), method="lower"))
        self._normal, self._defect, self._regions = (np.zeros((len(defect), 2 * len(ends) + 1)) for _ in range(3))
        for i, (mask, image) in enumerate(zip(defect, scores, strict=True)):
            # Odd at an end, even between two: what is just above a score does not tie with it.
            bins = ends.searchsorted(image, "left") + ends.searchsorted(image, "right")
            for counts, pixels, weights in (
                (self._normal, ~mask, None),
                (self._defect, mask, None),
                (self._regions, mask, _shares(mask)),
            ):
                counts[i] = np.bincount(bins[pixels], weights, minlength=counts.shape[1])

    def pixel_auroc(self, drawn: Indices) -> float:
        """Return :func:`autoad_nni.metrics.pixel.pixel_auroc` of images, by index."""
        alarms, hits = _rates(self._normal, drawn), _rates(self._defect, drawn)
        return _area(alarms, hits, 1.0)

    def aupro(self, drawn: Indices, *, max_fpr: float = 0.3) -> float:
        """Return :func:`autoad_nni.metrics.pixel.aupro` of images, by index."""
        alarms, overlap = _rates(self._normal, drawn), _rates(self._regions, drawn)
        return _area(alarms, overlap, max_fpr)


class ThresholdDraws:
    """RPRO of chosen images, at the threshold that the normal ones among them set; exact.

    Args:
        masks: 1 for defect, 0 for normal; those of normal images are empty.
        maps: Higher is more anomalous.
        labels: 1 for anomalous images, 0 for normal ones.
        min_area: Of a region, in pixels; as for :func:`autoad_nni.metrics.pixel.normal_threshold`.

    Shape:
        ``masks`` and ``maps`` ``(n, h, w)``, ``labels`` ``(n,)``.
    """

    def __init__(self, masks: npt.ArrayLike, maps: npt.ArrayLike, labels: npt.ArrayLike, *, min_area: int) -> None:
        defect, scores = checked(masks, maps)
        self._threshold = np.full(len(defect), -np.inf)
        for i in np.flatnonzero(np.asarray(labels) == 0):
            self._threshold[i] = normal_threshold(scores[i : i + 1], min_area=min_area)
        thresholds = np.unique(self._threshold)
        self._thresholds = thresholds
        found = [_found_above(mask, image, thresholds) for mask, image in zip(defect, scores, strict=True)]
        self._found, self._n_regions = np.stack([each for each, _ in found]), np.array([count for _, count in found])

    def rpro(self, drawn: Indices) -> float:
        """Return :func:`autoad_nni.metrics.pixel.rpro` of images, by index."""
        at = self._thresholds.searchsorted(self._threshold[drawn].max())
        return float(self._found[drawn, at].sum() / self._n_regions[drawn].sum())


def _found_above(mask: Mask, image: Real, thresholds: Array) -> tuple[Array, int]:
    """The sum over an image's regions of the share above each threshold, and their number."""
    values, shares = image[mask].astype(np.float64), _shares(mask)
    order = np.argsort(values)
    above = np.append(shares[order][::-1].cumsum()[::-1], 0.0)
    return above[values[order].searchsorted(thresholds, "right")], regions(mask)[1]


def _shares(mask: Mask) -> Array:
    """What share of its region each defect pixel is."""
    region = regions(mask)[0][mask]
    return np.asarray(1 / np.bincount(region)[region]) if len(region) else np.zeros(0)


def _rates(counts: Array, drawn: Indices) -> Array:
    """Share of the drawn images' pixels in each bin or a higher one, from the highest down, after a leading 0."""
    total: Array = np.append(0.0, (np.bincount(drawn, minlength=len(counts)) @ counts)[::-1].cumsum())
    rates: Array = total / total[-1]
    return rates


def _area(alarms: Array, found: Array, max_fpr: float) -> float:
    """Area under a curve of straight pieces up to a false-positive rate, divided by it."""
    end = int(alarms.searchsorted(max_fpr))  # the first that reaches it: what is found only there has no width
    share = (max_fpr - alarms[end - 1]) / (alarms[end] - alarms[end - 1])
    last = found[end - 1] + share * (found[end] - found[end - 1])
    x, y = np.append(alarms[:end], max_fpr), np.append(found[:end], last)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / max_fpr)
