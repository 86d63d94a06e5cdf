"""Defects planted into a crop of a texture, each with the mask of the pixels it may have touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from autoad_nni.data.planting import kinds
from autoad_nni.data.planting.canvas import Canvas, Floats
from autoad_nni.data.planting.plant import MIN_CHANGE, Generator
from autoad_nni.data.planting.plant import plant as plant_on

__all__ = ["KINDS", "MIN_CHANGE", "Grey", "Planted", "plant"]

Grey = npt.NDArray[np.uint8]

KINDS: Final[Mapping[str, Generator]] = {
    "blob": kinds.blob,
    "contrast": kinds.contrast,
    "foreign": kinds.foreign,
    "missing_patch": kinds.missing_patch,
    "scratch": kinds.scratch,
    "stain": kinds.stain,
}
"""The generators that the set is made with; the others of :mod:`autoad_nni.data.planting.kinds` came later."""


class Planted(NamedTuple):
    """A crop with a defect.

    Shape:
        ``image`` and ``mask`` ``(side, side)``; the mask is True where the defect is.
    """

    image: Grey
    mask: npt.NDArray[np.bool_]


def plant(kind: str, crop: Grey, other: Grey, strength: float, rng: np.random.Generator) -> Planted:
    """Plant one defect at a random place into a crop (:func:`autoad_nni.data.planting.plant.plant`).

    Args:
        kind: One of :data:`KINDS`.
        crop: The crop, left as it is.
        other: A crop of another texture, of the same size; only ``foreign`` uses it.
        strength: From 0, hard to see, to 1, clear.
        rng: Determines place, shape and details.

    Shape:
        ``crop`` and ``other`` ``(side, side)``.

    Raises:
        RuntimeError: The crop is so flat that no noticeable defect of this kind can be made.

    Example:
        >>> crop = np.random.default_rng(0).integers(80, 160, (64, 64)).astype(np.uint8)
        >>> image, mask = plant("stain", crop, crop, 1.0, np.random.default_rng(0))
        >>> bool((image == crop)[~mask].all()), bool(image[mask].mean() < crop[mask].mean())
        (True, True)
    """
    planted = plant_on(KINDS[kind], Canvas(_plane(crop), _plane(other), _plane(other), strength, rng, len(crop)))
    if planted is None:
        raise RuntimeError(f"no noticeable {kind} in the crop")
    return Planted(planted.image[..., 0].astype(np.uint8), planted.mask)


def _plane(crop: Grey) -> Floats:
    return crop.astype(np.float64)[..., None]
