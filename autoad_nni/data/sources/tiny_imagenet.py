"""Tiny-ImageNet, from the folders of its archive."""

from __future__ import annotations

from pathlib import Path

from autoad_nni.data.files import image_files
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.sources._files import FilesSource

__all__ = ["TinyImageNet", "TinyImageNetCrop"]


class TinyImageNet(FilesSource):
    """Tiny-ImageNet: the 10,000 test images of 200 kinds of things, RGB, 64 x 64.

    Looks below ``--root`` in ``tiny-imagenet-200`` and the folder itself, in ``test/images``. The paper names the
    test images only, also as the normal set; the 100,000 training images are not read.

    Reference: Le and Yang, Tiny ImageNet visual recognition challenge, Stanford CS 231N, 2015.
    """

    title = "Tiny-ImageNet"
    sub_folders = ("tiny-imagenet-200", ".")
    shape = ImageShape(3, 64, 64)
    advice = (
        "Expected test/images. Give [[root=DIR]] with tiny-imagenet-200.zip unpacked (cs231n.stanford.edu/"
        "tiny-imagenet-200.zip)."
    )

    def files_of(self, folder: Path) -> list[Path]:
        """Return the test images."""
        return image_files(folder / "test" / "images")


class TinyImageNetCrop(TinyImageNet):
    """As `TinyImageNet`, but a crop of each image at a random place, where it is larger than what is wanted."""

    crops = True
