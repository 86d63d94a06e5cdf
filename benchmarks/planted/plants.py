"""The planted sets: good images with a defect of every kind, or wrong as a whole; written once to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoad_nni.data.planting.planter import Planter
from autoad_nni.data.planting.whole import WHOLE
from autoad_nni.data.split import generator
from autoad_nni.errors import AutoADError
from autoad_nni.registry import DEFECTS

__all__ = ["PASSES", "SIZES", "PlantedSet", "planted_set", "read_planted"]

SIZES: Final = (0.2, 2.0)
"""Wider than those that the product draws: narrower ones are chosen from what was recorded."""


@dataclass(frozen=True)
class PlantedSet:
    """Planted defects.

    Attributes:
        images: uint8.
        kind: Of each defect.
        strength: From 0, hard to see, to 1.
        size: Factor of its lengths (`autoad_nni.data.planting.settings.SIZES`).
        area: Part of the image.

    Shape:
        ``images`` ``(n, height, width)``, the others ``(n,)``.
    """

    images: npt.NDArray[np.uint8]
    kind: npt.NDArray[Any]
    strength: npt.NDArray[Any]
    size: npt.NDArray[Any]
    area: npt.NDArray[Any]


def planted_set(name: str, train: Tensor, hosts: Tensor, path: Path) -> PlantedSet:
    """Return planted defects, from the file if it is there.

    Args:
        name: One of `PASSES`.
        train: Good images, of which pieces are pasted.
        hosts: Good images that get a defect of every kind.
        path: An npz file.

    Shape:
        ``train`` and ``hosts`` ``(n, 1, height, width)`` in [0, 1].
    """
    if not path.is_file():
        found = PASSES[name](train, hosts)
        np.savez_compressed(path, **vars(found))
    return read_planted(path)


def read_planted(path: Path) -> PlantedSet:
    """Read planted defects."""
    with np.load(path) as file:
        return PlantedSet(**{key: file[key] for key in file.files})


def _on_object(train: Tensor, hosts: Tensor) -> PlantedSet:
    return _planted(Planter(train), DEFECTS.names(), hosts)


def _anywhere(train: Tensor, hosts: Tensor) -> PlantedSet:
    """As if no set had a background."""
    everywhere = Planter(train)
    everywhere.has_background = False
    return _planted(everywhere, DEFECTS.names(), hosts)


def _whole(train: Tensor, hosts: Tensor) -> PlantedSet:
    """Images that are wrong as a whole."""
    return _planted(Planter(train), tuple(WHOLE), hosts)


def _planted(planting: Planter, kinds: Sequence[str], hosts: Tensor) -> PlantedSet:
    rows = []
    for kind in kinds:
        planting.kinds = (kind,)
        for index, image in enumerate(hosts):
            rng = generator(0, "planted", kind, index)
            size = float(np.exp(rng.uniform(*np.log(SIZES))))
            planting.sizes = (size, size)  # so that it is known
            try:
                found = planting.plant(image, rng)
            except AutoADError:  # no noticeable defect of this kind
                continue
            pixels = (found.image[0] * 255).round().to(torch.uint8).numpy()
            rows.append((pixels, kind, found.strength, size, float(found.mask.float().mean())))
    return PlantedSet(*(np.array(column) for column in zip(*rows, strict=True)))


PASSES: Final[Mapping[str, Callable[[Tensor, Tensor], PlantedSet]]] = {
    "object": _on_object,
    "anywhere": _anywhere,
    "whole": _whole,
}
