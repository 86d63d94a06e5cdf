"""Good images of a set with defects planted into them, as a set of images of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.planting.planter import PlantedImage, Planter
from autoad_nni.data.source import Catalogue, ImageSource, IntArray
from autoad_nni.data.split import generator

__all__ = ["PlantedDefects"]

# Pieces of them are pasted, and the range of values and the background are found in them.
_MOST_EXAMPLES = 64


class PlantedDefects(ImageSource):
    """Copies of the images of another set, each with one planted defect, which depends on no other image.

    Args:
        normal: The set that has the images.
        n_images: How many it has.
        train: Those of its good images that are trained on.
        seed: Determines the defects.
    """

    where: Path | None

    def __init__(self, normal: ImageSource, n_images: int, train: IntArray, seed: int) -> None:
        self.image_shape, self.where = normal.image_shape, normal.where
        self._normal, self._n_images, self._seed = normal, n_images, seed
        self._examples = train[:_MOST_EXAMPLES]
        self._planter: tuple[ImageShape, Planter] | None = None
        self._last: tuple[bytes, list[PlantedImage]] = b"", []

    def copies(self, indices: IntArray, number: int) -> IntArray:
        """Return the numbers of so many copies of each of the images, which the other set has under ``indices``."""
        return np.concatenate([indices + copy * self._n_images for copy in range(number)])

    def origins(self, indices: IntArray) -> IntArray:
        """Return the numbers that the images have in the other set."""
        return indices % self._n_images

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List the first copies."""
        return Catalogue(n_images=self._n_images)

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Read images, and plant a defect into each."""
        return torch.stack([each.image for each in self._plant(indices, shape)])

    def masks(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Return where the defects are."""
        return torch.stack([each.mask for each in self._plant(indices, shape)])

    def names(self, indices: IntArray) -> list[str]:
        """Return the names of the images, below ``planted`` and the number of the copy."""
        names = self._normal.names(self.origins(indices))
        return [f"planted/{i // self._n_images + 1}/{name}" for i, name in zip(indices, names, strict=True)]

    def _plant(self, indices: IntArray, shape: ImageShape) -> list[PlantedImage]:
        key = repr(shape).encode() + indices.tobytes()
        if self._last[0] != key:  # images and masks are asked for one after the other
            planter = self._planter_for(shape)
            images = zip(indices, self._normal.read(self.origins(indices), shape), strict=True)
            planted = [planter.plant(image, generator(self._seed, "planted", int(i))) for i, image in images]
            self._last = key, planted
        return self._last[1]

    def _planter_for(self, shape: ImageShape) -> Planter:
        if self._planter is None or self._planter[0] != shape:
            self._planter = shape, Planter(self._normal.read(self._examples, shape))
        return self._planter[1]
