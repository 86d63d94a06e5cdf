"""How far a model's figure on validation could lie elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autoad_nni.data import LabelledImages
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.interval import Indices, bootstrap_interval
from autoad_nni.metrics.pixel_draws import MapDraws, ThresholdDraws
from autoad_nni.models.scoring import Prediction
from autoad_nni.trial.evaluate import IMAGE_METRICS, least_region

__all__ = ["interval_of"]

_OF_IMAGES = (*IMAGE_METRICS, "image_auroc")


def interval_of(name: str, prediction: Prediction, images: LabelledImages) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric of a prediction (:func:`autoad_nni.metrics.interval.bootstrap_interval`).

    None where all draws give the same figure, for instance because every score is in order: that a few images were in
    order does not say how certain that is.

    Args:
        name: One of `autoad_nni.trial.evaluate.REWARDS`.
        prediction: Of the images.
        images: Their labels and masks; for RPRO, the normal ones set the threshold. Copies of one are drawn together.

    Raises:
        AutoADError: The images are all normal or all anomalous.
    """
    kept = slice(None) if name in _OF_IMAGES else images.located().numpy()
    labels = images.labels.numpy()[kept]
    origins = None if images.origins is None else images.origins.numpy()[kept]
    low, high = bootstrap_interval(_metric(name, prediction, images, kept), labels, origins)
    return None if math.isclose(low, high) else (low, high)  # equal but for rounding


def _metric(
    name: str, prediction: Prediction, images: LabelledImages, kept: slice | npt.NDArray[np.bool_]
) -> Callable[[Indices], float]:
    """The metric of some of the images that are kept, by their indices among these."""
    labels = images.labels.numpy()[kept]
    if name in _OF_IMAGES:
        metric = IMAGE_METRICS.get(name, auroc)
        scores = (prediction.anomaly_map.amax((1, 2, 3)) if name == "image_auroc" else prediction.score).numpy()
        return lambda drawn: metric(labels[drawn], scores[drawn])
    assert images.masks is not None
    masks, maps = images.masks.numpy()[kept], prediction.anomaly_map[:, 0].numpy()[kept]
    if name == "rpro":
        return ThresholdDraws(masks, maps, labels, min_area=least_region(*maps.shape[1:])).rpro
    draws = MapDraws(masks, maps)
    return draws.pixel_auroc if name == "pixel_auroc" else draws.aupro
