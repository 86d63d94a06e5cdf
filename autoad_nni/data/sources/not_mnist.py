"""notMNIST, from the folders of its archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoad_nni.data.files import image_files
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import IntArray
from autoad_nni.data.sources._files import FilesSource
from autoad_nni.opening import open_regular

__all__ = ["NotMnist"]

_LETTERS = "ABCDEFGHIJ"
_PNG = b"\x89PNG\r\n\x1a\n"


class NotMnist(FilesSource):
    """notMNIST: grey images of the letters A to J in many typefaces, 28 x 28; 18,724 in the small archive.

    Looks below ``--root`` in ``notMNIST_small``, ``notMNIST_large`` and the folder itself, in the folders A to J. Each
    of the archives has a few files that are no images; files that do not begin as a PNG does are left out.

    Reference: Bulatov, notMNIST dataset, 2011.
    """

    title = "notMNIST"
    sub_folders = ("notMNIST_small", "notMNIST_large", ".")
    shape = ImageShape(1, 28, 28)
    advice = (
        "Expected the folders A to J. Give [[root=DIR]] with notMNIST_small.tar.gz unpacked (yaroslavvb.com/upload/"
        "notMNIST)."
    )

    def classes(self, indices: IntArray) -> IntArray | None:
        """Return the letters, 0 for A."""
        return np.array([_LETTERS.index(name[0]) for name in self.names(indices)], np.int64)

    def files_of(self, folder: Path) -> list[Path]:
        """Return the PNG files of the ten letters."""
        return [file for letter in _LETTERS for file in image_files(folder / letter) if _is_png(file)]


def _is_png(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return bool(file.read(len(_PNG)) == _PNG)
    except OSError:
        return False
