"""Noise images, made on the fly."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.split import generator

__all__ = ["GaussianNoise", "UniformNoise"]

# Table II of the paper.
N_IMAGES = 1000


class _Noise(ImageSource):
    """1,000 images of independent pixels; as the normal set 1 x 28 x 28, as in the paper's task."""

    def __init__(self, options: SourceOptions) -> None:
        self._seed = options.seed
        self.image_shape = ImageShape(1, 28, 28)
        self.where = None

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List a thousand images, independent of each other."""
        return Catalogue(n_images=N_IMAGES)

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Generate the images in the requested shape; image i does not depend on the other indices."""
        out = np.empty((len(indices), *shape), np.float32)
        for row, index in zip(out, indices, strict=True):
            row[:] = self._draw(generator(self._seed, type(self).__name__, int(index)), shape)
        return torch.from_numpy(out)

    @abstractmethod
    def _draw(self, rng: np.random.Generator, shape: ImageShape) -> npt.NDArray[np.float32]:
        """One image in [0, 1]."""


class GaussianNoise(_Noise):
    """Gaussian noise: ``x ~ clip(N(0.5, 1), 0, 1)`` for every pixel; about 62 % of the values are 0 or 1.

    Differs from / not given by the paper: "mean 0.5, unit variance" is before clipping.

    Reference: Table II of AutoAD; the same set as in ODIN (Liang 2018).
    """

    def _draw(self, rng: np.random.Generator, shape: ImageShape) -> npt.NDArray[np.float32]:
        return (rng.standard_normal(shape, np.float32) + 0.5).clip(0, 1)


class UniformNoise(_Noise):
    """Uniform noise: ``x ~ U[0, 1)`` for every pixel.

    Reference: Table II of AutoAD; the same set as in ODIN (Liang 2018).
    """

    def _draw(self, rng: np.random.Generator, shape: ImageShape) -> npt.NDArray[np.float32]:
        return rng.random(shape, np.float32)
