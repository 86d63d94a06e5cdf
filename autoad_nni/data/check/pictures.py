"""What can be wrong with the pictures of a folder: unreadable, twice, of too few bits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from autoad_nni.data.check.reading import ImageFacts, read_all, read_thumbnail
from autoad_nni.data.depth import NEARLY_BLACK, bits_used, too_few_bits
from autoad_nni.data.scan import FolderScan

__all__ = ["picture_problems", "remarks"]

# Of 255, in a thumbnail of 8 x 8: JPEG of quality 30 or more changed it by 5.7 at most.
_MAX_CHANGE_BY_FORMAT = 6


def picture_problems(scan: FolderScan, images: dict[Path, ImageFacts]) -> Iterator[str]:
    """Give a message for each problem.

    Args:
        scan: The folder.
        images: What was read of all its images.
    """
    yield from (image.fault for image in images.values() if image.fault)
    readable = {path: image for path, image in images.items() if not image.fault}
    few_bits = too_few_bits(scan.root, [image.peak for image in readable.values() if image.peak is not None])
    if few_bits:
        yield few_bits
    in_two_formats = _in_two_formats(readable)
    for pairs in in_two_formats.values():
        kept, copy = pairs[0]
        yield (
            f"{kept} and {copy.name} are one picture in two formats; {kept.parent} has {len(pairs)} such pairs. "
            "Expected each once, as the two may be in training, validation or test. Remove one format."
        )
    copies = {copy for _, copy in chain.from_iterable(in_two_formats.values())}
    yield from _twins(scan, {path: image for path, image in readable.items() if path not in copies})


def _in_two_formats(images: Iterable[Path]) -> dict[Path, list[tuple[Path, Path]]]:
    """By folder, the pairs of files that have one name but for its ending and show the same."""
    named: dict[Path, list[Path]] = defaultdict(list)
    for path in images:
        named[path.with_suffix("")].append(path)
    suspects = [paths for paths in named.values() if len(paths) > 1]
    thumbnails = read_all(read_thumbnail, chain.from_iterable(suspects))
    pairs: dict[Path, list[tuple[Path, Path]]] = defaultdict(list)
    for kept, *others in suspects:
        for other in others:
            if (thumbnails[kept] - thumbnails[other]).abs().max() * 255 <= _MAX_CHANGE_BY_FORMAT:
                pairs[kept.parent].append((kept, other))
    return pairs


def _twins(scan: FolderScan, images: dict[Path, ImageFacts]) -> Iterator[str]:
    """The same picture twice where one of the two must be wrong."""
    parts = {path: "train" for path in scan.train}
    parts |= dict.fromkeys(scan.held_out, "held out") | dict.fromkeys(scan.defective, "defect")
    first: dict[bytes, Path] = {}
    for path, image in images.items():
        twin = first.setdefault(image.digest, path)
        if twin is path:
            continue
        pair = (parts[twin], parts[path])
        if pair == ("train", "train") and scan.held_out:
            continue  # both are trained on, which does no harm
        if pair[0] != "defect" and pair[1] == "defect":
            yield f"{twin} is the same picture as {path}. Expected no defect among the good images. Remove one of them."
        else:
            yield (
                f"{path} is the same picture as {twin}. Expected each once, as the two may be in training, validation "
                "or test. Remove one of them."
            )


def remarks(root: Path, images: Sequence[ImageFacts]) -> Iterator[str]:
    """Give a line for each thing that is allowed, but may not be meant.

    Args:
        root: The folder.
        images: What was read of its images, without those that cannot be read.
    """
    sizes = sorted({(image.width * image.height, image.width, image.height) for image in images})
    if len(sizes) > 1:
        (_, *least), (_, *most) = sizes[0], sizes[-1]
        yield (
            f"{root}: sizes {least[0]} x {least[1]} to {most[0]} x {most[1]}, all resized to one, and stretched where "
            "proportions differ"
        )
    n_grey = sum(image.grey for image in images)
    if 0 < n_grey < len(images):
        yield f"{root}: {n_grey} of {len(images)} images are grey, read as RGB like the others"
    highest = max((image.peak for image in images if image.peak is not None), default=0)
    bits = bits_used(highest)
    if highest > NEARLY_BLACK and bits < 16:
        yield (
            f"{root}: {bits}-bit data in files of 16 bits, no value is above {highest} of 65535, so the images are "
            f"dark; multiply them by {2 ** (16 - bits)} to use the whole range"
        )
