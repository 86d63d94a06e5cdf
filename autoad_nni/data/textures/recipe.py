"""What a set of textures is made of: regions of the photographs, the recipe, and the images of one texture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from autoad_nni.data.planting.photograph import TEXTURES, photograph
from autoad_nni.data.split import generator
from autoad_nni.data.textures.planted import KINDS, Grey, plant
from autoad_nni.errors import AutoADError

__all__ = ["HALVES", "REGIONS", "TEXTURES", "Recipe", "Region", "photograph", "write_texture"]

HALVES = ("a", "b")

_MIN_SIDE = 64


class Region(NamedTuple):
    """A part of a photograph, in pixels; right and bottom are the first beyond it."""

    left: int
    top: int
    right: int
    bottom: int


# The photographs are 512 x 512. Where the crops of a part may lie; no two regions share a pixel.
REGIONS = {"train": Region(0, 0, 308, 512), "a": Region(308, 0, 512, 256), "b": Region(308, 256, 512, 512)}


@dataclass(frozen=True)
class Recipe:
    """What determines every byte of the set; ``version`` is raised when the same numbers give other images."""

    seed: int
    side: int
    n_train: int
    n_good: int
    n_per_defect: int
    version: int = 1

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise AutoADError(f"the seed is {self.seed}. Expected 0 or more. Give another seed.")
        widest = min(REGIONS["a"].right - REGIONS["a"].left, REGIONS["a"].bottom - REGIONS["a"].top)
        if not _MIN_SIDE <= self.side <= widest:
            raise AutoADError(f"side is {self.side}. Expected {_MIN_SIDE} to {widest} pixels. Give side=128.")
        least = {"n_train": 1, "n_good": 2, "n_per_defect": 2}
        for name, least_number in least.items():
            if getattr(self, name) < least_number:
                raise AutoADError(f"{name} is {getattr(self, name)}. Expected {least_number} or more. Raise it.")
        in_a = (self.n_good + 1) // 2 + len(KINDS) * ((self.n_per_defect + 1) // 2)
        for part, wanted in (("train", self.n_train), ("a", in_a)):
            places = _n_places(REGIONS[part], self.side)
            if wanted > places:
                raise AutoADError(
                    f"{wanted} crops of {self.side} pixels from one region. Expected {places} or fewer, as there are "
                    "no more places. Give smaller numbers or a smaller side."
                )

    def files(self) -> Iterator[str]:
        """Give every image and mask of the set, relative to its folder."""
        for texture in TEXTURES:
            yield from (f"{texture}/train/good/{i:03}.png" for i in range(self.n_train))
            yield from (f"{texture}/test/good/{name}.png" for name in _test_names(self.n_good))
            for kind in KINDS:
                for name in _test_names(self.n_per_defect):
                    yield f"{texture}/test/{kind}/{name}.png"
                    yield f"{texture}/ground_truth/{kind}/{name}_mask.png"


def write_texture(folder: Path, texture: str, recipe: Recipe) -> None:
    """Write the images and masks of one texture; the folders must be there."""
    photographs = {name: photograph(name) for name in TEXTURES}
    crops = {part: _crops(photographs[texture], texture, part, recipe) for part in REGIONS}
    for i, crop in zip(range(recipe.n_train), crops["train"], strict=False):
        _save(folder / f"train/good/{i:03}.png", crop)
    for name in _test_names(recipe.n_good):
        _save(folder / f"test/good/{name}.png", next(crops[name[0]]))
    others = [photographs[name] for name in TEXTURES if name != texture]
    for kind in KINDS:
        for name in _test_names(recipe.n_per_defect):
            rng = generator(recipe.seed, "textures", texture, kind, name)
            # One in each part of the range: every half has faint and clear ones.
            strength = (int(name[2:]) + rng.random()) / ((recipe.n_per_defect + 1) // 2)
            region, side = REGIONS[name[0]], recipe.side
            left = int(rng.integers(region.left, region.right - side + 1))
            top = int(rng.integers(region.top, region.bottom - side + 1))
            other = others[int(rng.integers(len(others)))][top : top + side, left : left + side]
            planted = plant(kind, next(crops[name[0]]), other, strength, rng)
            _save(folder / f"test/{kind}/{name}.png", planted.image)
            _save(folder / f"ground_truth/{kind}/{name}_mask.png", planted.mask.astype(np.uint8) * 255)


def _test_names(number: int) -> list[str]:
    return [f"{HALVES[i % 2]}_{i // 2:03}" for i in range(number)]


def _n_places(region: Region, side: int) -> int:
    return (region.right - region.left - side + 1) * (region.bottom - region.top - side + 1)


def _crops(pixels: Grey, texture: str, part: str, recipe: Recipe) -> Iterator[Grey]:
    """Crops of a region in random order, none twice."""
    region, side = REGIONS[part], recipe.side
    columns = region.right - region.left - side + 1
    for place in generator(recipe.seed, "textures", texture, part).permutation(_n_places(region, side)):
        left, top = region.left + place % columns, region.top + place // columns
        yield pixels[top : top + side, left : left + side]


def _save(path: Path, pixels: Grey) -> None:
    Image.fromarray(pixels).save(path)
