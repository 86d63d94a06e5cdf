"""What can be wrong with one category of images."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from autoad_nni.data.check.category import Category
from autoad_nni.data.check.masks import mask_problems
from autoad_nni.data.check.reading import ImageFacts, read_all, read_image
from autoad_nni.data.files import EXTENSIONS, image_files, sub_folders
from autoad_nni.data.layout import meant, misnamed
from autoad_nni.data.options import MIN_NORMAL

__all__ = ["Findings", "examine"]


class Findings(NamedTuple):
    """What a user should know of a category.

    Args:
        problems: A line for each thing that is wrong.
        remarks: A line for each thing that is allowed, but may not be meant.
    """

    problems: list[str]
    remarks: list[str]


def examine(category: Category) -> Findings:
    """Decodes every image and mask of a category, and judges them."""
    images = read_all(read_image, [*category.good, *category.defective])
    named = misnamed(category.root)
    problems = [
        *named.values(),
        *_places(category, named),
        *_refused(category),
        *_numbers(category, named),
        *(image.fault for image in images.values() if image.fault),
        *_twins(category, images),
        *mask_problems(category, images),
    ]
    return Findings(problems, list(_remarks(category, [image for image in images.values() if not image.fault])))


def _places(category: Category, named: Container[Path]) -> Iterator[str]:
    """Images where no data set looks for them; not in folders that are named already."""
    root = category.root
    if category.is_mvtec:
        for folder in sub_folders(root / "train"):
            if folder.name != "good" and folder not in named:
                yield (
                    f"{folder} is beside train/good. Expected nothing but good below train. "
                    f"Move images with a defect to {root / 'test' / folder.name}, good ones to train/good."
                )
        for folder in sub_folders(root):
            known = folder.name in ("ground_truth", "test", "train") or folder in named
            if not known and image_files(folder):
                yield f"{folder} is beside train. Expected images below train and test only. Move them there or away."
    for folder in (root, root / "train", root / "test") if category.is_mvtec else (root,):
        for path in image_files(folder):
            if path.parent == folder:
                yield f"{path} is in no sub-folder. Expected it in good or in the folder of its defect. Move it there."


def _refused(category: Category) -> Iterator[str]:
    """Images of a kind that is not read."""
    for path in category.refused:
        yield (
            f"{path} is an image that is not read. Expected files that end in {', '.join(EXTENSIONS)}. Convert it, or "
            "move it away."
        )


def _numbers(category: Category, named: Iterable[Path]) -> Iterator[str]:
    """Folders without images, and fewer images than the data set takes."""
    root, n_defective = category.root, len(category.defective)
    n_good = len(category.good)
    train = root / "train" / "good" if category.is_mvtec else root / "good"
    folders = {train: category.train}
    if category.is_mvtec and (root / "test" / "good").is_dir():
        folders[root / "test" / "good"] = category.held_out
    folders |= {category.tested / kind: paths for kind, paths in category.defects.items()}
    elsewhere = {folder.parent / "good" for folder in named if meant(folder) == "good"}
    for folder, paths in folders.items():
        if not paths and folder not in elsewhere:
            advice = "Add images." if folder == train else "Add images or remove the folder."
            yield f"{folder} has no images. Expected 1 or more. {advice}"
    if len(category.held_out) == 1:
        yield f"{root / 'test' / 'good'} has 1 image. Expected 2 or more: one for validation, one for test. Add images."
    if 0 < n_good < MIN_NORMAL:
        yield f"{root} has {n_good} good images. Expected {MIN_NORMAL} or more. Add images."
    if n_defective == 1:
        yield f"{root} has 1 image with a defect. Expected 2 or more: one for validation, one for test. Add images."


def _twins(category: Category, images: dict[Path, ImageFacts]) -> Iterator[str]:
    """The same picture twice where one of the two must be wrong."""
    parts = {path: "train" for path in category.train}
    parts |= dict.fromkeys(category.held_out, "held out") | dict.fromkeys(category.defective, "defect")
    first: dict[bytes, Path] = {}
    for path, image in images.items():
        twin = first.setdefault(image.digest, path)
        if image.fault or twin is path:
            continue
        pair = (parts[twin], parts[path])
        if pair == ("train", "train") and category.held_out:
            continue  # both are trained on; that harms nobody
        if pair[0] != "defect" and pair[1] == "defect":
            yield f"{twin} is the same picture as {path}. Expected no defect among the good images. Remove one of them."
        else:
            yield (
                f"{path} is the same picture as {twin}. Expected each once, as the two may be in training, validation "
                "or test. Remove one of them."
            )


def _remarks(category: Category, images: list[ImageFacts]) -> Iterator[str]:
    sizes = sorted({(image.width * image.height, image.width, image.height) for image in images})
    if len(sizes) > 1:
        (_, *least), (_, *most) = sizes[0], sizes[-1]
        yield (
            f"{category.root}: sizes {least[0]} x {least[1]} to {most[0]} x {most[1]}, all resized to one, and "
            "stretched where proportions differ"
        )
    n_grey = sum(image.grey for image in images)
    if 0 < n_grey < len(images):
        yield f"{category.root}: {n_grey} of {len(images)} images are grey, read as RGB like the others"
    peaks = [image.peak for image in images if image.peak is not None]
    # Cameras of 10 to 14 bits leave the highest bits of 16 empty.
    if peaks and max(peaks) <= 1 / 4:
        yield (
            f"{category.root}: the highest value in images of 16 bits is {round(max(peaks) * 65535)} of 65535, so that "
            "they are read as dark"
        )
