"""Finds the categories in a folder and checks each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoad_nni.data.check.findings import Category, find_problems
from autoad_nni.data.files import image_files, sub_folders
from autoad_nni.errors import AutoADError

__all__ = ["LayoutReport", "check_layout"]


@dataclass(frozen=True)
class LayoutReport:
    """What a check found.

    Args:
        problems: One line for each: the file or folder, what was expected, what to do.
        n_categories: Folders in one of the two layouts.
        n_images: Images without masks.
        kinds: Names of the defects, sorted.
        n_masks: Masks.
    """

    problems: tuple[str, ...]
    n_categories: int
    n_images: int
    kinds: tuple[str, ...]
    n_masks: int


def check_layout(path: Path) -> LayoutReport:
    """Checks a category in the MVTec-AD or the plain layout, or a folder of such categories.

    Every image and mask is decoded. Found are: unreadable files; too few images, or none; images where no data set
    looks for them; the same picture as good and as defect, or in training and in test; and where there is
    ``ground_truth``, masks that are missing, empty, of another size than their image, or without an image.

    Args:
        path: The folder; see :class:`~autoad_nni.data.sources.folder.Folder` for the layouts.

    Raises:
        AutoADError: ``path`` is no folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "train/good").mkdir(parents=True)
        ...     check_layout(Path(folder)).problems[0].removeprefix(folder)
        '/train/good has no images. Expected 1 or more. Add images.'
    """
    if not path.is_dir():
        raise AutoADError(f"{path} is no folder. Expected a folder of images. Correct the path.")
    problems: list[str] = []
    if _has_layout(path):
        roots = [path]
    else:
        roots = [folder for folder in sub_folders(path) if _has_layout(folder)]
        strangers = [folder for folder in sub_folders(path) if folder not in roots and image_files(folder)]
        if not roots:
            strangers = [path]
        problems += [
            f"{folder} has neither good nor train/good. Expected good/ and folders of defects, or the MVTec layout. "
            "Rename its folders."
            for folder in strangers
        ]
    categories = [_category(root) for root in roots]
    for category in categories:
        problems += find_problems(category)
    return LayoutReport(
        problems=tuple(problems),
        n_categories=len(categories),
        n_images=sum(len(c.train) + len(c.held_out) + len(c.defective) for c in categories),
        kinds=tuple(sorted({kind for c in categories for kind, paths in c.defects.items() if paths})),
        n_masks=sum(len(category.masks) for category in categories),
    )


def _is_mvtec(root: Path) -> bool:
    return (root / "train" / "good").is_dir() or ((root / "train").is_dir() and (root / "test").is_dir())


def _has_layout(root: Path) -> bool:
    return _is_mvtec(root) or (root / "good").is_dir()


def _category(root: Path) -> Category:
    is_mvtec = _is_mvtec(root)
    tested = root / "test" if is_mvtec else root
    kinds = [folder for folder in sub_folders(tested) if folder.name not in ("good", "ground_truth")]
    return Category(
        root=root,
        is_mvtec=is_mvtec,
        train=image_files(root / "train" / "good" if is_mvtec else root / "good"),
        held_out=image_files(root / "test" / "good") if is_mvtec else [],
        defects={folder.name: image_files(folder) for folder in kinds},
        masks=image_files(root / "ground_truth") if is_mvtec else [],
    )
