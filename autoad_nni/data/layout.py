"""The two layouts of a category, and folders whose names nearly fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autoad_nni.data.files import sub_folders, walk

__all__ = ["is_mvtec", "kinds_of_defects", "meant", "misnamed"]

_NAMES = {"good": "good", "groundtruth": "ground_truth", "train": "train", "test": "test"}


def is_mvtec(root: Path) -> bool:
    """Whether a category is in the layout of MVTec-AD, not in the plain one."""
    return (root / "train" / "good").is_dir()


def kinds_of_defects(tested: Path) -> list[Path]:
    """The folders of defects in ``test``, or in the category itself in the plain layout."""
    return [folder for folder in sub_folders(tested) if folder.name not in ("good", "ground_truth")]


def meant(folder: Path) -> str | None:
    """The name of the layouts that a folder's name is but for case, spaces, ``-`` and ``_``; None for another name."""
    return _NAMES.get(folder.name.lower().replace(" ", "").replace("-", "").replace("_", ""))


def misnamed(root: Path) -> Iterator[str]:
    """Gives a line for each folder that would be taken for something else than it is, most often for a defect.

    Every other folder beside ``good`` is a defect, ``Good`` or ``Ground Truth`` too. A search would learn to tell good
    images from good images, or from masks.

    Args:
        root: A category in one of the two layouts, or a folder that would be one but for its names.
    """
    kinds: list[Path] = []
    places: dict[Path, tuple[str, ...]]
    if is_mvtec(root):
        kinds = kinds_of_defects(root / "test")
        places = {root: ("ground_truth", "train", "test"), root / "test": ("good",)}
        for folder in sub_folders(root / "test"):
            if meant(folder) == "ground_truth":
                yield _misplaced(folder, root / "ground_truth")
    elif (root / "good").is_dir():
        kinds = kinds_of_defects(root)
        places = {root: ("good", "ground_truth")}
        for folder in sub_folders(root):
            if meant(folder) in ("train", "test"):
                yield (
                    f"{folder} is beside good. Expected one layout: good and folders of defects, or train/good, "
                    f"test/good and test/DEFECT. Move good into train, or rename {folder.name} if it is a defect."
                )
    else:
        places = {root: ("good", "ground_truth", "train", "test"), root / "train": ("good",)}
    for parent, names in places.items():
        for folder in sub_folders(parent):
            name = meant(folder)
            if name in names and name != folder.name:
                yield _misplaced(folder, parent / name)
    for kind in kinds:
        for folder, _ in walk(kind) if meant(kind) is None else ():
            if meant(folder) == "good":
                yield (
                    f"{folder} is below {kind}, a folder of defects. Expected no good images there. Move them to good, "
                    "or rename the folder."
                )


def _misplaced(folder: Path, right: Path) -> str:
    return f"{folder} seems to be meant for {right}. Expected that very path. Rename it, or move what is in it there."
