"""The best model of a search, ready for images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Prediction, Scorer, predict
from autoad_nni.runs.bundle.files import is_bundle, read_bundle
from autoad_nni.runs.bundle.record import ModelRecord
from autoad_nni.runs.records import WEIGHTS, BestRecord
from autoad_nni.runs.winner import load_members
from autoad_nni.trial.run import make_scorer

if TYPE_CHECKING:
    from autoad_nni.runs.prediction import FilePrediction

__all__ = ["Model", "load"]


class Model:
    """A trained model: scores images and says where in them the score comes from.

    Args:
        scorer: One model, or several whose mean counts.
        record: What it is made of.
    """

    def __init__(self, scorer: Scorer | Ensemble, record: ModelRecord) -> None:
        self.scorer = scorer
        self.record = record

    @property
    def image_shape(self) -> ImageShape:
        """Channels, height and width of the images that it was trained on."""
        return self.record.image_shape

    @property
    def calibration(self) -> Calibration | None:
        """Scores of images that it was not trained on, from which thresholds come; None before the search has ended."""
        return self.record.calibration

    @property
    def scorers(self) -> list[Scorer]:
        """The models that predict together, in the order of the record's members."""
        return self.scorer.scorers if isinstance(self.scorer, Ensemble) else [self.scorer]

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

    def predict_files(
        self,
        files: Sequence[Path | str],
        *,
        threshold: float | None = None,
        on_unreadable: Callable[[Path, str], None] | None = None,
    ) -> Iterator[FilePrediction]:
        """Predict for image files; see :func:`autoad_nni.runs.prediction.predict_files`."""
        from autoad_nni.runs.prediction import predict_files

        return predict_files(self, files, threshold=threshold, on_unreadable=on_unreadable)


def load(source: Path | str, *, weights: Path | str | None = None) -> Model:
    """Load the best model of a search, or a bundle; imports no NNI.

    Args:
        source: A run folder, the folder of an NNI experiment that ``autoad-nni launch`` ended, or a bundle that
            ``autoad-nni export`` wrote.
        weights: File with the weights of the feature extractor; None: from where they came in the search.

    Raises:
        AutoADError: If the folder holds neither, one whose plugins are not installed as they were, or a bundle that was
            damaged; or the extractor's weights are missing or others.
    """
    folder = Path(source).expanduser()
    if is_bundle(folder):
        record, path = read_bundle(folder)
    else:
        record, path = ModelRecord.of(BestRecord.read(folder)), folder / WEIGHTS
    record = record.with_weights(None if weights is None else Path(weights))
    record.check_plugins()
    shape, settings = record.image_shape, record.settings
    detectors = load_members(record.members, path, channels=shape.channels, settings=settings)
    scorers = [
        make_scorer(detector, torch.zeros(shape), settings.scoring, max_memory=settings.max_memory)
        for detector in detectors
    ]
    return Model(scorers[0] if len(scorers) == 1 else Ensemble(scorers), record)


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
