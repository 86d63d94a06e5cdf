"""The pixels of small windows as features: textures need no network to be told from their defects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from autoad_nni.models.features.base import FeatureExtractor

__all__ = ["PatchFeatures"]

# Pixels along a window; larger windows see the image reduced, so that a vector has at most 256 numbers of a colour.
_MOST_SIDE = 16


class PatchFeatures(FeatureExtractor):
    """All pixels of a window around each location: 2 x 2 times the stride, so that windows overlap by half.

    Windows of more than 16 pixels are averaged down to 16 x 16. At the border the image goes on with its edge pixels.

    Args:
        download: Ignored, there are no weights.
        weights: Ignored.

    Example:
        >>> import torch
        >>> maps = PatchFeatures()(torch.rand(2, 1, 20, 32), (4, 16))
        >>> [tuple(each.shape) for each in maps]
        [(2, 64, 5, 8), (2, 256, 2, 2)]
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, download: bool = False, weights: Path | None = None) -> None:
        super().__init__()

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the windows of each stride."""
        for stride in self.strides:
            reduction = max(1, 2 * stride // _MOST_SIDE)
            reduced = F.avg_pool2d(images, reduction, ceil_mode=True) if reduction > 1 else images
            step = stride // reduction
            height, width = (-(-side // stride) for side in images.shape[-2:])
            # Half a step before the first window and behind the last one.
            before = step // 2
            after = [
                (count - 1) * step + 2 * step - before - side
                for count, side in ((width, reduced.shape[-1]), (height, reduced.shape[-2]))
            ]
            padded = F.pad(reduced, (before, max(after[0], 0), before, max(after[1], 0)), mode="replicate")
            windows = F.unfold(padded, 2 * step, stride=step)
            grid = windows.reshape(*windows.shape[:2], (padded.shape[-2] - 2 * step) // step + 1, -1)
            yield stride, grid[:, :, :height, :width]
