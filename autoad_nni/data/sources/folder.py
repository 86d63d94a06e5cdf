"""A folder of your own images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from autoad_nni.data.decode import image_shape_of_set, read_images, read_masks
from autoad_nni.data.depth import NEARLY_BLACK, peak_of_16_bits, too_few_bits
from autoad_nni.data.files import is_folder, sub_folders
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.masks import mask_path
from autoad_nni.data.scan import FolderScan, scan_folder
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.errors import AutoADError

__all__ = ["Folder"]


class _Item(NamedTuple):
    path: Path
    defect: str
    held_out: bool


class Folder(ImageSource):
    """A folder of images in one of two layouts; ``--category NAME`` takes the sub-folder NAME of ``--root``.

    MVTec-AD: ``train/good``, ``test/good``, ``test/DEFECT...``. Train is ``train/good``; the images below ``test`` are
    halved into validation and test, each kind of defect as evenly as possible. Without ``test/good``, ``train/good``
    is split 6:2:2 instead.

    Plain: ``good``, and optional sub-folders of any other name (``defect``, say) with defects. ``good`` is split
    6:2:2, the defects are halved. Some names are errors, because they would be taken for kinds of defects: misspelt
    ones (``Good``), other words for them (``ok``; ``masks`` with masks in it), names that begin with one of them
    (``good_old``, ``good (1)``), and a mix of the two layouts (``train`` beside ``good``). So are masks beside their
    images.

    All defects are used, whatever the contamination: they are few. Without any, ``--abnormal`` must name a set; with
    some, it must not, as many out-of-distribution images would drown the few defects.

    Masks are in ``ground_truth/DEFECT/NAME_mask.png`` beside ``train`` and ``test`` (plain layout: beside ``good``):
    one for each image with a defect, or no such folder at all.

    Images are png, jpg, bmp, tif or webp, of any mode, also in sub-folders and behind links, to folders elsewhere too.
    A link in good to a folder that good is in is an error, as is a file that is in two of the folders by a link. Hidden
    files are skipped; gif, heic, raw files of cameras and other known image formats are an error. Grey of 16 bits is
    divided by 65535; data of 12 bits or fewer in such files are an error, as they would be nearly black. Float images
    must lie in [0, 1]; alpha is dropped; an EXIF orientation is applied.
    All are read as RGB if any of them, good or not, is stored in colour, and as grey if none is. Without
    ``--image-size`` all are resized to the size of the first good image by name, shrunk to fit into 224 x 224 in
    proportion.
    """

    can_be_abnormal: ClassVar[bool] = False

    where: Path

    def __init__(self, options: SourceOptions) -> None:
        if options.root is None:
            raise AutoADError(
                "[[data=folder]] without [[root]]. Expected the folder of your images. Give [[root=DIR]]."
            )
        self.where = options.root if options.category is None else options.root / options.category
        self._items = _items(_scan(self.where))
        self.image_shape = image_shape_of_set([item.path for item in self._items])

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images; those below ``test`` are held out when there is a ``test/good``."""
        held_out = np.array([item.held_out for item in self._items])
        normal = np.array([not item.defect for item in self._items])
        return Catalogue(
            n_images=len(self._items),
            held_out=held_out if (held_out & normal).any() else None,
            defects=tuple(item.defect for item in self._items),
        )

    def paths(self, indices: IntArray) -> list[Path]:
        """Return the files of the images."""
        return [self._items[index].path for index in indices]

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Decode and convert the files, or take them from the cache."""
        images = read_images(self.paths(indices), shape)
        # Files are opened again only when an image is as dark as that, and once.
        if (images.flatten(1).amax(1) * 65535).round().le(NEARLY_BLACK).any() and self._too_few_bits:
            raise AutoADError(self._too_few_bits)
        return images

    def masks(self, indices: IntArray, shape: ImageShape) -> Tensor | None:
        """Read the masks; None when the folder has no ``ground_truth``."""
        if not is_folder(self.where / "ground_truth"):
            return None
        items = [self._items[index] for index in indices]
        paths = [mask_path(self.where, item.path) if item.defect else None for item in items]
        return read_masks(self.paths(indices), paths, shape)

    def names(self, indices: IntArray) -> list[str]:
        """Return the paths of the files below the folder."""
        return [path.relative_to(self.where).as_posix() for path in self.paths(indices)]

    @cached_property
    def _too_few_bits(self) -> str | None:
        peaks = (peak_of_16_bits(item.path) for item in self._items)
        return too_few_bits(self.where, (peak for peak in peaks if peak is not None))


def _scan(root: Path) -> FolderScan:
    if not is_folder(root):
        names = ", ".join(folder.name for folder in sub_folders(root.parent)[:8]) or "none"
        raise AutoADError(
            f"{root} is not a folder. Expected a folder of images; those beside it: {names}. Correct [[root]] or "
            "[[category]]."
        )
    scan = scan_folder(root)
    if scan.faults:
        hint = f" This is 1 of {len(scan.faults)} faults: 'autoad-nni data check' lists all."
        raise AutoADError(scan.faults[0] + (hint if len(scan.faults) > 1 else ""))
    return scan


def _items(scan: FolderScan) -> list[_Item]:
    return [
        *(_Item(path, "", False) for path in scan.train),
        *(_Item(path, "", True) for path in scan.held_out),
        *(_Item(path, path.parent.relative_to(scan.tested).as_posix(), True) for path in scan.defective),
    ]
