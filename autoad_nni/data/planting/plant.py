"""Plants one defect: blends what a generator makes into an image, and says where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from autoad_nni.data.planting.canvas import Canvas, Covering, Floats

__all__ = ["EDGE", "MIN_CHANGE", "Generator", "Planted", "plant"]

Generator = Callable[[Canvas], Covering]
"""A generator of defects."""

MIN_CHANGE: Final = 4.0
"""Mean change within the mask, in grey levels; below it the defect could not be seen."""

EDGE: Final = 0.2
"""The mask is where the opacity is this or more."""

_TRIES = 50


class Planted(NamedTuple):
    """An image with a defect.

    Attributes:
        image: Whole numbers from 0 to 255 in the mask, as it was elsewhere.
        mask: True where the defect is.

    Shape:
        ``image`` ``(height, width, channels)``, ``mask`` ``(height, width)``.
    """

    image: Floats
    mask: npt.NDArray[np.bool_]


def plant(generator: Generator, canvas: Canvas, *, tries: int = _TRIES) -> Planted | None:
    """Plant one defect at a random place; None if no noticeable one comes about.

    A defect is blended in with an opacity that falls off at its edge. The mask is exactly where the opacity is 0.2 or
    more; elsewhere the image is left as it was, to the bit. Within the mask single pixels may keep their value by
    chance, but the mean change is :data:`MIN_CHANGE` grey levels or more. Of a defect that is partly beside the object,
    only what is on it is seen.

    Args:
        generator: Makes the defect.
        canvas: The image, and what it is drawn with.
        tries: How often it is tried.
    """
    for _ in range(tries):
        covered, opacity = generator(canvas)
        if canvas.on is not None:
            opacity = opacity * canvas.on
        mask = opacity >= EDGE
        blended = canvas.image + opacity[..., None] * (covered - canvas.image)
        image = np.where(mask[..., None], blended.round().clip(0, 255), canvas.image)
        if mask.any() and np.abs(image[mask] - canvas.image[mask]).mean() >= MIN_CHANGE:
            return Planted(image, mask)
    return None
