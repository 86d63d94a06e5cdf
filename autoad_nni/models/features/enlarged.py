"""An extractor that sees images enlarged: small defects have more locations then."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from autoad_nni.models.features.base import FeatureExtractor

__all__ = ["Enlarged"]

# Larger images cost more than the extractor may: 60 ms for an image on one core.
_MOST_SIDE = 256


class Enlarged(FeatureExtractor):
    """An extractor behind a bilinear enlargement, up to 256 pixels on the longer side.

    Args:
        extractor: What sees the enlarged images.
        factor: How many times larger.

    Example:
        >>> import torch
        >>> from autoad_nni.models.features import load_extractor
        >>> Enlarged(load_extractor("pixels"), 2)(torch.zeros(1, 1, 32, 16), (4,))[0].shape
        torch.Size([1, 1, 16, 8])
    """

    def __init__(self, extractor: FeatureExtractor, factor: int) -> None:
        super().__init__()
        self.extractor = extractor
        self.factor = factor
        self.strides = extractor.strides
        self.weights = f"{extractor.weights} enlarged {factor}"

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the maps of the enlarged images."""
        size = self.size_of(images.shape[-2], images.shape[-1])
        yield from self.extractor.compute(F.interpolate(images, size=size, mode="bilinear", align_corners=False))

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of enlarged images."""
        factor = max(1.0, min(self.factor, _MOST_SIDE / max(height, width)))
        return round(factor * height), round(factor * width)
