"""The planted sets: each good validation image with a defect of every generator, written once to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import SourceOptions
from autoad_nni.data.sources.photos import Photos
from autoad_nni.data.split import generator
from autoad_nni.data.textures import KINDS, plant

__all__ = ["PASSES", "planted_set"]

Arrays = dict[str, np.ndarray[Any, Any]]


def planted_set(name: str, images: Tensor, path: Path) -> Arrays:
    """Return planted defects, from the file if it is there.

    Args:
        name: One of `PASSES`.
        images: Good ones, ``(n, 1, height, width)`` in [0, 1].
        path: An npz file.

    Returns:
        ``images`` uint8 ``(m, height, width)``, and of each the ``family`` of its defect, its ``strength`` from 0, hard
        to see, to 1, and the ``index`` of the image that it is in.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **PASSES[name](images))
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def _textures(images: Tensor) -> Arrays:
    """The generators of ``data textures`` as they are; a foreign piece is from a photograph."""
    grey = _pixels(images)
    others = _pixels(Photos(SourceOptions()).read(np.arange(len(images)), ImageShape(*images.shape[1:])))
    rows = []
    for family in KINDS:
        for index, image in enumerate(grey):
            rng = generator(0, "planted", family, index)
            strength = float(rng.random())
            try:
                defect = plant(family, image, others[index], strength, rng)
            except RuntimeError:  # so flat that there is no such defect
                continue
            rows.append((family, strength, index, defect.image))
    return _arrays(rows)


def _arrays(rows: list[tuple[str, float, int, np.ndarray[Any, Any]]]) -> Arrays:
    names = ("family", "strength", "index", "images")
    return {name: np.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def _pixels(images: Tensor) -> np.ndarray[Any, Any]:
    pixels: np.ndarray[Any, Any] = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    return pixels


PASSES: Final[Mapping[str, Callable[[Tensor], Arrays]]] = {"textures": _textures}
