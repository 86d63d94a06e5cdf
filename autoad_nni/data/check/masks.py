"""What can be wrong with the masks of a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from autoad_nni.data.check.reading import ImageFacts, MaskFacts, read_all, read_mask_facts
from autoad_nni.data.files import is_folder, sub_folders
from autoad_nni.data.masks import MAX_VALUES, mask_path
from autoad_nni.data.scan import FolderScan

__all__ = ["mask_problems"]

# Above, a mask rather marks the background.
_MAX_MARKED = 0.9
# Above, it does if all masks mark that much and all corners.
_MAX_ALL_MARKED = 0.5


def mask_problems(scan: FolderScan, images: dict[Path, ImageFacts]) -> Iterator[str]:
    """Give a message for each problem; none without ``ground_truth``. Decodes every mask."""
    folder = scan.root / "ground_truth"
    if not is_folder(folder):
        return
    if not scan.masks:
        if scan.defective:
            yield f"{folder} has no masks. Expected one for each image with a defect. Add them, or remove the folder."
        return
    misspelt = _misspelt(scan)
    for wrong, right in misspelt.items():
        yield f"{wrong} seems to be meant for {right}. Expected the name of the folder of defects. Rename it."
    found = [mask for mask in scan.masks if folder / mask.relative_to(folder).parts[0] not in misspelt]
    expected: dict[Path, Path] = {}
    sharing: dict[Path, list[Path]] = defaultdict(list)
    for path in scan.defective:
        if expected.setdefault(mask_path(scan.root, path), path) is not path:
            sharing[path.parent].append(path)
    for parent, (path, *others) in sharing.items():
        place = mask_path(scan.root, path)
        yield (
            f"{path} and {expected[place]} share the mask {place}; {parent} has {len(others) + 1} such. Expected a "
            "mask for each. Rename one of the images."
        )
    good = {mask_path(scan.root, path): path for path in scan.good}
    without_image = set(found) - expected.keys() - good.keys()
    for place, path in expected.items():
        if place not in found and not set(misspelt.values()) & set(place.parents):
            other = _named_otherwise(place, path, without_image)
            if other is None:
                yield f"{path} has no mask. Expected {place}. Add it."
            else:
                without_image.remove(other)
                yield f"{other} is not named as the mask of {path}. Expected {place}. Save it as that."
    masks = read_all(read_mask_facts, found)
    yield from _all_inverted(folder, [mask for place, mask in masks.items() if place in expected])
    for place, mask in masks.items():
        if mask.fault:
            yield mask.fault
        elif place in without_image:
            yield (
                f"{place} has no image. Expected {folder / 'DEFECT'}/NAME_mask.png for an image "
                f"{scan.tested / 'DEFECT'}/NAME.png, .jpg, .... Rename, move or remove it."
            )
        elif place in good:
            if mask.marked:
                yield (
                    f"{place} marks a defect in a good image. Expected none. Remove it or move {good[place]} "
                    "to the images with a defect."
                )
        elif place in expected:
            yield from _contradictions(place, mask, expected[place], images[expected[place]])


def _misspelt(scan: FolderScan) -> dict[Path, Path]:
    """The folders of masks whose name is a kind of defect but for upper and lower case, each with the right one."""
    folder, kinds = scan.root / "ground_truth", scan.defects
    return {
        wrong: folder / kind
        for wrong in sub_folders(folder)
        for kind in kinds
        if wrong.name not in kinds and wrong.name.lower() == kind.lower() and not is_folder(folder / kind)
    }


def _named_otherwise(place: Path, image: Path, without_image: set[Path]) -> Path | None:
    """A mask in the right folder with the name of its image, but without ``_mask`` or with another ending."""
    found = [
        mask
        for mask in without_image
        if mask.parent == place.parent and mask.stem in (image.stem, f"{image.stem}_mask")
    ]
    return min(found, default=None)


def _all_inverted(folder: Path, masks: list[MaskFacts]) -> Iterator[str]:
    """Masks of which none marks too much by itself, but that cannot all be right."""
    all_do = all(mask.corners and mask.marked > _MAX_ALL_MARKED for mask in masks)
    if len(masks) > 1 and all_do and any(mask.marked <= _MAX_MARKED for mask in masks):
        yield (
            f"{folder}: each of the {len(masks)} masks marks the four corners and more than "
            f"{100 * _MAX_ALL_MARKED:.0f} % of its image. Expected 0 where there is no defect. Invert them if they "
            "mark the background."
        )


def _contradictions(place: Path, mask: MaskFacts, path: Path, image: ImageFacts) -> Iterator[str]:
    """What is wrong with a mask, given its image."""
    if not image.fault and (mask.height, mask.width) != (image.height, image.width):
        yield (
            f"{place} is {mask.width} x {mask.height}. Expected {image.width} x {image.height} as {path}. "
            "Make it again."
        )
    elif not mask.marked:
        yield f"{place} is empty. Expected pixels other than 0 where the defect is. Make it again."
    elif mask.n_values > MAX_VALUES:
        yield (
            f"{place} has {mask.n_values} different values. Expected at most {MAX_VALUES}: every pixel that is not 0 "
            "counts as defect, those that JPEG or soft edges leave too. Save it with 0 and 255 only, as PNG."
        )
    elif mask.marked == 1:
        yield (
            f"{place} has no pixel that is 0. Expected 0 as the background, and other values where the defect is; of a "
            "palette the colours count, not the numbers, and alpha does not. Save it with 0 and 255, as grey PNG."
        )
    elif mask.marked > _MAX_MARKED:
        yield (
            f"{place} marks {100 * mask.marked:.1f} % of the image. Expected at most {100 * _MAX_MARKED:.0f} %, and 0 "
            "where there is no defect. Invert it if it marks the background."
        )
