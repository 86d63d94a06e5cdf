"""The best model of a search, ready for images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Prediction, Scorer, predict
from autoad_nni.runs.records import WEIGHTS, BestRecord
from autoad_nni.runs.winner import load_members
from autoad_nni.trial.plugins import check_plugins
from autoad_nni.trial.run import make_scorer

__all__ = ["Model", "load"]


class Model:
    """A trained model: scores images and says where in them the score comes from.

    Args:
        scorer: The winner: one model, or several whose mean counts.
        image_shape: Channels, height and width of the images that it was trained on.
        record: The search's record of it.
    """

    def __init__(self, scorer: Scorer | Ensemble, image_shape: ImageShape, record: BestRecord) -> None:
        self.scorer = scorer
        self.image_shape = image_shape
        self.record = record

    @property
    def calibration(self) -> Calibration | None:
        """Scores of images that it was not trained on, from which thresholds come; None before the search has ended."""
        return self.record.calibration

    def predict(self, images: Tensor | np.ndarray[Any, Any]) -> Prediction:
        """Score images.

        Args:
            images: uint8, or floating point in [0, 1]; of another size or number of channels than the model's they are
                converted as the training images were.

        Shape:
            - images: ``(n, 1 or 3, height, width)``
            - score: ``(n,)``; anomaly_map: ``(n, height, width)`` in the model's size; float32, higher is more
              anomalous

        Raises:
            AutoADError: The images have another form, or values out of their range.
        """
        given = _as_tensor(images)
        _check(given)
        if len(given) == 0:
            return Prediction(torch.empty(0), torch.empty(0, *self.image_shape[1:]))
        prediction = predict(self.scorer, to_image_shape(given, self.image_shape))
        return Prediction(prediction.score, prediction.anomaly_map[:, 0])


def load(run: Path | str) -> Model:
    """Load the best model of a search; imports no NNI.

    Args:
        run: The run folder, or the folder of an NNI experiment that ``autoad-nni launch`` ended.

    Raises:
        AutoADError: If the folder holds no best model, or one whose plugins are not installed as they were.
    """
    folder = Path(run).expanduser()
    record = BestRecord.read(folder)
    plugins = {key: value for member in record.members for key, value in member.plugins.items()}
    check_plugins({key: value for key, value in plugins.items() if not key.startswith("data set ")})
    shape, settings = ImageShape(*record.image_shape), record.request.settings
    detectors = load_members(record.members, folder / WEIGHTS, channels=shape.channels, settings=settings)
    scorers = [
        make_scorer(detector, torch.zeros(shape), settings.scoring, max_memory=settings.max_memory)
        for detector in detectors
    ]
    return Model(scorers[0] if len(scorers) == 1 else Ensemble(scorers), shape, record)


def _as_tensor(images: Any) -> Tensor:
    if isinstance(images, Tensor):
        return images
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "buif":
        raise AutoADError(f"images is a {type(images).__name__}. Expected a tensor or an array of numbers. Convert it.")
    # A copy: torch takes no flipped views and no foreign byte order, and warns of read-only memory.
    return torch.from_numpy(np.array(images, dtype=images.dtype.newbyteorder("="), order="C"))


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise AutoADError(
            f"images has the shape {tuple(images.shape)}. Expected (n, 1 or 3, height, width). Reshape it."
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise AutoADError(f"images is of {images.dtype}. Expected uint8, or floating point in [0, 1]. Convert it.")
    if images.is_floating_point() and len(images) and not (images.amin() >= 0 and images.amax() <= 1):
        low, high = float(images.amin()), float(images.amax())
        raise AutoADError(f"images has values from {low:g} to {high:g}. Expected 0 to 1, or uint8. Scale it.")
