"""CIFAR-10, from the binary version of its archive."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._download import download_into
from autoad_nni.data.sources._stored import pick
from autoad_nni.errors import AutoADError

__all__ = ["Cifar10"]

FOLDER = "cifar-10-batches-bin"
FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"

_PIXELS = 3 * 32 * 32
# A byte for the label, then the red, the green and the blue plane, row by row.
_RECORD = 1 + _PIXELS


class Cifar10(ImageSource):
    """CIFAR-10: 60,000 RGB images of ten kinds of objects, 32 x 32.

    Reads the binary version, not the Python version that torchvision reads: that one is made of pickles, which can
    run code. Looks below ``--root`` in ``cifar-10-batches-bin`` and in the folder itself.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    def __init__(self, options: SourceOptions) -> None:
        self.image_shape = ImageShape(3, 32, 32)
        self.where = _find(options)
        # Mapped, not read: a task often takes a few hundred of these 184 MB as anomalies.
        self._batches = [_map(self.where / name) for name in FILES]

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images, the official training images first."""
        return Catalogue(n_images=sum(map(len, self._batches)))

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Pick and convert."""
        return pick(self._batches, indices, shape)


def _find(options: SourceOptions) -> Path:
    folders = [] if options.root is None else [options.root / FOLDER, options.root]
    for folder in folders:
        if all(os.path.isfile(folder / name) for name in FILES):
            return folder
    if options.download:
        return download_into(options, "CIFAR-10", _fetch) / FOLDER
    looked_in = ", ".join(map(str, folders)) if folders else "no folder, as [[root]] is missing"
    raise AutoADError(
        f"no {', '.join(FILES)} of CIFAR-10. Looked in: {looked_in}. Give [[root=DIR]] with cifar-10-binary.tar.gz "
        "unpacked (binary version, www.cs.toronto.edu/~kriz/cifar.html; the Python version holds pickles and is not "
        "read), or [[download=True]] with [[root=DIR]]."
    )


def _fetch(root: Path) -> None:
    # Here, as it takes two seconds.
    from torchvision.datasets.utils import download_and_extract_archive

    download_and_extract_archive(ARCHIVE, str(root), md5=ARCHIVE_MD5)


def _map(path: Path) -> npt.NDArray[np.uint8]:
    n_bytes = path.stat().st_size
    if n_bytes == 0 or n_bytes % _RECORD:
        raise AutoADError(
            f"{path} has {n_bytes} bytes. Expected a multiple of {_RECORD}, a label and 3 x 32 x 32 pixels each. "
            "Fetch it again."
        )
    records = np.memmap(path, np.uint8, mode="r", shape=(n_bytes // _RECORD, _RECORD))
    return records[:, 1:].reshape(-1, 3, 32, 32)
