"""Handwritten digits, embedded in scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape, to_image_shape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._embedded import embedded_file

__all__ = ["Digits"]


class Digits(ImageSource):
    """1,797 handwritten digits of 8 x 8 pixels, bright on black; ``x = value / 16``.

    Needs no files: the table is part of the scikit-learn wheel.

    Reference: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998.
    """

    def __init__(self, options: SourceOptions) -> None:
        self.image_shape = ImageShape(1, 8, 8)
        # Read directly: `import sklearn.datasets` takes 1.6 s in every trial process, this 0.01 s.
        self.where = embedded_file("sklearn", "datasets/data/digits.csv.gz", "scikit-learn")
        table = np.loadtxt(self.where, delimiter=",", dtype=np.uint8)
        self._classes = table[:, -1].astype(np.int64)
        self._images = torch.from_numpy(table[:, :-1].reshape(-1, 1, 8, 8))

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all digits, which are independent of each other."""
        return Catalogue(n_images=len(self._images))

    def classes(self, indices: IntArray) -> IntArray | None:
        """Return the digits."""
        return self._classes[indices]

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Scale 0..16 to [0, 1] and convert."""
        return to_image_shape(self._images[torch.from_numpy(indices)] / 16, shape)
