"""Where the object is in good images: what differs from an empty background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from autoad_nni.data.planting.canvas import Floats

__all__ = ["Foreground", "find_object", "have_background"]

_RING: Final = 0.04
_LEAST, _MOST = 0.01, 0.95
# In grey levels of 255.
_QUIET: Final = 10.0
_LEAST_STEP: Final = 8.0
_EMPTIER: Final = 0.4
# Of the images of a set.
_MOST_IMAGES: Final = 0.8
_AT_EDGES: Final = 0.55


class Foreground(NamedTuple):
    """An object before an empty background.

    Attributes:
        on: Where the object is, ``(height, width)``.
        background: Value of the background, ``(channels,)``.
        side: Of a square as large as the object's largest part, in pixels.
    """

    on: npt.NDArray[np.bool_]
    background: Floats
    side: float


def have_background(images: Sequence[Floats]) -> bool:
    """Return whether images of a set show objects before an empty background.

    Most of them do by `find_object`, and what it finds is rarer at the edges than elsewhere. The joints of a brick wall
    are not.

    Args:
        images: Values 0 to 255, each ``(height, width, channels)``.
    """
    found = [each.on for each in map(find_object, images) if each is not None]
    if not found or len(found) < _MOST_IMAGES * len(images):
        return False
    share = np.mean(found, axis=0)
    ring = _ring(*share.shape)
    return bool(share[ring].mean() < _AT_EDGES * share[~ring].mean())


def find_object(image: Floats) -> Foreground | None:
    """Return where the object is; None where the image has no empty background.

    The background has one value, that of most pixels at the edges of the image. The object is what differs from it by
    more than the background itself does, with its holes. It is none if it is nearly nothing or nearly everything, or if
    what is left is hardly emptier: a texture has no background.

    Args:
        image: Values 0 to 255, ``(height, width, channels)``.
    """
    height, width, _ = image.shape
    ring = _ring(height, width)
    background = np.median(image[ring], axis=0)
    smooth = ndimage.gaussian_filter(image, (0.004 * height, 0.004 * width, 0))
    distance = np.abs(smooth - background).max(axis=2)
    noise = float(np.median(distance[ring]))
    if noise > _QUIET:
        return None
    on = ndimage.binary_fill_holes(distance > max(_LEAST_STEP, 5 * noise))
    parts, count = ndimage.label(on, structure=np.ones((3, 3)))
    if not count:
        return None
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    # Specks of dust are no objects, and several objects are.
    on = np.isin(parts, np.flatnonzero(areas >= max(0.1 * areas.max(), 3)))
    if not _LEAST <= on.mean() <= _MOST:
        return None
    contrast = _unevenness(image)
    inside = ndimage.binary_erosion(~on, iterations=max(1, min(height, width) // 64))
    if inside.any() and contrast[inside].mean() > _EMPTIER * contrast[on].mean():
        return None
    return Foreground(on, background, float(np.sqrt(areas.max())))


def _ring(height: int, width: int) -> npt.NDArray[np.bool_]:
    ring = np.ones((height, width), bool)
    rows, columns = max(1, round(_RING * height)), max(1, round(_RING * width))
    ring[rows:-rows, columns:-columns] = False
    return ring


def _unevenness(image: Floats) -> Floats:
    """How much each pixel differs from those around it."""
    grey = image.mean(axis=2)
    uneven: Floats = np.abs(grey - ndimage.uniform_filter(grey, 5))
    return uneven
