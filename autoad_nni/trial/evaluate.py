"""Scores labelled images and says how well: every metric that a trial can be rewarded with."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data import LabelledImages
from autoad_nni.metrics.image import aupr_in, aupr_out, auroc
from autoad_nni.metrics.pixel import aupro, normal_threshold, pixel_auroc, rpro
from autoad_nni.models.detector import Detector
from autoad_nni.models.scoring import Scorer, map_images, score_images
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["IMAGE_METRICS", "MAP_METRICS", "REWARDS", "evaluate", "threshold_of"]

IMAGE_METRICS: Final = {"auroc": auroc, "aupr_in": aupr_in, "aupr_out": aupr_out}
MAP_METRICS: Final = ("pixel_auroc", "aupro", "rpro", "image_auroc")
"""What is known of sets with masks only; ``image_auroc`` scores an image by the highest value of its map."""
REWARDS: Final = (*IMAGE_METRICS, *MAP_METRICS)
"""The metrics that can be the reward; all lie in [0, 1], higher is better."""

# A region of less than this share of an image is no defect, when the threshold of RPRO is set on normal images.
_LEAST_REGION = 1 / 2000


def evaluate(
    scorer: Detector | Scorer,
    images: LabelledImages,
    *,
    normal: Tensor | None = None,
    max_seconds: float | None = None,
) -> dict[str, float]:
    """Scores labelled images and returns every metric: with masks also those of the maps.

    Args:
        scorer: A detector, or how it is used.
        images: What to score.
        normal: Normal images that set the threshold of RPRO; None for those among ``images``.
        max_seconds: Limit of each pass over the images.

    Raises:
        RejectedTrial: If scores are not finite or all equal, or scoring takes longer than ``max_seconds``.
    """
    labels = images.labels.numpy()
    in_windows = isinstance(scorer, Scorer) and scorer.settings.patch is not None
    maps = None
    if images.masks is not None or in_windows:
        maps = map_images(scorer, images.images, max_seconds=max_seconds).numpy()
    if maps is not None and in_windows:
        scores = maps.max((1, 2))  # what `Scorer.score` is then, without mapping twice
    else:
        scores = score_images(scorer, images.images, max_seconds=max_seconds).numpy()
    if scores.min() == scores.max():
        raise RejectedTrial(Verdict.CONSTANT_SCORE, f"all {len(scores)} images score {scores[0]:.6g}")
    figures = {name: metric(labels, scores) for name, metric in IMAGE_METRICS.items()}
    if images.masks is None or maps is None:
        return figures
    masks = images.masks.numpy()
    maps_of_normal = maps[labels == 0] if normal is None else map_images(scorer, normal).numpy()
    return {
        **figures,
        "pixel_auroc": pixel_auroc(masks, maps),
        "aupro": aupro(masks, maps),
        "rpro": rpro(masks, maps, threshold=threshold_of(maps_of_normal)),
        "image_auroc": auroc(labels, maps.max((1, 2))),
    }


def threshold_of(maps: npt.NDArray[np.float32]) -> float:
    """Sets the threshold on maps of normal images, ``(n, height, width)``.

    It is the lowest one at which no region of 1/2000 of an image (25 pixels at 224 x 224) or more lies above it.

    Differs from the source: there the least region is set for each category by hand.

    Reference:
        Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019.
    """
    _, height, width = maps.shape
    return normal_threshold(maps, min_area=max(1, round(height * width * _LEAST_REGION)))
