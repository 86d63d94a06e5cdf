"""The two layouts of a folder of images: what its sub-folders mean by their names, and names that nearly fit.

MVTec-AD::

    train/good/            good images, to train on
    test/good/             good images, to validate and test with; without it, some of train/good
    test/DEFECT/           images with a defect, a folder for each kind
    ground_truth/DEFECT/   masks, DEFECT/NAME_mask.png for DEFECT/NAME.EXT; optional

Plain::

    good/                  good images
    DEFECT/                images with a defect, a folder for each kind
    ground_truth/DEFECT/   masks; optional

A folder in the place of DEFECT is a kind of defect, whatever its name. So a name is a fault that is one of the above
but for its spelling (``Good``, ``Ground Truth``), means the same (``ok``, ``normal``; ``masks`` with masks in it) or
begins like it (``good_old``, ``good (1)``, ``ok2``): a search would learn to tell good images from good images, or from
masks. So are the two layouts at once, and masks among the images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from autoad_nni.data.decode import UNREADABLE
from autoad_nni.data.files import image_files, is_folder, is_read, sub_folders, walk
from autoad_nni.data.masks import MAX_VALUES, mask_path, mask_pixels, n_values

__all__ = ["Layout", "NamingFault", "good_folders", "kinds_of_defects", "layout_of", "naming_faults", "tested_folder"]

Layout = Literal["mvtec", "plain"]

_NAMES = {"good": "good", "groundtruth": "ground_truth", "train": "train", "test": "test"}
# No name that could be a kind of defect.
_NAMES |= dict.fromkeys(("ok", "normal", "nodefect", "nodefects", "defectfree"), "good")
# These could be one: a label stuck on askew, a faulty solder mask. What is in the folder decides.
_MASKS = ("annotation", "annotations", "gt", "label", "labels", "mask", "masks")
# good_old, good-backup, good2, "good (1)", ground_truth_2, but not goods.
_BEGINS_LIKE = {
    "good": re.compile(r"(good|ok|normal|no[ _-]?defects?|defect[ _-]?free)[\W\d_]", re.IGNORECASE),
    "ground_truth": re.compile(r"ground[ _-]?truth[\W\d_]", re.IGNORECASE),
}


class NamingFault(NamedTuple):
    """Folders or files that would be taken for something else than they are.

    Args:
        paths: The folder, or the files.
        message: What they are, what was expected, what to do.
    """

    paths: tuple[Path, ...]
    message: str


def layout_of(root: Path) -> Layout | None:
    """Return the layout of a folder; None for a folder in neither.

    With ``train`` and ``test``, but no ``good`` anywhere, it is MVTec-AD's: then that is what is missing.
    """
    if is_folder(root / "train" / "good"):
        return "mvtec"
    if is_folder(root / "good"):
        return "plain"
    return "mvtec" if is_folder(root / "train") and is_folder(root / "test") else None


def tested_folder(root: Path, layout: Layout) -> Path:
    """Return the folder that the folders of defects are in."""
    return root / "test" if layout == "mvtec" else root


def good_folders(root: Path, layout: Layout) -> list[Path]:
    """Return the folders of good images that must or may be there, the one to train on first."""
    return [root / "train" / "good", root / "test" / "good"] if layout == "mvtec" else [root / "good"]


def kinds_of_defects(root: Path, layout: Layout) -> list[Path]:
    """Return the folders of defects, by their names alone."""
    return [
        folder for folder in sub_folders(tested_folder(root, layout)) if folder.name not in ("good", "ground_truth")
    ]


def naming_faults(root: Path) -> Iterator[NamingFault]:
    """Give the folders and files that would be taken for something else than they are, most often for a defect.

    Args:
        root: A folder in one of the two layouts, or one that would be but for its names.
    """
    layout = layout_of(root)
    yield from _misspelt(root, layout)
    if layout is None:
        return
    kinds = [kind for kind in kinds_of_defects(root, layout) if _meaning(kind) is None]
    if layout == "plain":
        yield from _other_layout(root)
    for kind in kinds:
        yield from _begins_like(kind)
        yield from _good_below(kind)
    for top in (*good_folders(root, layout), *kinds):
        yield from _masks_among_images(root, top)


def _misspelt(root: Path, layout: Layout | None) -> Iterator[NamingFault]:
    mvtec = {name: root / name for name in ("ground_truth", "train", "test")}
    plain = {name: root / name for name in ("good", "ground_truth")}
    in_train = {"good": root / "train" / "good"}
    in_test = {"good": root / "test" / "good", "ground_truth": root / "ground_truth"}
    places: dict[Path, dict[str, Path]] = {
        "mvtec": {root: mvtec, root / "train": in_train, root / "test": in_test},
        "plain": {root: plain},
        None: {root: mvtec | plain, root / "train": in_train},
    }[layout]
    for parent, names in places.items():
        for folder in sub_folders(parent):
            right = names.get(_meaning(folder) or "", folder)
            # When there is a ground_truth, masks beside it are not read.
            spare = layout == "mvtec" and right == root / "ground_truth" and parent == root and is_folder(right)
            if folder != right and not spare:
                yield NamingFault(
                    (folder,),
                    f"{folder} seems to be meant for {right}. Expected that name. Rename it, or move what is in it "
                    "there.",
                )


def _other_layout(root: Path) -> Iterator[NamingFault]:
    for folder in sub_folders(root):
        if _meaning(folder) in ("train", "test"):
            yield NamingFault(
                (folder,),
                f"{folder} is beside good. Expected one layout: good and folders of defects, or train/good, test/good "
                f"and test/DEFECT. Move good into train, or rename {folder.name} if it is a defect.",
            )


def _begins_like(kind: Path) -> Iterator[NamingFault]:
    for name, beginning in _BEGINS_LIKE.items():
        if beginning.match(kind.name):
            yield NamingFault(
                (kind,),
                f"{kind} would be a kind of defect, but is named like {name}. Expected {name} alone. Move what is in "
                f"it to {name}, move it out of {kind.parent}, or rename it if it is a kind of defect.",
            )


def _good_below(kind: Path) -> Iterator[NamingFault]:
    for folder, _ in walk(kind):
        # Not "normal", which may be a light or a speed there.
        if _spelled(folder) == "good":
            yield NamingFault(
                (folder,),
                f"{folder} is below {kind}, a folder of defects. Expected no good images there. Move them to good, or "
                "rename the folder.",
            )


def _masks_among_images(root: Path, top: Path) -> Iterator[NamingFault]:
    for folder, files in walk(top):
        masks = _beside_their_images(files)
        if folder != top and _meaning(folder) == "ground_truth" and image_files(folder):
            yield NamingFault(
                (folder,),
                f"{folder} seems to hold masks, below the images of {top}. Expected them in "
                f"{mask_path(root, folder).parent}, as NAME_mask.png. Move them there.",
            )
        elif masks and _may_be_mask(masks[0]) and _may_be_mask(masks[-1]):
            yield NamingFault(
                tuple(masks),
                f"{masks[0]} is a mask beside its image; {folder} has {len(masks)} such. Expected masks in "
                f"{mask_path(root, masks[0]).parent}. Move them there.",
            )


def _meaning(folder: Path) -> str | None:
    """The name of the layouts that a folder seems to be meant for; None for another name.

    Case, spaces, ``-`` and ``_`` do not count; ``OK`` is ``good``; ``masks`` is ``ground_truth`` if there are masks in
    it.
    """
    if _spelled(folder) not in _MASKS:
        return _NAMES.get(_spelled(folder))
    images = image_files(folder)
    return "ground_truth" if images and all(_may_be_mask(path) for path in (images[0], images[-1])) else None


def _spelled(folder: Path) -> str:
    return folder.name.lower().replace(" ", "").replace("-", "").replace("_", "")


def _may_be_mask(path: Path) -> bool:
    """Whether an image has few values, or hardly any between two, as a mask with soft edges or out of JPEG."""
    try:
        whole = mask_pixels(path)
    except UNREADABLE:
        return False
    step = 1 + whole.size // 2**22  # a part of a very large one will do
    pixels = whole[::step, ::step]
    values = (pixels.max(axis=2) if pixels.ndim == 3 else pixels).astype(float)
    least, most = values.min(), values.max()
    between = np.minimum(values - least, most - values) > (most - least) / 16
    return n_values([pixels]) <= MAX_VALUES or float(between.mean()) < 0.05


def _beside_their_images(files: list[Path]) -> list[Path]:
    """The files NAME_mask that have an image NAME beside them."""
    images = [path for path in files if is_read(path)]
    stems = {path.stem for path in images}
    return [path for path in images if path.stem.lower().endswith("_mask") and path.stem[: -len("_mask")] in stems]
