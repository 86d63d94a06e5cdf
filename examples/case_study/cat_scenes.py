"""The cat photograph, its outline, and discs of other photographs planted on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.data.sources._embedded import embedded_file

__all__ = ["FORM", "Scene", "cat", "outline", "plant", "training_images"]

FORM = ImageShape(3, 108, 162)
OTHER_OBJECTS = ("coins.png", "coffee.png", "astronaut.png", "motorcycle_left.png")
DIAMETERS = (36, 60)
# Drawn by hand around what is in focus, in pixels of the photograph.
CAT = (
    (0, 128), (20, 112), (32, 98), (34, 60), (40, 20), (42, 0), (400, 0), (388, 22), (372, 46), (360, 72), (364, 96),
    (367, 124), (362, 156), (348, 188), (326, 214), (316, 236), (312, 262), (300, 282), (292, 300), (0, 300),
)  # fmt: skip


class Scene(NamedTuple):
    """The photograph with a disc on the cat and one beside it.

    Shape:
        image ``(1, 3, 300, 451)`` in [0, 1]; on_cat, beside ``(300, 451)``, bool.
    """

    image: Tensor
    on_cat: Tensor
    beside: Tensor


def photograph(name: str) -> Image.Image:
    """Opens one of scikit-image's photographs."""
    with Image.open(embedded_file("skimage", f"data/{name}", "scikit-image")) as file:
        return file.convert("RGB")


def cat() -> Tensor:
    """The photograph of Chelsea, ``(1, 3, 300, 451)`` in [0, 1]."""
    return to_tensor(photograph("chelsea.png"))


def to_tensor(image: Image.Image) -> Tensor:
    """Pixels ``(1, 3, height, width)`` in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def outline() -> Tensor:
    """The cat by hand, ``(300, 451)``, bool."""
    canvas = Image.new("1", photograph("chelsea.png").size)
    ImageDraw.Draw(canvas).polygon(CAT, fill=1)
    return torch.from_numpy(np.array(canvas))


def plant(seed: int) -> Scene:
    """Plants two discs from different photographs: one wholly on the cat, one wholly beside it."""
    random = np.random.default_rng(seed)
    image, inside = cat(), outline()
    masks = []
    for other, where in zip(random.permutation(OTHER_OBJECTS)[:2], (inside, ~inside), strict=True):
        diameter = int(random.integers(*DIAMETERS, endpoint=True))
        source = to_tensor(photograph(other))
        disc = _disc(diameter)
        while True:
            top, left = (int(random.integers(side - diameter)) for side in where.shape)
            if where[top : top + diameter, left : left + diameter][disc].all():
                break
        y, x = (int(random.integers(side - diameter)) for side in source.shape[2:])
        image[0, :, top : top + diameter, left : left + diameter][:, disc] = source[
            0, :, y : y + diameter, x : x + diameter
        ][:, disc]
        mask = torch.zeros_like(where)
        mask[top : top + diameter, left : left + diameter] = disc
        masks.append(mask)
    return Scene(image, *masks)


def _disc(diameter: int) -> Tensor:
    steps = torch.arange(diameter) - (diameter - 1) / 2
    return steps[:, None] ** 2 + steps**2 <= (diameter / 2) ** 2


def training_images(count: int, seed: int) -> Tensor:
    """The clean photograph, cut to 80 to 100 % of its sides at a random place, mirrored or not, lighter or darker.

    Shape:
        ``(count, *FORM)``.
    """
    random = np.random.default_rng(seed)
    whole = cat()
    images = torch.empty(count, *FORM)
    for row in images:
        height, width = (int(side * random.uniform(0.8, 1)) for side in whole.shape[2:])
        top, left = int(random.integers(301 - height)), int(random.integers(452 - width))
        crop = to_image_shape(whole[:, :, top : top + height, left : left + width], FORM)[0]
        row.copy_((crop.flip(2) if random.random() < 0.5 else crop) * random.uniform(0.9, 1.1)).clamp_(0, 1)
    return images
