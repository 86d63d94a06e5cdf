"""Chooses on validation how a trained model is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor

from autoad_nni.data import LabelledImages
from autoad_nni.models.readings import WHOLE, Reading, pool
from autoad_nni.models.scoring import Prediction, Scorer, predict_parts, size_of
from autoad_nni.trial.evaluate import metric_of
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["choose_reading", "predictions"]

# Smoothing takes several times the memory of the maps.
_MAPS_AT_A_TIME = 32


def choose_reading(
    scorer: Scorer,
    images: LabelledImages,
    reward: str,
    *,
    reading: Reading | None = None,
    max_seconds: float | None = None,
) -> Prediction:
    """Let a model be read as is best on validation, and return its prediction there.

    The model passes over the images once. Of readings that are equally good by the reward, the one with the higher
    AUROC is chosen, then one whose score comes from the map that is shown, then the first of
    :data:`autoad_nni.models.readings.READINGS`.

    Args:
        scorer: Trained, with the statistics of its readings; its detector keeps the one that is chosen.
        images: Those of validation, or their features.
        reward: The metric that decides.
        reading: The one to take, chosen before; None to choose.
        max_seconds: Limit on passing over the images.

    Raises:
        RejectedTrial: Scores or maps are not finite, all readings give one score for all images, or it takes too long.
        AutoADError: The images are all normal or all anomalous.
    """
    whole, maps = predict_parts(scorer, images.images, max_seconds=max_seconds)
    best: tuple[tuple[float, float, bool], Reading, Prediction] | None = None
    for one, prediction in predictions(scorer, whole, maps, size_of(images.images)):
        if (reading is not None and one != reading) or prediction.score.min() == prediction.score.max():
            continue
        figure = metric_of(reward, prediction, images)
        by_score = figure if reward == "auroc" else metric_of("auroc", prediction, images)
        rank = (figure, by_score, one.score_from_map)
        if best is None or rank > best[0]:
            best = rank, one, prediction
    if best is None:
        raise RejectedTrial(Verdict.CONSTANT_SCORE, f"all {len(whole)} images score {whole[0]:.6g}")
    _, scorer.detector.reader.reading, prediction = best
    return prediction


def predictions(
    scorer: Scorer, whole: Tensor, maps: dict[str, Tensor], size: tuple[int, int]
) -> Iterator[tuple[Reading, Prediction]]:
    """Yield the prediction of every reading; readings that differ in pooling share one map.

    Args:
        scorer: Trained, with the statistics of its readings.
        whole: Score of Eq. 2 of each image, ``(n,)``.
        maps: Of distance and code (:func:`autoad_nni.models.scoring.predict_parts`).
        size: Height and width of the images.
    """
    # In one go: in parts, 33 images would leave a single one, whose smoothed map differs by rounding.
    yield WHOLE, scorer.read(whole, maps, WHOLE, size)
    from_map = scorer.detector.reader.readings()[1:]
    for _, group in groupby(from_map, key=lambda reading: (reading.part, reading.by_place, reading.two_sided)):
        alike = list(group)
        anomaly_map = _map_of(scorer, maps, alike[0], size)
        for reading in alike:
            yield reading, Prediction(pool(anomaly_map, reading.pooling), anomaly_map)


def _map_of(scorer: Scorer, maps: dict[str, Tensor], reading: Reading, size: tuple[int, int]) -> Tensor:
    """The map of a reading, of some images at a time."""
    parts = zip(*(torch.split(each, _MAPS_AT_A_TIME) for each in maps.values()), strict=True)
    return torch.cat([scorer.map_of(dict(zip(maps, part, strict=True)), reading, size) for part in parts])
