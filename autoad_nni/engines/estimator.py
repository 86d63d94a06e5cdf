"""A search as an estimator of scikit-learn's kind: arrays of images in, decisions out."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from autoad_nni.data.options import MIN_NORMAL
from autoad_nni.engines.search import search
from autoad_nni.errors import AutoADError

__all__ = ["AnomalyDetector", "ArrayError"]

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

_AT_A_TIME = 64
# Of images with a defect: one for validation, one for test.
_LEAST = 2
# The folders that a search reads: good images, and those with a defect.
_FOLDERS = ("good", "defect")


class ArrayError(AutoADError, ValueError):
    """Images or labels of a wrong kind; also a ValueError, as scikit-learn's conventions want it."""


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Searches the best model for labelled images, and decides on others by it.

    Methods and signs are scikit-learn's for outlier detectors, the attributes ``decision_scores_``, ``labels_`` and
    ``threshold_`` are PyOD's.

    Args:
        trials: How many models to train.
        minutes: The search ends after that many; None: no limit.
        image_size: Side in pixels that images are resized to; None: chosen as for a folder.
        false_alarm_rate: Of the decision, see :class:`autoad_nni.metrics.threshold.Calibration`; None: 1 %, or the
            least that the number of good images allows.
        random_state: Seed of the search and of its trials; None: 0, so that two fits give the same.
        output: Run folder that the search leaves; new or empty. None: none is kept.

    Attributes:
        model_: The winner, an `autoad_nni.Model`.
        best_: Its record, with the figures on validation and test; an `autoad_nni.BestRecord`.
        threshold_: Images that score more are anomalous.
        offset_: ``-threshold_``: ``decision_function(X) = score_samples(X) - offset_``.
        decision_scores_: Scores of the images of ``fit``, ``(n,)``; higher is more anomalous. Most of them were
            trained on.
        labels_: Their decisions, ``(n,)``: 1 anomalous, 0 normal.
        image_shape_: Channels, height and width of the images of ``fit``.

    Shape:
        Images ``X``: ``(n, height, width)``, ``(n, height, width, 1 or 3)`` or ``(n, 1 or 3, height, width)``; uint8,
        or floating point in [0, 1], which is rounded to 256 levels. All of one size, sides of 8 or more.

    Differs from scikit-learn's outlier detectors: ``fit`` needs labels, as a model is chosen by what it finds.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits()
        >>> kept = np.flatnonzero(digits.target < 2)[:80]
        >>> X, y = (digits.images[kept] * 15).astype(np.uint8), digits.target[kept]  # 1 is the defect
        >>> detector = AnomalyDetector(trials=2, image_size=8).fit(X, y)
        >>> detector.decision_function(X[:3]).shape, set(detector.predict(X)) <= {1, -1}
        ((3,), True)
    """

    def __init__(
        self,
        *,
        trials: int = 30,
        minutes: float | None = None,
        image_size: int | None = None,
        false_alarm_rate: float | None = None,
        random_state: int | None = None,
        output: Path | str | None = None,
    ) -> None:
        self.trials = trials
        self.minutes = minutes
        self.image_size = image_size
        self.false_alarm_rate = false_alarm_rate
        self.random_state = random_state
        self.output = output

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> AnomalyDetector:
        """Search; part of the images validates, part is the test.

        Args:
            X: Images.
            y: 1 for an image with a defect, 0 for a good one, ``(n,)``; at least 10 good images and 2 with a defect.

        Raises:
            ArrayError: Images or labels are of a wrong kind, or too few.
            AutoADError: No model could be trained.
        """
        images = to_pixels(X)
        labels = _checked_labels(y, len(images))
        with TemporaryDirectory() as temporary:
            root = Path(temporary)
            _write(images, labels, root / "images")
            run = search(
                root / "images",
                output=root / "run" if self.output is None else self.output,
                **self._options(),
            )
            if run.best is None:
                raise AutoADError("no trial ended well. Expected at least one. Give more trials or other images.")
            self.model_, self.best_ = run.load(), run.best
        self.image_shape_ = images.shape[1:]
        calibration = self.best_.calibration
        assert calibration is not None, "a search that has ended"
        self.threshold_ = calibration.default().value
        self.offset_ = -self.threshold_
        self.decision_scores_ = self._scores(images)
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return the negated scores of images, ``(n,)``: lower is more anomalous."""
        check_is_fitted(self)
        images = to_pixels(X)
        if images.shape[1:] != self.image_shape_:
            raise ArrayError(
                f"X has images of shape {images.shape[1:]}. Expected {self.image_shape_}, as in fit. Resize them."
            )
        return -self._scores(images)

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return how far the scores of images are below the threshold, ``(n,)``: negative is anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the decisions on images, ``(n,)``: -1 anomalous, 1 normal."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def fit_predict(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """Fit, and return the decisions on the same images, as `predict` does."""
        return np.where(self.fit(X, y).labels_ == 0, 1, -1)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "labels_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags

    def _options(self) -> dict[str, Any]:
        seed = 0 if self.random_state is None else self.random_state
        options = {"image_size": self.image_size, "minutes": self.minutes, "false_alarm_rate": self.false_alarm_rate}
        given = {name: value for name, value in options.items() if value is not None}
        return {"trials": self.trials, "seed": seed, **given}

    def _scores(self, images: Pixels) -> Floats:
        parts = [images[begin : begin + _AT_A_TIME] for begin in range(0, len(images), _AT_A_TIME)]
        scores = [self.model_.predict(part).score.cpu().numpy() for part in parts]
        return np.concatenate([np.empty(0), *scores])


def to_pixels(X: npt.ArrayLike) -> Pixels:
    """Convert images of any accepted kind to uint8, ``(n, 1 or 3, height, width)``.

    Raises:
        ArrayError: They are of none.

    Example:
        >>> to_pixels(np.full((2, 8, 9), 0.5)).shape, int(to_pixels(np.full((2, 8, 9), 0.5)).max())
        ((2, 1, 8, 9), 128)
    """
    images = np.asarray(X)
    if images.dtype.kind not in "uif":
        raise ArrayError(f"X holds {images.dtype}. Expected uint8, or floating point in [0, 1]. Convert it.")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] in (1, 3):
        images = np.moveaxis(images, -1, 1)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < 8:
        raise ArrayError(
            f"X has the shape {np.shape(X)}. Expected (n, height, width), (n, height, width, 1 or 3) or (n, 1 or 3, "
            "height, width), sides of 8 or more. Reshape it."
        )
    if images.dtype == np.uint8:
        return images
    low, high = (0.0, 0.0) if images.size == 0 else (float(images.min()), float(images.max()))
    if images.dtype.kind != "f" or not (low >= 0 and high <= 1):
        raise ArrayError(
            f"X holds {images.dtype} from {low:g} to {high:g}. Expected uint8, or floating point in [0, 1]. Convert it."
        )
    return np.floor(images * 255 + 0.5).astype(np.uint8)


def _checked_labels(y: npt.ArrayLike | None, n_images: int) -> npt.NDArray[np.int64]:
    if y is None:
        raise ArrayError(
            "requires y to be passed, but the target y is None. Expected 1 for images with a defect and 0 for good "
            "ones: the search is rewarded by what a model finds. Give y."
        )
    labels = np.asarray(y)
    if labels.shape != (n_images,) or not np.isin(labels, (0, 1)).all():
        found = ", ".join(map(str, np.unique(labels)[:5]))
        raise ArrayError(
            f"y has the shape {labels.shape} and the values {found}. Expected ({n_images},), 1 for images with a "
            "defect and 0 for good ones. Correct it."
        )
    # Of a folder, the message would name the one that the images are written to here.
    for label, (least, kind) in enumerate([(MIN_NORMAL, "good image{} (0)"), (_LEAST, "image{} with a defect (1)")]):
        n = int((labels == label).sum())
        if n < least:
            raise ArrayError(
                f"y has {n or 'no'} {kind.format('s' if n > 1 else '')}. Expected {MIN_NORMAL} good images and "
                f"{_LEAST} with a defect, or more. Add some."
            )
    return labels.astype(np.int64)


def _write(images: Pixels, labels: npt.NDArray[np.int64], root: Path) -> None:
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
        Image.fromarray(np.ascontiguousarray(pixels)).save(root / _FOLDERS[label] / f"{number:06d}.png")
