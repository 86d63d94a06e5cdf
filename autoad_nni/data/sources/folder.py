"""One's own images, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from autoad_nni.data.decode import image_shape_of_set, read_images, read_masks
from autoad_nni.data.files import EXTENSIONS, image_files, refused_files, sub_folders
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.layout import is_mvtec, kinds_of_defects, misnamed
from autoad_nni.data.masks import mask_path
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
    halved into validation and test, each type of defect as evenly as it goes. Without ``test/good``, ``train/good``
    is split 6:2:2 instead.

    Plain: ``good``, and optional sub-folders of any other name (``defect``, say) with defects. ``good`` is split
    6:2:2, the defects are halved. Names that are one of the layouts' but for their spelling (``Good``), names that
    mean the same (``ok``; ``masks`` with masks in it), or that mix the two (``train`` beside ``good``), are errors:
    they would be taken for defects. So are masks beside their images.

    The defects are all used, whatever the contamination: they are few. Without any, ``--abnormal`` must name a set;
    with some, it must not, as the many strangers would drown the few defects.

    Masks are in ``ground_truth/DEFECT/NAME_mask.png`` beside ``train`` and ``test`` (plain layout: beside ``good``):
    one for each image with a defect, or no such folder at all.

    Images are png, jpg, bmp, tif or webp, of any size and mode, also in sub-folders and links to folders; hidden files
    are left out; gif, heic, cameras' raw files and other known image formats are an error. Grey images of 16 bits are
    divided by 65535, float images must lie in [0, 1]; alpha is dropped; an EXIF orientation is applied.
    All are read as RGB if any of them, good or not, is stored in colour, and as grey if none is. Without
    ``--image-size`` all are resized to the size of the first good image by name, shrunk to fit into 224 x 224 in
    proportion.
    """

    can_be_abnormal: ClassVar[bool] = False

    where: Path

    def __init__(self, options: SourceOptions) -> None:
        if options.root is None:
            raise AutoADError("--data folder without --root. Expected the folder of your images. Give --root DIR.")
        self.where = options.root if options.category is None else options.root / options.category
        self._items = _list(self.where)
        self.image_shape = image_shape_of_set([item.path for item in self._items])

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """All images; those below ``test`` are held out when there is a ``test/good``."""
        held_out = np.array([item.held_out for item in self._items])
        normal = np.array([not item.defect for item in self._items])
        return Catalogue(
            n_images=len(self._items),
            held_out=held_out if (held_out & normal).any() else None,
            defects=tuple(item.defect for item in self._items),
        )

    def paths(self, indices: IntArray) -> list[Path]:
        """The files of the images."""
        return [self._items[index].path for index in indices]

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Decodes and converts the files, or takes them from the cache."""
        return read_images(self.paths(indices), shape)

    def masks(self, indices: IntArray, shape: ImageShape) -> Tensor | None:
        """Reads the masks; None when the folder has no ``ground_truth``."""
        if not (self.where / "ground_truth").is_dir():
            return None
        items = [self._items[index] for index in indices]
        paths = [mask_path(self.where, item.path) if item.defect else None for item in items]
        return read_masks(self.paths(indices), paths, shape)

    def names(self, indices: IntArray) -> list[str]:
        """The files' paths below the folder."""
        return [path.relative_to(self.where).as_posix() for path in self.paths(indices)]


def _list(root: Path) -> list[_Item]:
    if not root.is_dir():
        names = ", ".join(folder.name for folder in sub_folders(root.parent)[:8]) or "none"
        raise AutoADError(
            f"{root} is no folder. Expected a folder of images; those beside it: {names}. Correct --root or --category."
        )
    for fault in misnamed(root).values():
        raise AutoADError(fault)
    if is_mvtec(root):
        good, tested = root / "train" / "good", root / "test"
        items = [_Item(path, "", False) for path in _images(good)]
        if (tested / "good").is_dir():
            held_out = _images(tested / "good")
            if len(held_out) < 2:
                raise AutoADError(
                    f"{tested / 'good'} has 1 image. Expected 2 or more: one for validation, one for test. Add images, "
                    "or remove the folder to have train/good split 6:2:2."
                )
            items += [_Item(path, "", True) for path in held_out]
        return items + _defects(tested)
    if (root / "good").is_dir():
        return [_Item(path, "", False) for path in _images(root / "good")] + _defects(root)
    raise _no_layout(root)


def _defects(root: Path) -> list[_Item]:
    return [
        _Item(path, path.parent.relative_to(root).as_posix(), True)
        for folder in kinds_of_defects(root)
        for path in _images(folder)
    ]


def _images(folder: Path) -> list[Path]:
    others = refused_files(folder)
    if others:
        raise AutoADError(
            f"{others[0]} is an image that is not read; {folder} has {len(others)} such. Expected files that end in "
            f"{', '.join(EXTENSIONS)}. Convert them, or move them away."
        )
    found = image_files(folder)
    if not found:
        raise AutoADError(
            f"{folder} has no images. Expected files that end in {', '.join(EXTENSIONS)}. Add some or remove "
            "the folder."
        )
    return found


def _no_layout(root: Path) -> AutoADError:
    folders = sub_folders(root)
    names = ", ".join(folder.name for folder in folders[:8]) or "none"
    categories = [folder.name for folder in folders if any((folder / d).is_dir() for d in ("good", "train/good"))]
    advice = f"Give --category {categories[0]}." if categories else "Put the normal images into a sub-folder good."
    return AutoADError(
        f"{root} has neither good nor train/good; its sub-folders: {names}. Expected good/ and optional folders of "
        f"defects, or the MVTec layout. {advice}"
    )
