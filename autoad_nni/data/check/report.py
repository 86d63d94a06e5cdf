"""Finds the folders in a layout, one or one for each category, and checks each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoad_nni.data.check.masks import mask_problems
from autoad_nni.data.check.pictures import picture_problems, remarks
from autoad_nni.data.check.reading import ImageFacts, read_all, read_image
from autoad_nni.data.files import image_files, is_folder, sub_folders
from autoad_nni.data.layout import layout_of
from autoad_nni.data.options import PLANTED, TaskOptions
from autoad_nni.data.plan import shortages
from autoad_nni.data.scan import FolderScan, scan_folder
from autoad_nni.errors import AutoADError

__all__ = ["LayoutReport", "check_layout"]


@dataclass(frozen=True)
class LayoutReport:
    """What a check found.

    Args:
        problems: One error for each: the file or folder, what was expected, what to do.
        n_categories: Folders in one of the two layouts.
        n_images: Images without masks.
        kinds: Names of the defects, sorted.
        n_masks: Masks.
        remarks: One line for each thing that is allowed but may not be meant, such as images of several sizes.
    """

    problems: tuple[AutoADError, ...]
    n_categories: int
    n_images: int
    kinds: tuple[str, ...]
    n_masks: int
    remarks: tuple[str, ...] = ()


def check_layout(path: Path) -> LayoutReport:
    """Check a folder of images in one of the two layouts, or a folder of such folders (categories).

    Every image and mask is decoded. Problems are

    - all that a search with ``--data folder`` refuses (:func:`~autoad_nni.data.scan.scan_folder`,
      :func:`~autoad_nni.data.plan.shortages`): names that nearly fit the layouts, folders without images, too few good
      images, fewer than two defects, unreadable files, data of 12 bits in files of 16;
    - images where no data set looks for them;
    - the same picture as good and as defect, in training and in test, or in two formats;
    - where there is ``ground_truth``: masks that are missing, empty, named otherwise, of another size than their image,
      without an image, of many values, or that mark the background.

    Args:
        path: The folder; for the layouts see :mod:`autoad_nni.data.layout`.

    Raises:
        AutoADError: ``path`` is not a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "train/good").mkdir(parents=True)
        ...     str(check_layout(Path(folder)).problems[0]).removeprefix(folder)
        '/train/good has no images. Expected files that end in .png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp. Add some.'
    """
    if not is_folder(path):
        raise AutoADError(f"{path} is not a folder. Expected a folder of images. Correct the path.")
    roots, unknown = [path], []
    if layout_of(path) is None:
        roots = [folder for folder in sub_folders(path) if layout_of(folder)]
        unknown = [folder for folder in sub_folders(path) if folder not in roots and image_files(folder)]
        if not roots:
            unknown = [path]
    problems = [fault for folder in unknown for fault in scan_folder(folder).faults]
    scans = [scan_folder(root) for root in roots]
    notes: list[str] = []
    for scan in scans:
        images = read_all(read_image, [*scan.good, *scan.defective])
        problems += _problems(scan, images)
        notes += remarks(scan.root, [image for image in images.values() if not image.fault])
        if scan.good and not scan.defective:
            notes.append(f"{scan.root} has no image with a defect: a search plants some, and its figures are of these.")
    return LayoutReport(
        problems=tuple(map(AutoADError, problems)),
        n_categories=len(scans),
        n_images=sum(len(scan.good) + len(scan.defective) for scan in scans),
        kinds=tuple(sorted({kind for scan in scans for kind, paths in scan.defects.items() if paths})),
        n_masks=sum(len(scan.masks) for scan in scans),
        remarks=tuple(notes),
    )


def _problems(scan: FolderScan, images: dict[Path, ImageFacts]) -> Iterator[str]:
    yield from scan.faults
    yield from scan.left_out
    if not scan.faults:  # else the numbers may be others once those are mended
        options = TaskOptions(data="folder", anomalies=None if scan.defective else PLANTED)
        yield from shortages(len(scan.good), len(scan.defective), options, str(scan.root))
    yield from picture_problems(scan, images)
    yield from mask_problems(scan, images)
