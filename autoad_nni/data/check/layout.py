"""Finds the categories in a folder and checks each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoad_nni.data.check.category import find_category, has_layout
from autoad_nni.data.check.findings import examine
from autoad_nni.data.files import image_files, sub_folders
from autoad_nni.data.layout import misnamed
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
        remarks: One line for each thing that is allowed but may not be meant, such as images of several sizes.
    """

    problems: tuple[str, ...]
    n_categories: int
    n_images: int
    kinds: tuple[str, ...]
    n_masks: int
    remarks: tuple[str, ...] = ()


def check_layout(path: Path) -> LayoutReport:
    """Checks a category in the MVTec-AD or the plain layout, or a folder of such categories.

    Every image and mask is decoded. Found are: unreadable files, and images of a kind that is not read; too few images,
    or none; images where no data set looks for them; folders whose names are nearly those of the layouts, and masks
    among the images; the same picture as good and as defect, or in training and in test; and where there is
    ``ground_truth``, masks that are missing, empty, named otherwise, of another size than their image, without an
    image, of many values, or that mark the background.

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
    roots, strangers = [path], []
    if not has_layout(path):
        roots = [folder for folder in sub_folders(path) if has_layout(folder)]
        strangers = [folder for folder in sub_folders(path) if folder not in roots and image_files(folder)]
        if not roots:
            strangers = [path]
    problems = []
    for folder in strangers:
        problems += list(misnamed(folder).values()) or [
            f"{folder} has neither good nor train/good. Expected good/ and folders of defects, or the MVTec layout. "
            "Rename its folders."
        ]
    categories = [find_category(root) for root in roots]
    findings = [examine(category) for category in categories]
    return LayoutReport(
        problems=(*problems, *(line for found in findings for line in found.problems)),
        n_categories=len(categories),
        n_images=sum(len(c.good) + len(c.defective) for c in categories),
        kinds=tuple(sorted({kind for c in categories for kind, paths in c.defects.items() if paths})),
        n_masks=sum(len(category.masks) for category in categories),
        remarks=tuple(line for found in findings for line in found.remarks),
    )
