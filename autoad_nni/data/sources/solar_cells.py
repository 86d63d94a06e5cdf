"""Real inspection images: electroluminescence images of solar cells, in the package elpv-dataset."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from autoad_nni.data.decode import read_images
from autoad_nni.data.image_shape import MAX_SIDE, ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._embedded import embedded_file
from autoad_nni.errors import AutoADError

__all__ = ["SolarCells"]

_PACKAGE, _DISTRIBUTION = "elpv_dataset", "elpv-dataset"
_DEFECTS = {0.0: "", 1.0: "defective"}
"""Name of the defect by its probability; cells with another probability are left out."""


class SolarCells(ImageSource):
    """1,322 polycrystalline solar cells, grey, 300 x 300 pixels: 920 good, 402 with a defect; no masks.

    Experts gave each cell a probability of a defect. Good are those with 0, defective those with 1; the 228 between are
    left out, as are the monocrystalline cells, which look different. ``image_size`` defaults to 224, the largest there
    is. Good cells are split 6:2:2, the defective ones are halved.

    The cells come from 44 solar modules, but the package does not say which from which: cells of one module can be in
    train as well as in test, so that the figures tell nothing about a module that was never seen.

    The images are licensed for non-commercial use (CC BY-NC-SA 4.0), so the package comes with the extra ``solar``.

    Reference:
        Deitsch et al., "Automatic classification of defective photovoltaic module cells in electroluminescence images",
        Solar Energy 185, 2019.
    """

    can_be_abnormal: ClassVar[bool] = False

    where: Path

    def __init__(self, options: SourceOptions) -> None:
        if importlib.util.find_spec(_PACKAGE) is None:
            raise AutoADError(
                f"[[data=solar_cells]] needs the package {_DISTRIBUTION}, which is missing. Expected it, installed; "
                "its images are for non-commercial use. Run: pip install 'autoad-nni[solar]'"
            )
        labels = embedded_file(_PACKAGE, "data/labels.csv", _DISTRIBUTION)
        self.where = labels.parent
        self.image_shape = ImageShape(1, MAX_SIDE, MAX_SIDE)
        rows = [line.split() for line in labels.read_text().splitlines()]  # path, probability, type of the module
        cells = [(path, float(probability)) for path, probability, kind in rows if kind == "poly"]
        self._names = [path for path, probability in cells if probability in _DEFECTS]
        self._defects = tuple(_DEFECTS[probability] for _, probability in cells if probability in _DEFECTS)

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List the cells, each on its own."""
        return Catalogue(n_images=len(self._names), defects=self._defects)

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Decode and convert the files, or take them from the cache."""
        return read_images([self.where / name for name in self.names(indices)], shape)

    def names(self, indices: IntArray) -> list[str]:
        """Return the names that the package's table has for the images: ``images/cell0001.png``."""
        return [self._names[index] for index in indices]
