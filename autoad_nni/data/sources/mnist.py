"""MNIST, Fashion-MNIST and Kuzushiji-MNIST, from their original IDX files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._download import download_into
from autoad_nni.data.sources._finding import places
from autoad_nni.data.sources._idx import read_images, read_labels
from autoad_nni.data.sources._stored import pick
from autoad_nni.errors import AutoADError

__all__ = ["FashionMnist", "Kmnist", "Mnist"]

FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
LABELS = ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte")


class _IdxSource(ImageSource):
    """The official training and test images, one after the other, from IDX files with or without ``.gz``."""

    title: ClassVar[str]
    torchvision_name: ClassVar[str]
    sub_folders: ClassVar[tuple[str, ...]]
    system_folders: ClassVar[tuple[Path, ...]] = ()
    advice: ClassVar[str]

    where: Path

    def __init__(self, options: SourceOptions) -> None:
        folder, files = self._find(options)
        self.where = folder
        self._parts = [read_images(file)[:, None] for file in files]
        train, test = (part.shape[2:] for part in self._parts)
        if train != test:
            raise AutoADError(
                f"{folder} has {FILES[0]} of {train} and {FILES[1]} of {test} pixels. Expected one size. "
                "Fetch them again."
            )
        self.image_shape = ImageShape(1, *train)

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images, the official training images first."""
        return Catalogue(n_images=sum(map(len, self._parts)))

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Pick and convert."""
        return pick(self._parts, indices, shape)

    def classes(self, indices: IntArray) -> IntArray | None:
        """Return the official labels; None where their files do not lie beside those of the images."""
        files = [_either(self.where / name) for name in LABELS]
        if None in files:
            return None
        labels = [read_labels(file) for file in files if file is not None]
        if [len(each) for each in labels] != [len(each) for each in self._parts]:
            raise AutoADError(
                f"{self.where} has {' and '.join(str(len(each)) for each in labels)} labels of {self.title}. Expected "
                f"{' and '.join(str(len(each)) for each in self._parts)}, one for each image. Fetch them again."
            )
        return np.concatenate(labels).astype(np.int64)[indices]

    def _find(self, options: SourceOptions) -> tuple[Path, list[Path]]:
        in_root = [] if options.root is None else [options.root / sub for sub in self.sub_folders] + [options.root]
        folders = in_root + list(self.system_folders)
        found = _first_complete(folders)
        if found is None and options.download:
            root = download_into(options, self.title, self._fetch)
            found = _first_complete([root / self.torchvision_name / "raw"])
        if found is not None:
            return found
        missing = " and ".join(f"{name}[.gz]" for name in FILES)
        raise AutoADError(f"no {missing} of {self.title}. Looked in: {places(folders)}. {self.advice}")

    def _fetch(self, root: Path) -> None:
        # Here, as it takes two seconds.
        import torchvision.datasets

        getattr(torchvision.datasets, self.torchvision_name)(root, download=True)


def _first_complete(folders: list[Path]) -> tuple[Path, list[Path]] | None:
    for folder in folders:
        files = [file for name in FILES if (file := _either(folder / name)) is not None]
        if len(files) == len(FILES):
            return folder, files
    return None


def _either(path: Path) -> Path | None:
    """A file, or the same with ``.gz``."""
    return next((each for each in (path, path.with_name(path.name + ".gz")) if os.path.isfile(each)), None)


class FashionMnist(_IdxSource):
    """Fashion-MNIST: 70,000 grey images of clothes, 28 x 28.

    Looks below ``--root`` in ``FashionMNIST/raw`` (torchvision's folder), ``fashion-mnist`` and the folder itself, then
    in the folder of Debian's package dataset-fashion-mnist.

    Reference: Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv:1708.07747.
    """

    title = "Fashion-MNIST"
    torchvision_name = "FashionMNIST"
    sub_folders = ("FashionMNIST/raw", "fashion-mnist")
    system_folders = (Path("/usr/share/datasets/fashion-mnist"),)
    advice = (
        "Install Debian's package dataset-fashion-mnist, or give [[root=DIR]] with the files of "
        "github.com/zalandoresearch/fashion-mnist, or [[download=True]] with [[root=DIR]]."
    )


class Mnist(_IdxSource):
    """MNIST: 70,000 grey images of handwritten digits, 28 x 28.

    Looks below ``--root`` in ``MNIST/raw`` (torchvision's folder), ``mnist`` and the folder itself.

    Reference: LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998.
    """

    title = "MNIST"
    torchvision_name = "MNIST"
    sub_folders = ("MNIST/raw", "mnist")
    advice = "Give [[root=DIR]] with the files of yann.lecun.com/exdb/mnist, or [[download=True]] with [[root=DIR]]."


class Kmnist(_IdxSource):
    """Kuzushiji-MNIST: 70,000 grey images of cursive Japanese characters, 28 x 28.

    Looks below ``--root`` in ``KMNIST/raw`` (torchvision's folder), ``kmnist`` and the folder itself.

    Reference: Clanuwat et al., Deep learning for classical Japanese literature, arXiv:1812.01718.
    """

    title = "Kuzushiji-MNIST"
    torchvision_name = "KMNIST"
    sub_folders = ("KMNIST/raw", "kmnist")
    advice = "Give [[root=DIR]] with the files of github.com/rois-codh/kmnist, or [[download=True]] with [[root=DIR]]."
