"""Images that are wrong as a whole: half of what is planted, so that models are chosen that notice more than spots.

With local defects alone, models that overlook large changes were chosen (docs/decisions/planted.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from autoad_nni.data.planting.canvas import Canvas, Covering, Floats
from autoad_nni.data.planting.plant import Generator

__all__ = ["WHOLE"]

_BANDS: Final = 3
_NOISE: Final = 50.0
"""Standard deviation, in grey levels."""
_BLUR: Final = 1 / 16
"""Of the sides of the image."""


def another_texture(canvas: Canvas) -> Floats:
    """A picture of something else."""
    return canvas.foreign


def blurred(canvas: Canvas) -> Floats:
    """Far out of focus."""
    height, width = canvas.size
    image: Floats = ndimage.gaussian_filter(canvas.image, (height * _BLUR, width * _BLUR, 0))
    return image


def double_exposure(canvas: Canvas) -> Floats:
    """The mean of two good images."""
    return (canvas.image + canvas.other) / 2


def enlarged(canvas: Canvas) -> Floats:
    """A quarter of the image, twice as high and wide."""
    sides = np.array(canvas.size)[:, None, None]
    corner = canvas.rng.uniform(0, sides / 2)
    return canvas.looked_up(corner + np.mgrid[: canvas.size[0], : canvas.size[1]] / 2)


def grainy(canvas: Canvas) -> Floats:
    """Noise all over; the same in all channels."""
    return canvas.image + _NOISE * canvas.grain(0)


def inverted(canvas: Canvas) -> Floats:
    """Dark is bright."""
    return 255 - canvas.image


def jumbled(canvas: Canvas) -> Floats:
    """Cut into 3 x 3 parts, whose rows and columns are shuffled."""
    rows, columns = (_shuffled(side, canvas.rng) for side in canvas.size)
    return canvas.image[rows][:, columns]


def _shuffled(side: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    bands = np.array_split(np.arange(side), _BANDS)
    return np.concatenate([bands[i] for i in rng.permutation(_BANDS)])


def _everywhere(way: Callable[[Canvas], Floats]) -> Generator:
    return lambda canvas: Covering(way(canvas), np.ones(canvas.size))


WHOLE: Final[Mapping[str, Generator]] = {
    way.__name__: _everywhere(way)
    for way in (another_texture, blurred, double_exposure, enlarged, grainy, inverted, jumbled)
}
"""The ways, by name, as generators whose defect covers all of the image."""
