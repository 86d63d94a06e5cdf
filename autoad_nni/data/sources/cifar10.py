"""CIFAR-10 and CIFAR-100, from the binary versions of their archives."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._download import download_into
from autoad_nni.data.sources._finding import first_with, places
from autoad_nni.data.sources._stored import pick
from autoad_nni.errors import AutoADError

__all__ = ["Cifar10", "Cifar100"]

_PIXELS = 3 * 32 * 32


class _Cifar(ImageSource):
    """Records of labels and of a red, a green and a blue plane, row by row, in files that are read in order."""

    title: ClassVar[str]
    folder: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    archive: ClassVar[str]
    archive_md5: ClassVar[str]
    label_bytes: ClassVar[int]

    def __init__(self, options: SourceOptions) -> None:
        self.image_shape = ImageShape(3, 32, 32)
        self.where = self._find(options)
        # Mapped, not read: a task often takes a few hundred of these 184 MB as anomalies.
        records = [self._map(self.where / name) for name in self.files]
        self._batches = [each[:, self.label_bytes :].reshape(-1, 3, 32, 32) for each in records]
        self._labels = [each[:, self.label_bytes - 1] for each in records]

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images, the official training images first."""
        return Catalogue(n_images=sum(map(len, self._batches)))

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Pick and convert."""
        return pick(self._batches, indices, shape)

    def classes(self, indices: IntArray) -> IntArray | None:
        """Return the classes; of CIFAR-100 the fine ones."""
        return np.concatenate(self._labels).astype(np.int64)[indices]

    def _find(self, options: SourceOptions) -> Path:
        folders = [] if options.root is None else [options.root / self.folder, options.root]
        found = first_with(folders, self.files)
        if found is not None:
            return found
        if options.download:
            return download_into(options, self.title, self._fetch) / self.folder
        raise AutoADError(
            f"no {', '.join(self.files)} of {self.title}. Looked in: {places(folders)}. Give [[root=DIR]] with "
            f"{self.archive.rpartition('/')[2]} unpacked (binary version, www.cs.toronto.edu/~kriz/cifar.html; the "
            "Python version holds pickles and is not read), or [[download=True]] with [[root=DIR]]."
        )

    def _fetch(self, root: Path) -> None:
        # Here, as it takes two seconds.
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(self.archive, str(root), md5=self.archive_md5)

    @classmethod
    def _map(cls, path: Path) -> npt.NDArray[np.uint8]:
        n_bytes, record = path.stat().st_size, cls.label_bytes + _PIXELS
        if n_bytes == 0 or n_bytes % record:
            labels = "a label" if cls.label_bytes == 1 else f"{cls.label_bytes} labels"
            raise AutoADError(
                f"{path} has {n_bytes} bytes. Expected a multiple of {record}, {labels} and 3 x 32 x 32 pixels each. "
                "Fetch it again."
            )
        return np.memmap(path, np.uint8, mode="r", shape=(n_bytes // record, record))


class Cifar10(_Cifar):
    """CIFAR-10: 60,000 RGB images of ten kinds of objects, 32 x 32.

    Reads the binary version, not the Python version that torchvision reads: that one is made of pickles, which can
    run code. Looks below ``--root`` in ``cifar-10-batches-bin`` and in the folder itself.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    title = "CIFAR-10"
    folder = "cifar-10-batches-bin"
    files = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
    archive = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    archive_md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    label_bytes = 1


class Cifar100(_Cifar):
    """CIFAR-100: 60,000 RGB images of a hundred kinds of things, 32 x 32.

    As `Cifar10`, below ``--root`` in ``cifar-100-binary`` and in the folder itself.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    title = "CIFAR-100"
    folder = "cifar-100-binary"
    files = ("train.bin", "test.bin")
    archive = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    archive_md5 = "03b5dce01913d631647c71ecec9e9cb8"
    label_bytes = 2
