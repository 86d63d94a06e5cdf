"""Photographs of textures that scikit-image comes with."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from autoad_nni.data.sources._embedded import embedded_file

__all__ = ["TEXTURES", "photograph"]

TEXTURES: Final = ("brick", "grass", "gravel")


@cache
def photograph(texture: str) -> npt.NDArray[np.uint8]:
    """Return the photograph of a texture; it is not to be changed.

    Shape:
        ``(512, 512)``.
    """
    with Image.open(embedded_file("skimage", f"data/{texture}.png", "scikit-image")) as file:
        return np.asarray(file.convert("L"))
