"""Scores images with a trained detector and maps where in them the anomalies are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector, Inputs, Terms
from autoad_nni.models.in_parts import in_parts
from autoad_nni.models.readings import Reading, pool
from autoad_nni.models.smoothing import smooth
from autoad_nni.models.stopwatch import Stopwatch
from autoad_nni.models.windows import Windows
from autoad_nni.options import option
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = [
    "ImageScorer",
    "Prediction",
    "Scorer",
    "ScoringSettings",
    "predict",
    "predict_parts",
    "predict_scores",
    "reconstruct",
    "size_of",
]

# Of the longer side: 4 pixels at 224, as is usual in the field.
_DEFAULT_SMOOTHING = 1 / 56
# No image is larger.
_MOST_SMOOTHING = 224
# Their vectors take a megabyte for each image: those of more do not stay in the allocator's memory, and getting pages
# anew for each operation took most of the time.
_FEATURES_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """How a detector is used on images.

    Args:
        patch: Side of the square windows in pixels, for a detector that was trained on windows of that side; None for
            one that was trained on whole images.
        two_sided: Score a window by how far both terms are from those of normal windows, in either direction; with
            ``patch`` only.
        smoothing: Standard deviation in pixels of the Gaussian that maps are smoothed with; 0 for none; None for 1/56
            of the longer side (4 at 224 pixels).

    Raises:
        AutoADError: ``smoothing`` is out of range, or ``two_sided`` is given without ``patch``.

    Example:
        >>> ScoringSettings(smoothing=300)
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: smoothing is 300. Expected 0 to 224 pixels. Give smoothing=4, or 0 for none.
    """

    patch: int | None = option(None, help="Train and score in windows of N x N pixels: textures, small defects.")
    two_sided: bool = option(False, help="With --patch: windows that are unusually easy are anomalous too.")
    smoothing: float | None = option(None, help="Gaussian that maps are smoothed with, in pixels; default: side / 56.")

    def __post_init__(self) -> None:
        if self.two_sided and self.patch is None:
            raise AutoADError(
                "[[two_sided=True]] without [[patch]]. Expected windows to score. Give for instance [[patch=16]]."
            )
        if self.smoothing is not None and not 0 <= self.smoothing <= _MOST_SMOOTHING:
            raise AutoADError(
                f"[[smoothing]] is {self.smoothing}. Expected 0 to {_MOST_SMOOTHING} pixels. Give [[smoothing=4]], or "
                "0 for none."
            )


class Prediction(NamedTuple):
    """What a model predicts for a batch of images; higher is more anomalous.

    Args:
        score: One number per image, ``(batch,)``.
        anomaly_map: One number per pixel, ``(batch, 1, height, width)``.
    """

    score: Tensor
    anomaly_map: Tensor


class ImageScorer(Protocol):
    """What predicts for images: one model, or several."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    def __call__(self, images: Any) -> Prediction:
        """Return score and map of a batch."""

    def score(self, images: Any) -> Tensor:
        """Return the scores alone."""

    def reconstruct(self, images: Any) -> Tensor | None:
        """Return the reconstructions, or None."""

    def images_per_batch(self, height: int, width: int) -> int:
        """Return how many images make a batch."""

    def modules(self) -> Iterator[nn.Module]:
        """Return the modules that it is made of."""


class Scorer(nn.Module):
    r"""A trained detector as it is used: on whole images or in windows, with smoothed maps.

    *Whole images.* How the score and the map come from the maps of distance and code is the model's reading
    (:mod:`autoad_nni.models.readings`); the score is then a number of the smoothed map. With the reading ``whole``, it
    is not: with the standard deviations :math:`\sigma` of both terms over normal images that the model was not trained
    on (1 for a hypothesis that needs no codes), the score is

    .. math:: s(x) = \frac{\mathrm{DIST}(\hat{x}, x)}{\sigma_D} + \frac{\mathrm{DEFINEREG}(z)}{\sigma_H}

    (Eq. 2 of the paper), a hypothesis about locations counting with its mean. The map is that of the distance, divided
    by :math:`\sigma_D`: a hypothesis gives one number per image, which varies more between images than the distance
    within one and would drown it.

    *Windows.* Windows overlap by half; the last ones end at the border. In a window, the map is that of the distance
    plus the hypothesis's term, so that its mean is the window's :math:`s`. Where windows overlap, the map is their
    mean, weighted by a pyramid that falls off towards a window's border and leaves no seams. So a hypothesis locates
    an anomaly to within half a window. The image's score is the highest value of its smoothed map: a defect is smaller
    than an image.

    *Two-sided windows.* The map of a window is one number, how far both terms are from their means :math:`\mu` over
    the training windows, in either direction:

    .. math:: \frac{|\mathrm{DIST} - \mu_D|}{\sigma_D} + \frac{|\mathrm{DEFINEREG} - \mu_H|}{\sigma_H}

    A smooth spot in a rough texture is reconstructed better than normal windows, and is more probable, but it is not
    normal.

    Differs from the paper, which adds the terms without dividing them: their scales differ by orders of magnitude, and
    with the size of the code, so that one term alone would decide. It has no windows, and a term below normal lowers
    its score. Reference for two-sided scores of probabilities: Nalisnick et al., "Detecting Out-of-Distribution Inputs
    to Deep Generative Models Using Typicality", 2019.

    Args:
        detector: Trained on images of the same size, or on windows of side ``patch``.
        settings: Windows and smoothing.
        batch_size: The most images or windows that the detector sees at a time; does not change the scores.

    Shape:
        - images: ``(batch, channels, height, width)``, sides not below the windows'
        - output: :class:`Prediction`

    Example:
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> class Blank(nn.Module):
        ...     def forward(self, images):
        ...         return torch.zeros_like(images), images.flatten(1)
        >>> scorer = Scorer(Detector(Blank(), ReconstructionHypothesis(), L1Distance()))
        >>> score, anomaly_map = scorer(torch.full((2, 1, 8, 8), 0.25))
        >>> score, anomaly_map.shape
        (tensor([0.2500, 0.2500]), torch.Size([2, 1, 8, 8]))
    """

    def __init__(self, detector: Detector, settings: ScoringSettings | None = None, *, batch_size: int = 256) -> None:
        super().__init__()
        self.detector = detector
        self.settings = settings or ScoringSettings()
        self.batch_size = batch_size

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.detector.device

    @property
    def reading(self) -> Reading:
        """How map and score come from the model; for whole images."""
        return self.detector.reader.reading

    def forward(self, images: Inputs) -> Prediction:
        """Return score and map of a batch, from one pass of the model over the images or their windows.

        Args:
            images: Or, for a model that takes features, their features.
        """
        if self.settings.patch is not None:
            anomaly_map = self._smooth(self._in_windows(images, self.settings.patch, self._window_map))
            return Prediction(anomaly_map.amax((1, 2, 3)), anomaly_map)
        inputs, reading = self._inputs(images), self.reading
        terms: Terms = self.detector(inputs)
        anomaly_map = self.map_of(self.detector.maps(terms, reading.parts), reading, size_of(inputs))
        if reading.score_from_map:  # Eq. 2 would take the terms that the reading leaves out
            return Prediction(pool(anomaly_map, reading.pooling), anomaly_map)
        return Prediction(self._sum(terms.distance, terms), anomaly_map)

    def read(self, whole: Tensor, maps: Mapping[str, Tensor], reading: Reading, size: tuple[int, int]) -> Prediction:
        """Return score and map as a reading says.

        Args:
            whole: Score of Eq. 2 of each image, ``(batch,)``.
            maps: Of distance and code, as :meth:`autoad_nni.models.detector.Detector.maps` gives them.
            reading: Which one.
            size: Height and width of the images.
        """
        anomaly_map = self.map_of(maps, reading, size)
        return Prediction(pool(anomaly_map, reading.pooling) if reading.score_from_map else whole, anomaly_map)

    def map_of(self, maps: Mapping[str, Tensor], reading: Reading, size: tuple[int, int]) -> Tensor:
        """Return the map of a reading, smoothed, ``(batch, 1, *size)``; see `read`."""
        if not reading.score_from_map:
            return self._smooth(maps["distance"] / self.detector.distance_scale, size)
        return self._smooth(self.detector.reader.join(maps, reading, size), size)

    def score(self, images: Inputs) -> Tensor:
        """Return the scores alone, ``(batch,)``, equal to those of a prediction; no map is made if none is needed."""
        if self.settings.patch is None and not self.reading.score_from_map:
            terms: Terms = self.detector(self._inputs(images))
            return self._sum(terms.distance, terms)
        prediction: Prediction = self(images)
        return prediction.score

    def parts(self, images: Inputs) -> tuple[Tensor, ...]:
        """Return what all readings are made of: the score of Eq. 2, the map of the distance, and that of the code."""
        terms: Terms = self.detector(self._inputs(images))
        return self._sum(terms.distance, terms), *self.detector.maps(terms).values()

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """Return the reconstructions, ``(batch, channels, height, width)``; those of windows joined like the maps.

        None for a model that reconstructs features.
        """
        if self.detector.takes_features:
            return None
        side = self.settings.patch
        if side is None:
            return self._reconstruction(images)
        return self._in_windows(images, side, self._reconstruction)

    def in_units(self, scores: Tensor) -> Tensor:
        """Return scores in units of normal images: their mean is 0, their deviation 1."""
        unit = self.detector.normal_score.to(scores.device)
        return (scores - unit[0]) / unit[1]

    def map_in_units(self, maps: Tensor) -> Tensor:
        """Return maps in units of normal images' pixels."""
        unit = self.detector.normal_map.to(maps.device)
        return (maps - unit[0]) / unit[1]

    def images_per_batch(self, height: int, width: int) -> int:
        """Return how many images of a size make a batch: the windows of an image are scored together."""
        side = self.settings.patch
        if side is None:
            return min(self.batch_size, _FEATURES_BATCH) if self.detector.takes_features else self.batch_size
        return max(1, self.batch_size // Windows(height, width, side).number)

    def _inputs(self, images: Inputs) -> Inputs:
        return self.detector.inputs(images) if isinstance(images, Tensor) else images

    def _reconstruction(self, images: Tensor) -> Tensor:
        reconstruction: Tensor = self.detector.autoencoder(images)[0]
        return reconstruction

    def _sum(self, distance: Tensor, terms: Terms) -> Tensor:
        """Eq. 2 with a distance for each image, ``(batch,)``, or for each pixel, ``(batch, 1, height, width)``."""
        hypothesis = _hypothesis_score(terms) / self.detector.hypothesis_scale
        return distance / self.detector.distance_scale + hypothesis.view(-1, *[1] * (distance.ndim - 1))

    def _window_map(self, windows: Tensor) -> Tensor:
        terms: Terms = self.detector(windows)
        if self.settings.two_sided:
            return self._deviation(terms)[:, None, None, None].expand(-1, 1, *windows.shape[-2:])
        return self._sum(terms.distance_map, terms)

    def _deviation(self, terms: Terms) -> Tensor:
        """The two-sided score of windows, ``(batch,)``."""
        detector = self.detector
        distance = (terms.distance - detector.distance_centre).abs() / detector.distance_scale
        hypothesis = (_hypothesis_score(terms) - detector.hypothesis_centre).abs() / detector.hypothesis_scale
        return distance + hypothesis

    def _in_windows(self, images: Tensor, side: int, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function to all windows and join the results."""
        windows = Windows(images.shape[2], images.shape[3], side)
        return windows.joined(in_parts(function, windows.cut(images), self.batch_size))

    def _smooth(self, maps: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        smoothing = self.settings.smoothing
        longer = max(size or maps.shape[-2:])
        return smooth(maps, longer * _DEFAULT_SMOOTHING if smoothing is None else smoothing, size)


def size_of(inputs: Inputs) -> tuple[int, int]:
    """Return height and width of images, or of the images that features are of."""
    return (inputs.shape[2], inputs.shape[3]) if isinstance(inputs, Tensor) else inputs.image_size


def predict(scorer: ImageScorer, images: Inputs, *, max_seconds: float | None = None) -> Prediction:
    """Predict scores and maps of images in evaluation mode, batch by batch; the mode is left as it was.

    Args:
        scorer: Runs on the device of its parameters.
        images: On any device; or, for a model that takes features, their features.
        max_seconds: Scoring is stopped when it takes longer, as in :func:`autoad_nni.models.training.fit`.

    Returns:
        Scores ``(n,)`` and maps ``(n, 1, height, width)``, float32 on the CPU.

    Raises:
        RejectedTrial: ``OVER_TIME``, or ``NON_FINITE`` for an infinite or undefined value.

    Shape:
        - images: ``(n, channels, height, width)``
    """
    score, anomaly_map = _in_batches(scorer, scorer, images, max_seconds)
    _check_finite(score, "scores")
    _check_finite(anomaly_map, "maps")
    return Prediction(score, anomaly_map)


def predict_scores(scorer: ImageScorer, images: Inputs, *, max_seconds: float | None = None) -> Tensor:
    """Predict scores alone, as :func:`predict` does: where nobody needs maps, they cost up to as much as the scores."""
    (score,) = _in_batches(scorer, lambda batch: (scorer.score(batch),), images, max_seconds)
    _check_finite(score, "scores")
    return score


def predict_parts(
    scorer: Scorer, images: Inputs, *, max_seconds: float | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Predict what all readings are made of: the score of Eq. 2, ``(n,)``, and maps of distance and code.

    Args:
        scorer: For whole images.
        images: As for :func:`predict`, and errors too.
        max_seconds: As for :func:`predict`.
    """
    whole, *maps = _in_batches(scorer, scorer.parts, images, max_seconds)
    _check_finite(whole, "scores")
    for each in maps:
        _check_finite(each, "maps")
    return whole, dict(zip(("distance", "code"), maps, strict=False))


def reconstruct(scorer: ImageScorer, images: Tensor) -> Tensor | None:
    """Reconstruct images as :func:`predict` predicts them, ``(n, channels, height, width)``, float32 on the CPU.

    None for a model that reconstructs features.
    """

    def reconstructions(batch: Tensor) -> tuple[Tensor, ...]:
        found = scorer.reconstruct(batch)
        return () if found is None else (found,)

    found = _in_batches(scorer, reconstructions, images, None)
    return found[0] if found else None


def _in_batches(
    scorer: ImageScorer, function: Callable[[Any], tuple[Tensor, ...]], images: Inputs, max_seconds: float | None
) -> tuple[Tensor, ...]:
    watch = Stopwatch(max_seconds)
    # A scorer's own mode means nothing: its detector is in training between two evaluations.
    detectors = [module for module in scorer.modules() if isinstance(module, Detector)]
    modes = [detector.training for detector in detectors]
    size = scorer.images_per_batch(*size_of(images))
    starts = range(0, len(images), size)
    parts = []
    for detector in detectors:
        detector.eval()
    try:
        with torch.inference_mode():
            for i, start in enumerate(starts):
                batch = images[start : start + size].to(scorer.device)
                parts.append([values.float().cpu() for values in function(batch)])
                watch.check(i + 1, len(starts))
    finally:
        for detector, mode in zip(detectors, modes, strict=True):
            detector.train(mode)
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _hypothesis_score(terms: Terms) -> Tensor:
    """The hypothesis's score of each image or window, ``(batch,)``; of locations, their mean."""
    return terms.hypothesis_map.flatten(1).mean(1)


def _check_finite(values: Tensor, what: str) -> None:
    n_wrong = int((~values.isfinite())[:, None].flatten(1).any(1).sum())
    if n_wrong:
        raise RejectedTrial(Verdict.NON_FINITE, f"{n_wrong} of {len(values)} {what} are infinite or undefined.")
