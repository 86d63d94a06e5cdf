"""SVHN, from its original MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._download import download_into
from autoad_nni.data.sources._finding import first_with, places
from autoad_nni.data.sources._stored import pick
from autoad_nni.errors import AutoADError

__all__ = ["Svhn"]

FILES = ("train_32x32.mat", "test_32x32.mat")


class Svhn(ImageSource):
    """SVHN: 99,289 RGB images of house numbers' digits, 32 x 32.

    Looks below ``--root`` in ``svhn`` and the folder itself. The "extra" images are not read.

    Reference: Netzer, Wang, Coates, Bissacco, Wu and Ng, Reading digits in natural images with unsupervised feature
    learning, 2011.
    """

    def __init__(self, options: SourceOptions) -> None:
        self.image_shape = ImageShape(3, 32, 32)
        self.where = _find(options)
        self._parts, self._labels = zip(*(_read(self.where / name) for name in FILES), strict=True)

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images, the official training images first."""
        return Catalogue(n_images=sum(map(len, self._parts)))

    def classes(self, indices: IntArray) -> IntArray | None:
        """Return the digits; the files have 10 for 0."""
        return np.concatenate(self._labels)[indices] % 10

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Pick and convert."""
        return pick(self._parts, indices, shape)


def _find(options: SourceOptions) -> Path:
    folders = [] if options.root is None else [options.root / "svhn", options.root]
    found = first_with(folders, FILES)
    if found is not None:
        return found
    if options.download:
        return download_into(options, "SVHN", _fetch)
    raise AutoADError(
        f"no {' and '.join(FILES)} of SVHN. Looked in: {places(folders)}. Give [[root=DIR]] with the files of "
        "ufldl.stanford.edu/housenumbers (format 2), or [[download=True]] with [[root=DIR]]."
    )


def _fetch(root: Path) -> None:
    # Here, as it takes two seconds.
    import torchvision.datasets

    for split in ("train", "test"):
        torchvision.datasets.SVHN(root, split=split, download=True)


def _read(path: Path) -> tuple[npt.NDArray[np.uint8], IntArray]:
    from scipy.io import loadmat  # type: ignore[import-untyped]  # here, as it takes a tenth of a second

    try:
        content = loadmat(path, variable_names=["X", "y"])
        pixels, labels = content["X"], content["y"].astype(np.int64).reshape(-1)
    # The reader has no error of its own: a damaged file raises whatever its bytes lead to.
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise AutoADError(
            f"cannot read {path}: {reason}. Expected a MATLAB file with images in X and labels in y. Fetch it again."
        ) from error
    if pixels.shape != (32, 32, 3, len(labels)) or pixels.dtype != np.uint8:
        raise AutoADError(
            f"{path} has images of {pixels.shape} {pixels.dtype} and {len(labels)} labels. Expected (32, 32, 3, n) "
            "uint8 and n. Fetch it again."
        )
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels
