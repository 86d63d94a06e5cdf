"""The image itself as features: what a network has to be better than."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from autoad_nni.models.features.base import FeatureExtractor

__all__ = ["PixelFeatures"]


class PixelFeatures(FeatureExtractor):
    """The mean colour of squares of 1, 2 x 2, 4 x 4, up to 32 x 32 pixels; of those cut off by the edge, of the rest.

    Args:
        download: Ignored, there are no weights.
        weights: Ignored.

    Example:
        >>> import torch
        >>> PixelFeatures()(torch.arange(9.0).view(1, 1, 3, 3), (2,))[0]
        tensor([[[[2.0000, 3.5000],
                  [6.5000, 8.0000]]]])
    """

    strides = (1, 2, 4, 8, 16, 32)

    def __init__(self, download: bool = False, weights: Path | None = None) -> None:
        super().__init__()

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the image, then its averages."""
        yield 1, images
        for stride in self.strides[1:]:
            yield stride, F.avg_pool2d(images, stride, ceil_mode=True)
