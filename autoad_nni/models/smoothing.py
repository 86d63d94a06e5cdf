"""Smooths maps with a Gaussian, and enlarges them to images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["smooth"]


def smooth(maps: Tensor, deviation: float, size: tuple[int, int] | None = None) -> Tensor:
    """Enlarge maps bilinearly and smooth them with a Gaussian, cut off at three standard deviations.

    At the border maps are mirrored, edge pixel included.

    Args:
        maps: ``(batch, 1, h, w)``.
        deviation: Standard deviation in pixels of the enlarged map; 0 for none.
        size: Height and width to enlarge to; None to leave maps as they are.

    Returns:
        Maps ``(batch, 1, *size)``.

    Example:
        >>> smooth(torch.ones(1, 1, 8, 8), 2.0).allclose(torch.ones(1, 1, 8, 8))
        True
    """
    if size is None or maps.shape[-2:] == size:
        return _smoothed(maps, deviation)
    # Both are linear and work along one axis at a time: a small matrix for each does them at once, in a fraction of the
    # time.
    height, width = (
        _enlarging(before, after, deviation, maps) for before, after in zip(maps.shape[-2:], size, strict=True)
    )
    return height @ maps @ width.mT


def _enlarging(before: int, after: int, deviation: float, like: Tensor) -> Tensor:
    """The matrix that enlarges a line of so many values and smooths it, ``(after, before)``."""
    unit = torch.eye(before, dtype=like.dtype, device=like.device)
    enlarged_lines = F.interpolate(unit[None], size=after, mode="linear", align_corners=False)[0]
    if deviation == 0:
        return enlarged_lines.mT
    return _smoothed_along(enlarged_lines[None, None], deviation, 3)[0, 0].mT


def _smoothed(maps: Tensor, deviation: float) -> Tensor:
    if deviation == 0:
        return maps
    return _smoothed_along(_smoothed_along(maps, deviation, 2), deviation, 3)


def _smoothed_along(maps: Tensor, deviation: float, axis: int) -> Tensor:
    reach, size = math.ceil(3 * deviation), maps.shape[axis]
    offsets = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    weights = torch.softmax(-offsets.square() / (2 * deviation**2), 0)
    # Mirrored by index: torch's padding mirrors without the edge pixel, and not further than the image reaches.
    around = torch.arange(-reach, size + reach, device=maps.device) % (2 * size)
    padded = maps.index_select(axis, torch.where(around < size, around, 2 * size - 1 - around))
    return F.conv2d(padded, weights.view(1, 1, *((-1, 1) if axis == 2 else (1, -1))))
