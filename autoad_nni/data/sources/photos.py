"""Patches of natural photographs, embedded in scikit-image."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._embedded import embedded_file
from autoad_nni.data.split import generator

__all__ = ["Patch", "Photos"]

# In every scikit-image wheel since 0.18, no download. brick, grass and gravel are left for textures.
PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
N_PATCHES = 5000
MIN_CELL = 128


class Patch(NamedTuple):
    """A square cut out of a photograph, in pixels of that photograph."""

    photograph: int
    left: int
    top: int
    side: int


class Photos(ImageSource):
    """5,000 patches of eight natural photographs; as the normal set 3 x 32 x 32, like CIFAR-10.

    Each photograph is divided into square cells with sides of max(128, wanted side) pixels: 102 cells up to 128 pixels,
    25 at 224. Patch i lies within cell ``i mod n_cells``, at a random place, with a random side between half a cell
    and a whole one, and is resized with antialiasing; so nothing is enlarged more than twofold.

    A cell is a group (:class:`~autoad_nni.data.Catalogue`): its patches overlap and so go into one of train,
    validation and test together. Cells share no pixel, so no pixel is in two of them.
    """

    def __init__(self, options: SourceOptions) -> None:
        self._seed = options.seed
        self.image_shape = ImageShape(3, 32, 32)
        # The path alone: `import skimage.data` costs a second process-wide and may ask for the package pooch.
        self._files = [embedded_file("skimage", f"data/{name}", "scikit-image") for name in PHOTOGRAPHS]
        self.where = self._files[0].parent

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        sizes = []
        for file in self._files:
            with Image.open(file) as photograph:
                sizes.append(photograph.size)
        return sizes

    @cached_property
    def _draws(self) -> npt.NDArray[np.float64]:
        return generator(self._seed, "photos").random((N_PATCHES, 3))

    def _cells(self, shape: ImageShape) -> list[Patch]:
        side = max(MIN_CELL, shape.height, shape.width)
        cells = []
        for number, (width, height) in enumerate(self._sizes):
            left, top = width % side // 2, height % side // 2
            cells += [
                Patch(number, x, y, side)
                for y in range(top, height - side + 1, side)
                for x in range(left, width - side + 1, side)
            ]
        return cells

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all patches, grouped by cell."""
        return Catalogue(n_images=N_PATCHES, groups=np.arange(N_PATCHES) % len(self._cells(shape)))

    def patches(self, indices: IntArray, shape: ImageShape) -> list[Patch]:
        """Return where the patches are; patch i does not depend on the other indices."""
        cells = self._cells(shape)
        found = []
        for index in indices:
            cell = cells[index % len(cells)]
            smallest = cell.side // 2
            size, across, down = self._draws[index]
            side = smallest + int(size * (cell.side - smallest + 1))
            room = cell.side - side + 1
            found.append(Patch(cell.photograph, cell.left + int(across * room), cell.top + int(down * room), side))
        return found

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Cut the patches and resize them; grey by luma, RGB from the grey photographs by repetition."""
        out = torch.empty(len(indices), *shape)
        photographs: dict[int, Image.Image] = {}
        for row, (number, left, top, side) in zip(out, self.patches(indices, shape), strict=True):
            if number not in photographs:
                with Image.open(self._files[number]) as file:
                    photographs[number] = file.convert("L" if shape.channels == 1 else "RGB")
            # Cut first: `resize(box=...)` lets the filter reach over the edge into the next cell.
            patch = photographs[number].crop((left, top, left + side, top + side))
            pixels = np.asarray(patch.resize((shape.width, shape.height), Image.Resampling.BILINEAR))
            planes = pixels.reshape(shape.height, shape.width, shape.channels).transpose(2, 0, 1)
            row.copy_(torch.from_numpy(planes.copy()))
        return out.div_(255)
