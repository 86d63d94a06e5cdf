"""The two layouts of a category, and folders whose names nearly fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autoad_nni.data.decode import UNREADABLE
from autoad_nni.data.files import EXTENSIONS, image_files, sub_folders, walk
from autoad_nni.data.masks import MAX_VALUES, mask_path, mask_pixels, n_values

__all__ = ["is_mvtec", "kinds_of_defects", "meant", "misnamed"]

_NAMES = {"good": "good", "groundtruth": "ground_truth", "train": "train", "test": "test"}
# No name that could be a kind of defect.
_NAMES |= dict.fromkeys(("ok", "normal", "nodefect", "nodefects", "defectfree"), "good")
# These could be one: a label stuck on askew, a faulty solder mask. What is in the folder decides.
_MASKS = ("annotation", "annotations", "gt", "label", "labels", "mask", "masks")


def is_mvtec(root: Path) -> bool:
    """Whether a category is in the layout of MVTec-AD, not in the plain one."""
    return (root / "train" / "good").is_dir()


def kinds_of_defects(tested: Path) -> list[Path]:
    """The folders of defects in ``test``, or in the category itself in the plain layout."""
    return [folder for folder in sub_folders(tested) if folder.name not in ("good", "ground_truth")]


def meant(folder: Path) -> str | None:
    """The name of the layouts that a folder seems to be meant for; None for another name.

    Case, spaces, ``-`` and ``_`` do not count; ``OK`` is ``good``; ``masks`` is ``ground_truth`` if there are masks in
    it.
    """
    if _spelled(folder) not in _MASKS:
        return _NAMES.get(_spelled(folder))
    images = image_files(folder)
    return "ground_truth" if images and all(_may_be_mask(path) for path in (images[0], images[-1])) else None


def misnamed(root: Path) -> dict[Path, str]:
    """Returns a line for each folder that would be taken for something else than it is, most often for a defect.

    Every other folder beside ``good`` is a defect, ``Good`` or ``Ground Truth`` too. A search would learn to tell good
    images from good images, or from masks. Masks among the images are taken for images, too.

    Args:
        root: A category in one of the two layouts, or a folder that would be one but for its names.
    """
    return dict(_misnamed(root))


def _misnamed(root: Path) -> Iterator[tuple[Path, str]]:
    kinds: list[Path] = []
    good: list[Path] = []
    places: dict[Path, tuple[str, ...]]
    if is_mvtec(root):
        kinds, good = kinds_of_defects(root / "test"), [root / "train" / "good", root / "test" / "good"]
        places = {root: ("ground_truth", "train", "test"), root / "test": ("good",)}
        for folder in sub_folders(root / "test"):
            if meant(folder) == "ground_truth":
                yield folder, _misplaced(folder, root / "ground_truth")
    elif (root / "good").is_dir():
        kinds, good = kinds_of_defects(root), [root / "good"]
        places = {root: ("good", "ground_truth")}
        for folder in sub_folders(root):
            if meant(folder) in ("train", "test"):
                yield (
                    folder,
                    f"{folder} is beside good. Expected one layout: good and folders of defects, or train/good, "
                    f"test/good and test/DEFECT. Move good into train, or rename {folder.name} if it is a defect.",
                )
    else:
        places = {root: ("good", "ground_truth", "train", "test"), root / "train": ("good",)}
    for parent, names in places.items():
        for folder in sub_folders(parent):
            name = meant(folder)
            # With a ground_truth beside train, nobody reads masks beside it.
            spare = name == "ground_truth" and is_mvtec(root) and (root / name).is_dir()
            if name in names and name != folder.name and not spare:
                yield folder, _misplaced(folder, parent / name)
    kinds = [kind for kind in kinds if meant(kind) is None]
    for kind in kinds:
        for folder, _ in walk(kind):
            # Not "normal", which may be a light or a speed there.
            if _spelled(folder) == "good":
                yield (
                    folder,
                    f"{folder} is below {kind}, a folder of defects. Expected no good images there. Move them to good, "
                    "or rename the folder.",
                )
    for top in (*good, *kinds):
        for folder, files in walk(top):
            masks = _beside_their_images(files)
            if folder != top and meant(folder) == "ground_truth" and image_files(folder):
                place = mask_path(root, folder).parent
                yield (
                    folder,
                    f"{folder} seems to hold masks, below the images of {top}. Expected them in {place}, as "
                    "NAME_mask.png. Move them there.",
                )
            elif masks and _may_be_mask(masks[0]) and _may_be_mask(masks[-1]):
                place = mask_path(root, masks[0]).parent
                yield (
                    folder,
                    f"{masks[0]} is a mask beside its image; {folder} has {len(masks)} such. Expected masks in "
                    f"{place}. Move them there.",
                )


def _spelled(folder: Path) -> str:
    return folder.name.lower().replace(" ", "").replace("-", "").replace("_", "")


def _may_be_mask(path: Path) -> bool:
    """Whether an image has few values, or hardly any between two, as a mask with soft edges or out of JPEG."""
    try:
        pixels = mask_pixels(path)
    except UNREADABLE:
        return False
    values = (pixels.max(axis=2) if pixels.ndim == 3 else pixels).astype(float)
    least, most = values.min(), values.max()
    between = np.minimum(values - least, most - values) > (most - least) / 16
    return n_values(pixels) <= MAX_VALUES or float(between.mean()) < 0.05


def _beside_their_images(files: list[Path]) -> list[Path]:
    """The files NAME_mask that have an image NAME beside them."""
    images = [path for path in files if path.name.lower().endswith(EXTENSIONS)]
    stems = {path.stem for path in images}
    return [path for path in images if path.stem.lower().endswith("_mask") and path.stem[: -len("_mask")] in stems]


def _misplaced(folder: Path, right: Path) -> str:
    return f"{folder} seems to be meant for {right}. Expected that very path. Rename it, or move what is in it there."
