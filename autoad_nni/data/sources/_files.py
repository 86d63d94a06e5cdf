"""Sets that are distributed as folders of image files."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from PIL import ImageOps
from torch import Tensor

from autoad_nni.data.decode import UNREADABLE, read_images, unreadable
from autoad_nni.data.files import is_folder
from autoad_nni.data.image_file import decoding, open_image
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.sources._crop import cropped
from autoad_nni.data.sources._finding import places
from autoad_nni.data.split import generator
from autoad_nni.errors import AutoADError

__all__ = ["FilesSource"]


class FilesSource(ImageSource):
    """All images of an unpacked archive, resized, or a crop of each.

    Attributes:
        title: What the set is called, for messages.
        sub_folders: Where its files may be below the root, looked through in this order; "." for the root itself.
        shape: The image shape of the set.
        advice: What to get from where, for the message that nothing was found.
        crops: Whether an image is a crop of the wanted size at a random place (drawn by the seed), not the whole.
    """

    title: ClassVar[str]
    sub_folders: ClassVar[tuple[str, ...]]
    shape: ClassVar[ImageShape]
    advice: ClassVar[str]
    crops: ClassVar[bool] = False

    where: Path

    def __init__(self, options: SourceOptions) -> None:
        self._seed = options.seed
        self.image_shape = self.shape
        folders = [] if options.root is None else [options.root / sub for sub in self.sub_folders]
        found = ((folder, self.files_of(folder)) for folder in folders if is_folder(folder))
        self.where, self._files = next(((folder, files) for folder, files in found if files), (Path(), []))
        if not self._files:
            raise AutoADError(f"no images of {self.title}. Looked in: {places(folders)}. {self.advice}")

    @abstractmethod
    def files_of(self, folder: Path) -> list[Path]:
        """Return the images of the set in a folder, sorted; none if it is not the folder of the set."""

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images, each on its own."""
        return Catalogue(n_images=len(self._files))

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Decode and convert the files; whole images are taken from the cache if they are there."""
        if not self.crops:
            return read_images([self._files[index] for index in indices], shape)
        return torch.stack([self._crop(int(index), shape) for index in indices])

    def names(self, indices: IntArray) -> list[str]:
        """Return the paths of the files below the folder of the set."""
        return [self._files[index].relative_to(self.where).as_posix() for index in indices]

    def _crop(self, index: int, shape: ImageShape) -> Tensor:
        path = self._files[index]
        try:
            with open_image(path) as image, decoding(image):
                ImageOps.exif_transpose(image, in_place=True)
                return cropped(image, shape, generator(self._seed, type(self).__name__, index))
        except UNREADABLE as error:
            raise unreadable(path, error) from error
