"""LSUN, from the database of its test images."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from autoad_nni.data.decode import UNREADABLE, resized, unreadable
from autoad_nni.data.image_file import decoding, open_image
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._crop import cropped
from autoad_nni.data.sources._finding import first_with, places
from autoad_nni.data.split import generator
from autoad_nni.errors import AutoADError

__all__ = ["Lsun", "LsunCrop"]

_FOLDERS = ("test_lmdb", ".")
_FILE = "data.mdb"


class Lsun(ImageSource):
    """LSUN: the 10,000 test images of ten kinds of scenes, RGB; 32 x 32 unless another size is asked for.

    Looks below ``--root`` in ``test_lmdb`` and the folder itself for ``data.mdb``, as it is distributed: a database of
    LMDB with an encoded image for each key. The extra ``lsun`` has what reads it.

    Reference: Yu, Seff, Zhang, Song, Funkhouser and Xiao, LSUN, arXiv:1506.03365. ODIN's authors took the test images.
    """

    crops: ClassVar[bool] = False

    where: Path

    def __init__(self, options: SourceOptions) -> None:
        if importlib.util.find_spec("lmdb") is None:
            raise AutoADError(
                "[[data=lsun]] needs the package lmdb, which is missing. Expected it, installed. Run: pip install "
                "'autoad-nni[lsun]'"
            )
        self._seed = options.seed
        self.image_shape = ImageShape(3, 32, 32)
        self.where = _find(options)
        with _Database(self.where) as database:
            self._keys = database.keys()
        if not self._keys:
            raise AutoADError(f"{self.where / _FILE} has no images. Expected those of LSUN. Fetch it again.")

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images, each on its own."""
        return Catalogue(n_images=len(self._keys))

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Decode the images, and resize or cut them."""
        out = torch.empty(len(indices), *shape)
        with _Database(self.where) as database:
            for row, index in zip(out, indices, strict=True):
                key = self._keys[index]
                try:
                    with open_image(database.get(key)) as image, decoding(image):
                        row.copy_(self._converted(image, int(index), shape))
                except UNREADABLE as error:
                    raise unreadable(self.where / _FILE / key.decode(errors="replace"), error) from error
        return out

    def names(self, indices: IntArray) -> list[str]:
        """Return the keys of the images."""
        return [self._keys[index].decode(errors="replace") for index in indices]

    def _converted(self, image: Image.Image, index: int, shape: ImageShape) -> Tensor:
        if self.crops:
            return cropped(image, shape, generator(self._seed, type(self).__name__, index))
        return resized(image, shape)


class LsunCrop(Lsun):
    """As `Lsun`, but a crop of each image at a random place."""

    crops = True


class _Database:
    """A database that is open while it is read: two of one file in a process would be an error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> _Database:
        import lmdb  # an extra

        self._error: type[Exception] = lmdb.Error
        try:
            # Without a lock: the file may lie where nothing can be written, and nobody writes to it.
            self._environment: Any = lmdb.open(str(self._folder), readonly=True, lock=False, readahead=False)
        except (lmdb.Error, OSError) as error:
            raise self._fault(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._environment.close()

    def keys(self) -> list[bytes]:
        """Return all keys, sorted."""
        try:
            with self._environment.begin() as transaction:
                return [bytes(key) for key in transaction.cursor().iternext(keys=True, values=False)]
        except self._error as error:
            raise self._fault(error) from None

    def get(self, key: bytes) -> bytes:
        """Return what is stored for a key."""
        try:
            with self._environment.begin() as transaction:
                return bytes(transaction.get(key))
        except self._error as error:
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> AutoADError:
        return AutoADError(f"cannot read {self._folder / _FILE}: {error}. Expected a database of LMDB. Fetch it again.")


def _find(options: SourceOptions) -> Path:
    folders = [] if options.root is None else [options.root / name for name in _FOLDERS]
    found = first_with(folders, (_FILE,))
    if found is not None:
        return found
    raise AutoADError(
        f"no {_FILE} of LSUN. Looked in: {places(folders)}. Give [[root=DIR]] with test_lmdb.zip unpacked "
        "(github.com/fyu/lsun)."
    )
