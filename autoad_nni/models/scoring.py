"""Scores images with a trained detector, and says where in them the score comes from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.stopwatch import Stopwatch
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["Scorer", "ScoringSettings", "map_images", "reconstruct_images", "score_images", "smooth"]

# Of the longer side: 4 pixels at 224, what the field uses there.
_DEFAULT_SMOOTHING = 1 / 56
# No image is larger.
_MOST_SMOOTHING = 224


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """How a detector is used on images.

    Args:
        patch: Side of the square windows in pixels, for a detector that was trained on patches of that side; None for
            one that was trained on whole images.
        two_sided: Score a window by how far both terms are from those of normal ones, either way
            (`autoad_nni.models.detector.Detector.deviation`); with ``patch`` only.
        smoothing: Standard deviation in pixels of the Gaussian that maps are smoothed with; 0 for none; None for 1/56
            of the longer side (4 at 224 pixels).

    Raises:
        AutoADError: ``smoothing`` is out of its range, or ``two_sided`` without ``patch``.
    """

    patch: int | None = None
    two_sided: bool = False
    smoothing: float | None = None

    def __post_init__(self) -> None:
        if self.two_sided and self.patch is None:
            raise AutoADError("--two-sided without --patch. Expected windows to score. Give for instance --patch 16.")
        if self.smoothing is not None and not 0 <= self.smoothing <= _MOST_SMOOTHING:
            raise AutoADError(
                f"--smoothing is {self.smoothing}. Expected 0 to {_MOST_SMOOTHING} pixels. Give --smoothing 4, or "
                "0 for none."
            )


class Scorer(nn.Module):
    r"""A trained detector as it is used: on whole images or in windows, with smoothed maps.

    *Whole images.* Score and map are the detector's: the hypothesis counts in the score only.

    *Windows.* Windows of the patch's side overlap by half, the last ones reach to the border. In a window, the map is
    the detector's, lifted by the hypothesis; where windows overlap, it is their mean, weighted by a pyramid that falls
    off towards a window's border, so that windows leave no seams. So a hypothesis, which tells one number for a code,
    says where an anomaly is, to half a window. With ``two_sided`` a window's map is one number, its deviation. The
    image's score is the highest value of its smoothed map: a defect is smaller than an image.

    Args:
        detector: Trained on images, or on patches, of the form that it will see.
        settings: Windows and smoothing.
        batch_size: Images, or windows, that the detector sees at a time; does not change the scores.

    Shape:
        - images: ``(batch, channels, height, width)``, sides not below the patch's
        - score: ``(batch,)``; map: ``(batch, 1, height, width)``; both higher where more anomalous
    """

    def __init__(self, detector: Detector, settings: ScoringSettings | None = None, *, batch_size: int = 256) -> None:
        super().__init__()
        self.detector = detector
        self.settings = settings or ScoringSettings()
        self.batch_size = batch_size

    def score(self, images: Tensor) -> Tensor:
        """Return the anomaly score per image, ``(batch,)``."""
        return self.detector.score(images) if self.settings.patch is None else self.score_map(images).amax((1, 2, 3))

    def score_map(self, images: Tensor) -> Tensor:
        """Return the smoothed map, ``(batch, 1, height, width)``."""
        side = self.settings.patch
        maps = self.detector.score_map(images) if side is None else self._in_windows(images, side, self._map_of_windows)
        smoothing = self.settings.smoothing
        return smooth(maps, max(images.shape[-2:]) * _DEFAULT_SMOOTHING if smoothing is None else smoothing)

    def _map_of_windows(self, windows: Tensor) -> Tensor:
        if not self.settings.two_sided:
            return self.detector.lifted_map(windows)
        return self.detector.deviation(windows)[:, None, None, None].expand(-1, 1, *windows.shape[-2:])

    def images_at_a_time(self, height: int, width: int) -> int:
        """Return how many images of a size fit into a batch: all windows of one are scored together."""
        side = self.settings.patch
        if side is None:
            return self.batch_size
        return max(1, self.batch_size // (len(_starts(height, side)) * len(_starts(width, side))))

    def reconstruction(self, images: Tensor) -> Tensor:
        """Return what the autoencoder makes of images, ``(batch, channels, height, width)``; windows as in the map."""
        side = self.settings.patch
        autoencoder = self.detector.autoencoder
        if side is None:
            whole: Tensor = autoencoder(images)[0]
            return whole
        return self._in_windows(images, side, lambda windows: autoencoder(windows)[0])

    def _in_windows(self, images: Tensor, side: int, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Applies a function to all windows, and joins what it makes of them."""
        n, _, height, width = images.shape
        corners = [(top, left) for top in _starts(height, side) for left in _starts(width, side)]
        windows = torch.cat([images[:, :, top : top + side, left : left + side] for top, left in corners])
        made = torch.cat([function(batch) for batch in torch.split(windows, self.batch_size)])
        weight = _pyramid(side, made)
        total, weights = made.new_zeros(n, made.shape[1], height, width), made.new_zeros(height, width)
        for (top, left), part in zip(corners, torch.split(made, n), strict=True):
            total[:, :, top : top + side, left : left + side] += weight * part
            weights[top : top + side, left : left + side] += weight
        return total / weights


def smooth(maps: Tensor, deviation: float) -> Tensor:
    """Smooths maps with a Gaussian, cut off at three standard deviations; the border is mirrored, edge pixel included.

    Args:
        maps: ``(batch, 1, height, width)``.
        deviation: Standard deviation in pixels; 0 for none.

    Example:
        >>> smooth(torch.ones(1, 1, 8, 8), 2.0).allclose(torch.ones(1, 1, 8, 8))
        True
    """
    if deviation == 0:
        return maps
    reach = math.ceil(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    weights = torch.softmax(-offsets.square() / (2 * deviation**2), 0)
    for axis, size in ((2, maps.shape[2]), (3, maps.shape[3])):
        # Mirrored by index: torch's padding mirrors without the edge pixel, and not further than the image reaches.
        around = torch.arange(-reach, size + reach, device=maps.device) % (2 * size)
        padded = maps.index_select(axis, torch.where(around < size, around, 2 * size - 1 - around))
        maps = F.conv2d(padded, weights.view(1, 1, *((-1, 1) if axis == 2 else (1, -1))))
    return maps


def score_images(
    scorer: Detector | Scorer, images: Tensor, *, batch_size: int = 256, max_seconds: float | None = None
) -> Tensor:
    """Score images in evaluation mode, batch by batch; the mode is left as it was.

    Args:
        scorer: Scores on the device of its parameters.
        images: On any device.
        batch_size: Images at a time; does not change the scores.
        max_seconds: Scoring is stopped when it takes longer, as in :func:`autoad_nni.models.training.fit`.

    Shape:
        - images: ``(n, channels, height, width)``; scores: ``(n,)``, float32 on the CPU, higher is more anomalous

    Raises:
        RejectedTrial: ``OVER_TIME``, or ``NON_FINITE`` for an infinite or undefined score.
    """
    return _finite(_in_batches(scorer, scorer.score, images, batch_size, max_seconds), "scores")


def map_images(
    scorer: Detector | Scorer, images: Tensor, *, batch_size: int = 256, max_seconds: float | None = None
) -> Tensor:
    """Map images as :func:`score_images` scores them.

    Shape:
        - images: ``(n, channels, height, width)``; maps: ``(n, height, width)``, float32 on the CPU

    Raises:
        RejectedTrial: ``OVER_TIME``, or ``NON_FINITE`` for an infinite or undefined value.
    """
    return _finite(_in_batches(scorer, scorer.score_map, images, batch_size, max_seconds)[:, 0], "maps")


def reconstruct_images(scorer: Scorer, images: Tensor, *, batch_size: int = 256) -> Tensor:
    """Reconstruct images as :func:`score_images` scores them, ``(n, channels, height, width)``, on the CPU."""
    return _in_batches(scorer, scorer.reconstruction, images, batch_size, None)


def _in_batches(
    scorer: Detector | Scorer,
    function: Callable[[Tensor], Tensor],
    images: Tensor,
    batch_size: int,
    max_seconds: float | None,
) -> Tensor:
    watch = Stopwatch(max_seconds)
    device = next((parameter.device for parameter in scorer.parameters()), torch.device("cpu"))
    if isinstance(scorer, Scorer):
        batch_size = min(batch_size, scorer.images_at_a_time(*images.shape[-2:]))
    batches = torch.split(images, batch_size)
    parts = []
    # A Scorer has no mode of its own: it wraps a detector that is trained meanwhile.
    detector = scorer.detector if isinstance(scorer, Scorer) else scorer
    was_training = detector.training
    detector.eval()
    try:
        with torch.inference_mode():
            for i, batch in enumerate(batches):
                parts.append(function(batch.to(device)).float().cpu())
                watch.check(i + 1, len(batches))
    finally:
        detector.train(was_training)
    return torch.cat(parts)


def _finite(values: Tensor, what: str) -> Tensor:
    n_wrong = int((~torch.isfinite(values)).flatten(1).any(1).sum() if values.ndim > 1 else (~values.isfinite()).sum())
    if n_wrong:
        raise RejectedTrial(Verdict.NON_FINITE, f"{n_wrong} of {len(values)} {what} are infinite or undefined.")
    return values


def _starts(size: int, side: int) -> list[int]:
    """Where windows begin along a side: every half window, the last one at the border."""
    return [*range(0, size - side, max(1, side // 2)), size - side]


def _pyramid(side: int, like: Tensor) -> Tensor:
    """Weights of a window's pixels, ``(side, side)``, positive, highest in the middle."""
    ramp = torch.arange(1, side + 1, device=like.device, dtype=like.dtype)
    ramp = torch.minimum(ramp, ramp.flip(0))
    return ramp[:, None] * ramp[None, :]
