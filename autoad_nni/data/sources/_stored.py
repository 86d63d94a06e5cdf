"""Images stored in arrays, such as the batches of CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape, to_image_shape
from autoad_nni.data.source import IntArray

__all__ = ["pick"]

# Small enough for the copy to stay in the cache, which halves the time for 70,000 images; see `pick`.
_CHUNK = 1024


def pick(parts: Sequence[npt.NDArray[np.uint8]], indices: IntArray, shape: ImageShape) -> Tensor:
    """Pick images out of arrays, as if these were concatenated, and convert them to an image shape.

    Joining the arrays, or picking all images before the conversion, would touch every page of memory once more.

    Args:
        parts: Arrays of images of one size, with values in 0..255.
        indices: Numbers of the wanted images, counted through all parts.
        shape: The image shape that is wanted.

    Shape:
        Each part ``(n, channels, height, width)``; the result ``(len(indices), *shape)``, float32 in [0, 1].

    Example:
        >>> black, white = (np.full((2, 1, 8, 8), value, np.uint8) for value in (0, 255))
        >>> pick([black, white], np.array([3, 0]), ImageShape(1, 8, 8))[:, 0, 0, 0]
        tensor([1., 0.])
    """
    out = torch.empty(len(indices), *shape)
    ends = np.cumsum([len(part) for part in parts])
    for start in range(0, len(indices), _CHUNK):
        chunk = indices[start : start + _CHUNK]
        owner = np.searchsorted(ends, chunk, side="right")
        images = np.empty((len(chunk), *parts[0].shape[1:]), np.uint8)
        for number, part in enumerate(parts):
            rows = np.flatnonzero(owner == number)
            images[rows] = part[chunk[rows] - (ends[number] - len(part))]
        to_image_shape(torch.from_numpy(images), shape, out=out[start : start + _CHUNK])
    return out
