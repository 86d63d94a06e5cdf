"""Evaluates a model on labelled images: every metric that can be the reward of a trial."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data import LabelledImages
from autoad_nni.metrics.image import aupr_in, aupr_out, auroc
from autoad_nni.metrics.pixel import aupro, normal_threshold, pixel_auroc, rpro
from autoad_nni.models.scoring import ImageScorer, Prediction, predict, predict_scores
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = [
    "IMAGE_METRICS",
    "MAP_METRICS",
    "REWARDS",
    "check_differ",
    "evaluate",
    "figures_of",
    "least_region",
    "metric_of",
    "threshold_of",
]

IMAGE_METRICS: Final = {"auroc": auroc, "aupr_in": aupr_in, "aupr_out": aupr_out}
MAP_METRICS: Final = ("pixel_auroc", "aupro", "rpro", "image_auroc")
"""The metrics of maps, for sets with masks only; ``image_auroc`` is that of the highest value of each map."""
REWARDS: Final = (*IMAGE_METRICS, *MAP_METRICS)
"""The metrics that can be the reward; all lie in [0, 1], and higher is better."""

# Of an image; a smaller region above the threshold of RPRO is no defect when it is set on normal images.
_LEAST_REGION = 1 / 2000


def evaluate(scorer: ImageScorer, images: LabelledImages, *, max_seconds: float | None = None) -> dict[str, float]:
    """Return every metric of labelled images, in one pass of the model over them.

    From scores: :func:`autoad_nni.metrics.image.auroc`, `aupr_in` and `aupr_out`. With masks, from maps too:
    :func:`autoad_nni.metrics.pixel.pixel_auroc`, `aupro`, `rpro` at the threshold of `threshold_of`, and
    ``image_auroc``, the AUROC of images whose score is the highest value of their map. All lie in [0, 1]; higher is
    better. In windows, ``auroc`` and ``image_auroc`` are equal.

    Args:
        scorer: The model.
        images: With masks, the metrics of maps are returned too.
        max_seconds: Limit on scoring ``images``.

    Raises:
        RejectedTrial: Scores or maps are not finite, all scores are equal, or scoring takes longer than
            ``max_seconds``.
        AutoADError: ``images`` are all normal or all anomalous.
    """
    if images.masks is None:
        scores = predict_scores(scorer, images.images, max_seconds=max_seconds)
        return figures_of(Prediction(scores, scores), images)
    return figures_of(predict(scorer, images.images, max_seconds=max_seconds), images)


def figures_of(prediction: Prediction, images: LabelledImages, normal_maps: Tensor | None = None) -> dict[str, float]:
    """Return every metric of a prediction; see `evaluate`.

    Args:
        prediction: Of the images; without masks, its map is not read.
        images: Their labels and masks.
        normal_maps: Maps of normal images that set the threshold of RPRO; None for those of the images.

    Raises:
        RejectedTrial: All scores are equal.
        AutoADError: The images are all normal or all anomalous.
    """
    check_differ(prediction.score)
    names = IMAGE_METRICS if images.masks is None else REWARDS
    return {name: metric_of(name, prediction, images, normal_maps) for name in names}


def check_differ(scores: Tensor) -> None:
    """Raise RejectedTrial, ``CONSTANT_SCORE``, if all images have one score, ``(n,)``."""
    if scores.min() == scores.max():
        raise RejectedTrial(Verdict.CONSTANT_SCORE, f"all {len(scores)} images score {scores[0]:.6g}")


def metric_of(name: str, prediction: Prediction, images: LabelledImages, normal_maps: Tensor | None = None) -> float:
    """Return one metric of a prediction: all together cost more than a choice between predictions needs.

    Metrics of pixels are of the images that are `autoad_nni.data.LabelledImages.located`.

    Args:
        name: One of `REWARDS`.
        prediction: Of the images.
        images: Their labels and masks.
        normal_maps: As for `figures_of`.
    """
    labels = images.labels.numpy()
    if name in IMAGE_METRICS:
        return IMAGE_METRICS[name](labels, prediction.score.numpy())
    maps = _pixels(prediction.anomaly_map)
    if name == "image_auroc":
        return auroc(labels, maps.max((1, 2)))
    assert images.masks is not None
    masks, located = images.masks.numpy(), images.located().numpy()
    if not located.all():  # otherwise the copies would take a tenth of the time of AUPRO, for every reading
        maps, masks, labels = maps[located], masks[located], labels[located]
    if name == "rpro":
        of_normal = maps[labels == 0] if normal_maps is None else _pixels(normal_maps)
        return rpro(masks, maps, threshold=threshold_of(of_normal))
    return pixel_auroc(masks, maps) if name == "pixel_auroc" else aupro(masks, maps)


def threshold_of(maps: npt.NDArray[np.float32]) -> float:
    """Return the threshold of RPRO from maps of normal images, ``(n, height, width)``.

    It is the lowest value above which no region of 1/2000 of an image or more (25 pixels at 224 x 224) lies.

    Differs from the source: there the minimum defect area is set by hand for each category.

    Reference:
        Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019.
    """
    return normal_threshold(maps, min_area=least_region(*maps.shape[1:]))


def least_region(height: int, width: int) -> int:
    """Return how many pixels a region of a map must have to count for the threshold of RPRO."""
    return max(1, round(height * width * _LEAST_REGION))


def _pixels(anomaly_map: Tensor) -> npt.NDArray[np.float32]:
    pixels: npt.NDArray[np.float32] = anomaly_map[:, 0].numpy()
    return pixels
