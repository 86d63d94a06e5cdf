"""One scan of a folder of images: every file by what it is, and all that is wrong with names and places.

The data set ``folder`` reads what a scan finds and refuses a folder for its first fault; ``data check`` lists them all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autoad_nni.data.files import (
    EXTENSIONS,
    files_in,
    image_files,
    is_folder,
    is_read,
    is_refused,
    refused_files,
    sub_folders,
)
from autoad_nni.data.layout import (
    Layout,
    good_folders,
    kinds_of_defects,
    layout_of,
    naming_faults,
    tested_folder,
)

__all__ = ["FolderScan", "scan_folder"]


@dataclass(frozen=True, kw_only=True)
class FolderScan:
    """What is in a folder of images, found by listing it.

    Args:
        root: The folder.
        layout: Its layout, see :mod:`autoad_nni.data.layout`; None when it is in neither.
        faults: A message for each reason to refuse the folder, those about names first.
        left_out: A message for each image or folder of images that no data set reads, because of its place.
        train: Good images of ``train/good``; of ``good`` in the plain layout.
        held_out: Good images of ``test/good``; none in the plain layout.
        defects: Images with a defect, by the name of the folder of their kind.
        masks: What is in ``ground_truth``.
    """

    root: Path
    layout: Layout | None
    faults: list[str]
    left_out: list[str] = field(default_factory=list)
    train: list[Path] = field(default_factory=list)
    held_out: list[Path] = field(default_factory=list)
    defects: dict[str, list[Path]] = field(default_factory=dict)
    masks: list[Path] = field(default_factory=list)

    @property
    def tested(self) -> Path:
        """The folder that the folders of defects are in."""
        return tested_folder(self.root, self.layout or "plain")

    @property
    def good(self) -> list[Path]:
        """All images without a defect."""
        return [*self.train, *self.held_out]

    @property
    def defective(self) -> list[Path]:
        """All images with a defect."""
        return [path for paths in self.defects.values() for path in paths]


def scan_folder(root: Path) -> FolderScan:
    """List the images and masks of a folder, and what is wrong with it.

    Nothing is decoded but the first and the last image of a folder whose name says that it may hold masks.

    Args:
        root: A folder in one of the two layouts of :mod:`autoad_nni.data.layout`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "good").mkdir()
        ...     scan_folder(Path(folder)).faults[0].removeprefix(folder).partition(".")[0]
        '/good has no images'
    """
    layout = layout_of(root)
    named = list(naming_faults(root))
    misplaced = {path for fault in named for path in fault.paths}
    faults = [fault.message for fault in named]
    if layout is None:
        return FolderScan(root=root, layout=None, faults=faults or [_no_layout(root)])
    first, *others = good_folders(root, layout)
    kinds = [folder for folder in kinds_of_defects(root, layout) if folder not in misplaced]
    images = {folder: _images(folder, misplaced) for folder in (first, *others, *kinds)}
    masks = image_files(root / "ground_truth")
    faults += _in_two_folders([*images.values(), masks])
    faults += [_refused(path) for folder in images for path in refused_files(folder)]
    if not named:  # else images may be missing here for the very reason that they are in a folder of another name
        faults += _empty(images, first, kinds)
    return FolderScan(
        root=root,
        layout=layout,
        faults=faults,
        left_out=list(_left_out(root, layout, misplaced)),
        train=images[first],
        held_out=[path for folder in others for path in images[folder]],
        defects={folder.name: images[folder] for folder in kinds},
        masks=masks,
    )


def _images(folder: Path, misplaced: set[Path]) -> list[Path]:
    return [path for path in image_files(folder) if misplaced.isdisjoint((path, *path.parents))]


def _in_two_folders(folders: list[list[Path]]) -> Iterator[str]:
    """A file that is in two of the folders by a link, and would be good and defective, or in training and in test."""
    first: dict[tuple[int, int], tuple[int, Path]] = {}
    for number, paths in enumerate(folders):
        for path in paths:
            with contextlib.suppress(OSError):  # it cannot be read either, which is found then
                status = os.stat(path)
                other, twin = first.setdefault((status.st_dev, status.st_ino), (number, path))
                if other != number:
                    yield (
                        f"{path} is the file {twin} too, by a link. Expected each file in one folder only. Remove one "
                        "of the two, or the link to the folder that it is in."
                    )


def _no_layout(root: Path) -> str:
    folders = sub_folders(root)
    names = ", ".join(folder.name for folder in folders[:8]) or "none"
    categories = [folder.name for folder in folders if layout_of(folder)]
    advice = (
        f"Give [[category={categories[0]}]], or {root / categories[0]} itself."
        if categories
        else "Put the good images into a sub-folder good."
    )
    return (
        f"{root} has neither good nor train/good; its sub-folders: {names}. Expected good/ and optional folders of "
        f"defects, or the MVTec layout. {advice}"
    )


def _refused(path: Path) -> str:
    return (
        f"{path} is an image that is not read. Expected files that end in {', '.join(EXTENSIONS)}. Convert it, or move "
        "it away."
    )


def _empty(images: dict[Path, list[Path]], first: Path, kinds: list[Path]) -> Iterator[str]:
    for folder, paths in images.items():
        if not paths and (folder == first or is_folder(folder)):
            advice = "Add some." if folder == first else "Add some or remove the folder."
            yield f"{folder} has no images. Expected files that end in {', '.join(EXTENSIONS)}. {advice}"
        if len(paths) == 1 and folder != first and folder not in kinds:
            yield (
                f"{folder} has 1 image. Expected 2 or more: one for validation, one for test. Add images, or remove "
                f"the folder to have {first.parent.name}/{first.name} split 6:2:2."
            )


def _left_out(root: Path, layout: Layout, misplaced: set[Path]) -> Iterator[str]:
    above = [root]
    if layout == "mvtec":
        above += [root / "train", root / "test"]
        for folder in sub_folders(root / "train"):
            if folder.name != "good" and folder not in misplaced:
                yield (
                    f"{folder} is beside train/good. Expected nothing but good below train. Move images with a defect "
                    f"to {root / 'test' / folder.name}, good ones to train/good."
                )
        for folder in sub_folders(root):
            known = folder.name in ("ground_truth", "test", "train") or folder in misplaced
            if not known and image_files(folder):
                yield f"{folder} is beside train. Expected images below train and test only. Move them there or away."
    for folder in above:
        for path in files_in(folder):
            if is_read(path):
                yield f"{path} is in no sub-folder. Expected it in good or in the folder of its defect. Move it there."
            elif is_refused(path):
                yield _refused(path)
    yield from map(_refused, refused_files(root / "ground_truth"))
