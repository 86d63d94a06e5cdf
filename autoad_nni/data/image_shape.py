"""The image shape, channels x height x width, and the one conversion into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni.errors import AutoADError

__all__ = ["MAX_SIDE", "MIN_SIDE", "ImageShape", "to_image_shape"]

MIN_SIDE = 8
MAX_SIDE = 224

# ITU-R 601: the luma weights that Pillow's "L" uses too.
_LUMA = (0.299, 0.587, 0.114)


class ImageShape(NamedTuple):
    """What all images of a task look like."""

    channels: int
    height: int
    width: int

    def resized(self, side: int | None) -> ImageShape:
        """Return the same channels with ``side`` x ``side`` pixels; unchanged when ``side`` is None."""
        return self if side is None else ImageShape(self.channels, side, side)

    @classmethod
    def from_json(cls, content: Sequence[Any]) -> ImageShape:
        """Read channels, height and width from a file; ValueError or TypeError for other than a task can have.

        Example:
            >>> ImageShape.from_json([3, 20_000, 20_000])
            Traceback (most recent call last):
            ValueError: the image shape is [3, 20000, 20000], not 1 or 3 channels and sides of 8 to 224
        """
        sound = len(content) == 3 and all(type(each) is int for each in content)
        if not sound or content[0] not in (1, 3) or not all(MIN_SIDE <= side <= MAX_SIDE for side in content[1:]):
            raise ValueError(
                f"the image shape is {str(content)[:60]}, not 1 or 3 channels and sides of {MIN_SIDE} to {MAX_SIDE}"
            )
        return cls(*content)


def to_image_shape(images: Tensor, shape: ImageShape, *, out: Tensor | None = None) -> Tensor:
    """Convert images to an image shape: channels by luma or repetition, size by antialiased bilinear resizing.

    Grey is ``0.299 R + 0.587 G + 0.114 B``; grey to RGB repeats the channel.

    Args:
        images: uint8 in 0..255 or floating point in [0, 1].
        shape: The image shape that is wanted.
        out: Written to and returned, instead of a new tensor.

    Shape:
        ``(n, 1 or 3, height, width)`` to ``(n, *shape)``, float32 in [0, 1].

    Raises:
        AutoADError: The images or the image shape have neither 1 nor 3 channels.

    Differs from / not given by the paper: the paper does not say how it resizes; without antialiasing, thin strokes
    vanish and an abnormal set becomes easier than it is.

    Example:
        >>> to_image_shape(torch.full((1, 1, 4, 4), 255, dtype=torch.uint8), ImageShape(3, 2, 2)).unique()
        tensor([1.])
    """
    for count in (images.shape[1], shape.channels):
        if count not in (1, 3):
            raise AutoADError(f"images with {count} channels. Expected 1 (grey) or 3 (RGB). Convert them first.")
    if out is None:
        out = torch.empty((len(images), *shape))
    if images.dtype == torch.uint8 and images.shape == out.shape:
        return out.copy_(images).div_(255)
    images = images / 255 if images.dtype == torch.uint8 else images.float()
    if images.shape[1] == 3 and shape.channels == 1:
        images = (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if images.shape[2:] != out.shape[2:]:
        size = (shape.height, shape.width)
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    # Weights that sum to 1 only up to rounding leave values such as 1.0000001.
    return out.copy_(images.clamp(0, 1))
