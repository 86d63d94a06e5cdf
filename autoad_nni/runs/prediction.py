"""What a model says of image files: batch by batch, whatever is wrong with single files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoad_nni.data import ImageShape
from autoad_nni.data.decode import read_image, unreadable
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration, Threshold
from autoad_nni.verdicts import RejectedTrial

if TYPE_CHECKING:
    from autoad_nni.runs.model import Model

__all__ = ["ChosenThreshold", "FilePrediction", "choose_threshold", "predict_files"]

# Images that are in memory at a time.
_BATCH: Final = 32

OnUnreadable = Callable[[Path, str], None]
"""Called with a file and what is wrong with it."""


class FilePrediction(NamedTuple):
    """What a model says of an image file.

    Attributes:
        path: As it was given.
        score: Higher is more anomalous.
        decision: ``defective`` if the score is greater than the threshold, otherwise ``good``.
        anomaly_map: ``(height, width)`` of the model's images, float32.
        image: As the model saw it, ``(channels, height, width)`` in [0, 1].
    """

    path: Path
    score: float
    decision: str
    anomaly_map: npt.NDArray[np.float32]
    image: Tensor


class ChosenThreshold(NamedTuple):
    """A threshold, and where it comes from.

    Attributes:
        value: An image that scores more is called defective.
        rule: ``false_alarm_rate``, ``f1`` or ``given``.
        rate: The false-alarm rate that it guarantees; None where it guarantees none.
        origin: The same in words.
    """

    value: float
    rule: str
    rate: float | None
    origin: str


def choose_threshold(
    calibration: Calibration | None,
    *,
    false_alarm_rate: float | None = None,
    threshold: float | None = None,
    f1: bool = False,
) -> ChosenThreshold:
    """Return the threshold that is asked for; that of the search if nothing is.

    Args:
        calibration: Of the model.
        false_alarm_rate: Guaranteed by the threshold.
        threshold: The value itself.
        f1: The threshold with the highest F1 on the images of the calibration.

    Raises:
        AutoADError: More than one is asked for, or one that the calibration cannot give.

    Example:
        >>> calibration = Calibration(normal=range(1, 20), defects=[18.5, 30.0])
        >>> choose_threshold(calibration).origin
        'false-alarm rate 5 %, the least that 19 good images allow'
        >>> choose_threshold(calibration, false_alarm_rate=0.1).origin
        'false-alarm rate 10 %, from 19 good images'
        >>> choose_threshold(calibration, f1=True).origin
        'highest F1 on 19 good images and 2 with a defect'
        >>> choose_threshold(None, threshold=0.5)
        ChosenThreshold(value=0.5, rule='given', rate=None, origin='given')
    """
    if (false_alarm_rate is not None) + (threshold is not None) + f1 > 1:
        raise AutoADError(
            "[[false_alarm_rate]], [[threshold]] and [[f1]] exclude one another. Expected one of them, or none. Leave "
            "the others out."
        )
    if threshold is not None:
        if not math.isfinite(threshold):
            raise AutoADError(f"[[threshold]] is {threshold}. Expected a finite number. Give a score.")
        return ChosenThreshold(float(threshold), "given", None, "given")
    if calibration is None:
        raise AutoADError(
            "the model has no threshold: its search has not ended. Expected one whose search has. Give [[threshold]], "
            "or go on with the search by [[resume=True]]."
        )
    if f1:
        return _best_f1(calibration)
    found = calibration.default() if false_alarm_rate is None else calibration.at(false_alarm_rate)
    return _with_origin(found, calibration, is_default=false_alarm_rate is None)


def _best_f1(calibration: Calibration) -> ChosenThreshold:
    found = calibration.best_f1()
    if found is None:
        raise AutoADError(
            "[[f1]] without scores of images with a defect. Expected a model whose search had some. Give "
            "[[false_alarm_rate]] instead."
        )
    return _with_origin(found, calibration)


def _with_origin(found: Threshold, calibration: Calibration, *, is_default: bool = False) -> ChosenThreshold:
    good = _counted(len(calibration.normal), "good image")
    if found.rate is None:
        origin = f"highest F1 on {good} and {len(calibration.defects)} with a {calibration.defect}"
    else:
        least = is_default and calibration.rate is None and found.rate == calibration.least_rate
        rest = f"the least that {good} allow" if least else f"from {good}"
        origin = f"false-alarm rate {100 * found.rate:.3g} %, {rest}"
    return ChosenThreshold(found.value, found.rule, found.rate, origin)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def predict_files(
    model: Model,
    files: Sequence[Path | str],
    *,
    threshold: float | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> Iterator[FilePrediction]:
    """Predict for image files, in their order, a few in memory at a time.

    They are decoded as the images of the search were.

    Args:
        model: What predicts.
        files: Of images; :func:`autoad_nni.data.given.find_images` finds those of folders.
        threshold: An image that scores more is called defective; None: that of the search.
        on_unreadable: Called with each file that cannot be read or scored, and what is wrong with it; such a file is
            left out. None: it is an error.

    Raises:
        AutoADError: A file cannot be read or scored, and there is no ``on_unreadable``; or there is no threshold.
    """
    value = choose_threshold(model.calibration, threshold=threshold).value
    paths = [Path(file) for file in files]
    return _predicted(model, paths, value, _raise if on_unreadable is None else on_unreadable)


def _raise(path: Path, problem: str) -> None:
    raise AutoADError(problem)


def _predicted(
    model: Model, files: Sequence[Path], threshold: float, on_unreadable: OnUnreadable
) -> Iterator[FilePrediction]:
    read = partial(_read, shape=model.image_shape)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            images = list(pool.map(read, batch))
            scored = iter(_scored(model, [image for image in images if isinstance(image, Tensor)]))
            for path, image in zip(batch, images, strict=True):
                if not isinstance(image, Tensor):
                    on_unreadable(path, str(image))
                    continue
                found = next(scored)
                if found is None:
                    on_unreadable(path, _not_finite(path))
                    continue
                score, anomaly_map = found
                yield FilePrediction(path, score, "defective" if score > threshold else "good", anomaly_map, image)


def _read(path: Path, *, shape: ImageShape) -> Tensor | AutoADError:
    """Return an image, or why it cannot be read."""
    try:
        return read_image(path, shape)
    except AutoADError as error:
        return error
    except Exception as error:  # one file, however it confuses its decoder, does not end all others
        return unreadable(path, error)


def _scored(model: Model, images: list[Tensor]) -> list[tuple[float, Any] | None]:
    """Return score and map of each image; None where one of them is not finite."""
    if not images:
        return []
    try:
        score, anomaly_map = model.predict(torch.stack(images))
    except RejectedTrial:
        return [None] if len(images) == 1 else [found for image in images for found in _scored(model, [image])]
    return list(zip(score.double().tolist(), anomaly_map.numpy(), strict=True))


def _not_finite(path: Path) -> str:
    return f"the image {path} has an infinite or undefined score. Expected a finite one. Remove the image."
