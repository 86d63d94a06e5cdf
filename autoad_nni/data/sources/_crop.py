"""Crops instead of whole images, as ODIN's authors took them from LSUN and Tiny-ImageNet."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autoad_nni.data.decode import pixels_of, resized
from autoad_nni.data.image_shape import ImageShape, to_image_shape

__all__ = ["cropped"]


def cropped(image: Image.Image, shape: ImageShape, rng: np.random.Generator) -> Tensor:
    """Cut a crop of the wanted size at a random place; an image that is smaller is enlarged first, in proportion.

    Args:
        image: Upright, opened.
        shape: The image shape that is wanted.
        rng: Determines the place.

    Shape:
        The result ``shape``, float32 in [0, 1].

    Reference: Liang, Li and Srikant, Enhancing the reliability of out-of-distribution image detection in neural
    networks, ICLR 2018, Section 4.2: "randomly cropping image patches of size 32 x 32".

    Example:
        >>> image = Image.linear_gradient("L")  # 256 x 256, black at the top, white at the bottom
        >>> crop = cropped(image, ImageShape(1, 8, 8), np.random.default_rng(0))
        >>> (crop[0, 1:] - crop[0, :-1]).unique()  # so nothing was resized
        tensor([0.0039])
    """
    scale = max(1.0, shape.height / image.height, shape.width / image.width)
    if scale > 1:
        height, width = (max(side, round(scale * own)) for side, own in zip(shape[1:], image.size[::-1], strict=True))
        whole = resized(image, ImageShape(shape.channels, height, width))
        return _cut(whole, shape, rng)
    return to_image_shape(_cut(torch.from_numpy(pixels_of(image)), shape, rng), shape)[0]


def _cut(pixels: Tensor, shape: ImageShape, rng: np.random.Generator) -> Tensor:
    height, width = pixels.shape[-2:]
    top, left = int(rng.integers(height - shape.height + 1)), int(rng.integers(width - shape.width + 1))
    return pixels[..., top : top + shape.height, left : left + shape.width]
