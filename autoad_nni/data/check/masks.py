"""What can be wrong with the masks of a category."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autoad_nni.data.check.category import Category
from autoad_nni.data.check.reading import ImageFacts, MaskFacts, read_all, read_mask_facts
from autoad_nni.data.masks import mask_path

__all__ = ["mask_problems"]

# Above these a mask is rather a photograph or blurred, or marks the background. MVTec-AD's masks have two values.
_MAX_VALUES = 8
_MAX_MARKED = 0.9


def mask_problems(category: Category, images: dict[Path, ImageFacts]) -> Iterator[str]:
    """Gives a line for each problem; decodes every mask. Nothing, when there is no ``ground_truth``."""
    folder = category.root / "ground_truth"
    if not folder.is_dir():
        return
    if not category.masks:
        if category.defective:
            yield f"{folder} has no masks. Expected one for each image with a defect. Add them, or remove the folder."
        return
    expected: dict[Path, Path] = {}
    for path in category.defective:
        place = mask_path(category.root, path)
        first = expected.setdefault(place, path)
        if first is not path:
            yield f"{path} and {first} share the mask {place}. Expected one for each. Rename one of the images."
    good = {mask_path(category.root, path): path for path in category.good}
    strangers = set(category.masks) - expected.keys() - good.keys()
    for place, path in expected.items():
        if place not in category.masks:
            other = _named_otherwise(place, path, strangers)
            if other is None:
                yield f"{path} has no mask. Expected {place}. Add it."
            else:
                strangers.remove(other)
                yield f"{other} is not named as the mask of {path}. Expected {place}. Save it as that."
    for place, mask in read_all(read_mask_facts, category.masks).items():
        if mask.fault:
            yield mask.fault
        elif place in strangers:
            yield (
                f"{place} has no image. Expected {folder / 'DEFECT'}/NAME_mask.png for an image "
                f"{category.tested / 'DEFECT'}/NAME.png, .jpg, .... Rename, move or remove it."
            )
        elif place in good:
            if mask.marked:
                yield (
                    f"{place} marks a defect in a good image. Expected none. Remove it or move {good[place]} "
                    "to the images with a defect."
                )
        elif place in expected:
            yield from _contradictions(place, mask, expected[place], images[expected[place]])


def _named_otherwise(place: Path, image: Path, strangers: set[Path]) -> Path | None:
    """A mask in the right folder that has its image's name, but lacks ``_mask`` or ends otherwise."""
    found = [
        mask for mask in strangers if mask.parent == place.parent and mask.stem in (image.stem, f"{image.stem}_mask")
    ]
    return min(found, default=None)


def _contradictions(place: Path, mask: MaskFacts, path: Path, image: ImageFacts) -> Iterator[str]:
    """What a mask says that cannot be of the image that it belongs to."""
    if not image.fault and (mask.height, mask.width) != (image.height, image.width):
        yield (
            f"{place} is {mask.width} x {mask.height}. Expected {image.width} x {image.height} as {path}. "
            "Make it again."
        )
    elif not mask.marked:
        yield f"{place} is empty. Expected pixels other than 0 where the defect is. Make it again."
    elif mask.n_values > _MAX_VALUES:
        yield (
            f"{place} has {mask.n_values} different values. Expected at most {_MAX_VALUES}: every pixel that is not 0 "
            "counts as defect, those that JPEG or soft edges leave too. Save it with 0 and 255 only, as PNG."
        )
    elif mask.marked > _MAX_MARKED:
        yield (
            f"{place} marks {100 * mask.marked:.1f} % of the image. Expected at most {100 * _MAX_MARKED:.0f} %, and 0 "
            "where there is no defect. Invert it if it marks the background."
        )
