"""Which image goes where: decided from the lists of the sets, before any image is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autoad_nni.data.files import is_folder
from autoad_nni.data.image_shape import MAX_SIDE, MIN_SIDE, ImageShape
from autoad_nni.data.options import MIN_NORMAL, PLANTED, TaskOptions
from autoad_nni.data.planting.settings import COPIES, LEAST_GOOD, LEAST_PLANTED, MOST, SHARE
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.data.split import (
    contaminate,
    cut,
    follow_groups,
    generator,
    halve_defects,
    limited,
    shares,
    split_normal,
)
from autoad_nni.errors import AutoADError
from autoad_nni.registry import DATASETS

if TYPE_CHECKING:
    from autoad_nni.data.planting.source import PlantedDefects

__all__ = ["HeldOut", "Plan", "plan_task", "shortages"]


@dataclass(frozen=True)
class HeldOut:
    """Indices into the normal source, and into each abnormal one."""

    normal: IntArray
    abnormal: tuple[IntArray, ...]


@dataclass(frozen=True)
class Plan:
    """Which image goes where, decided before any is read.

    Args:
        image_shape: The shape of all images.
        normal: The normal source.
        abnormal: The abnormal sources; the normal one itself when the anomalies are its own defects, and its images
            with planted ones when they are planted.
        train: Indices into the normal source.
        validation: What the search is rewarded by.
        test: What is read once, for the model that is kept.
    """

    image_shape: ImageShape
    normal: ImageSource
    abnormal: tuple[ImageSource, ...]
    train: IntArray
    validation: HeldOut
    test: HeldOut


def plan_task(options: TaskOptions) -> Plan:
    """Decide which image goes where; draws for the normal set do not depend on the abnormal ones.

    Raises:
        AutoADError: An unknown set, missing files, too few images, or one class only.
    """
    normal = _source(options.data, options)
    shape = _image_shape(normal, options)
    catalogue = normal.catalogue(shape)
    defects = np.array(catalogue.defects or ("",) * catalogue.n_images)
    for shortage in shortages(int((defects == "").sum()), int((defects != "").sum()), options):
        raise AutoADError(shortage)
    train, validation, test = _split(np.flatnonzero(defects == ""), catalogue, options)
    if catalogue.defects is not None and any(catalogue.defects):
        first, second = _split_defects(catalogue.defects, catalogue.groups, validation, options)
        return Plan(shape, normal, (normal,), train, HeldOut(validation, (first,)), HeldOut(test, (second,)))
    if options.planted:
        parts = {"validation": validation, "test": test}
        planted, held = _planted(normal, catalogue.n_images, train, parts, options)
        return Plan(shape, normal, (planted,), train, *held)
    sources = _abnormal_sources(normal, options)
    halves = [
        _halves(name, source, shape, options.seed) for name, source in zip(options.abnormal, sources, strict=True)
    ]
    held = [
        _contaminated(kept, [half[i] for half in halves], options, part)
        for i, (kept, part) in enumerate([(validation, "validation"), (test, "test")])
    ]
    return Plan(shape, normal, sources, train, *held)


def shortages(n_normal: int, n_defective: int, options: TaskOptions, name: str | None = None) -> Iterator[str]:
    """Give a message for each reason why a set has too few images to search with, whatever the seed.

    A search refuses a set for the first of them; ``data check`` lists them all.

    Args:
        n_normal: Normal images of the set.
        n_defective: Images with a defect of the set.
        options: Names the abnormal sets, if any.
        name: What the messages call the set; None: as it is asked for.

    Example:
        >>> [line.partition(".")[0] for line in shortages(9, 1, TaskOptions(data="folder"), "screws")]
        ['screws has 9 normal images', 'screws has 1 image with a defect']
    """
    if name is None:
        folder = options.root_of("folder") if options.data == "folder" else None
        name = f"[[data={options.data}]]" if folder is None else str(folder / (options.category or ""))
    if options.planted:
        yield from _cannot_be_planted(n_normal, n_defective, name)
        return
    if n_normal < MIN_NORMAL:
        yield f"{name} has {_normal_images(n_normal)}. Expected {MIN_NORMAL} or more. Add images."
    if n_defective == 1:
        yield f"{name} has 1 image with a defect. Expected 2 or more: one for validation, one for test. Add images."
    # Mixed, the many easy out-of-distribution images would drown the few real defects in the reward.
    if n_defective and options.abnormal:
        yield (
            f"{name} has defects of its own and [[abnormal]] names {', '.join(options.abnormal)}. Expected one kind of "
            "anomaly. Leave out [[abnormal]], or point [[root]] to a folder without defects."
        )
    if not n_defective and not options.abnormal:
        others = ", ".join(_sets_that_can_be_abnormal(options.data))
        yield (
            f"{name} has normal images only, so that labels have one class only. Expected anomalies too: planted "
            f"defects, images with a defect, or another set. Give [[anomalies={PLANTED}]]; or add images with a "
            f"defect; or give [[abnormal=NAME]], one of: {others}."
        )


def _cannot_be_planted(n_normal: int, n_defective: int, name: str) -> Iterator[str]:
    if n_defective:
        yield (
            f"{name} has defects of its own, {n_defective}, and [[anomalies={PLANTED}]]. Expected one kind of anomaly. "
            "Leave out [[anomalies]], or give a set of good images only."
        )
    elif n_normal < LEAST_GOOD:
        yield (
            f"{name} has {_normal_images(n_normal)}. Expected {LEAST_GOOD} or more, to train on most of them and to "
            "plant defects into some of the others. Add images."
        )


def _planted(
    normal: ImageSource, n_images: int, train: IntArray, parts: Mapping[str, IntArray], options: TaskOptions
) -> tuple[PlantedDefects, list[HeldOut]]:
    """Let some of the held-out images have defects; in the same part none of them is good, too."""
    from autoad_nni.data.planting.source import PlantedDefects  # here: it imports scipy, which takes long

    planted, held = PlantedDefects(normal, n_images, train, options.seed), []
    for name, part in parts.items():
        n = min(max(2, round(SHARE * len(part))), MOST)
        if len(part) - n < 2:
            raise AutoADError(
                f"{options.data} has {len(part)} good images for {name}. Expected 4 or more: 2 with planted defects, "
                "and 2 without. Add good images; or leave out test/good, so that train/good is split."
            )
        copies = min(COPIES, -(-LEAST_PLANTED // n))
        held.append(HeldOut(part[n:], (planted.copies(part[:n], copies),)))
    return planted, held


def _normal_images(n: int) -> str:
    return f"{n} normal image{'' if n == 1 else 's'}"


def _sets_that_can_be_abnormal(besides: str) -> Iterator[str]:
    for name in DATASETS.names():
        # One that is broken is listed by 'autoad-nni plugins list', and is no reason to say nothing here.
        with contextlib.suppress(AutoADError):
            if name != besides and DATASETS.load(name).can_be_abnormal:
                yield name


def _source(name: str, options: TaskOptions) -> ImageSource:
    kind: type[ImageSource] = DATASETS.load(name)
    root = options.root_of(name)
    if not kind.checks_root and root is not None and not is_folder(root):
        option = "root" if root == options.root else "roots"
        raise AutoADError(
            f"[[{option}]] {root} is not a folder. Expected an existing folder of images. Correct the path."
        )
    return kind(SourceOptions(root=root, category=options.category, download=options.download, seed=options.seed))


def _image_shape(normal: ImageSource, options: TaskOptions) -> ImageShape:
    shape = normal.image_shape.resized(options.image_size)
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:]):
        raise AutoADError(
            f"images of {options.data} are {shape.width} x {shape.height}. Expected sides of {MIN_SIDE} to {MAX_SIDE} "
            "pixels. Give [[image_size=64]]."
        )
    return shape


def _split(normal: IntArray, catalogue: Catalogue, options: TaskOptions) -> tuple[IntArray, IntArray, IntArray]:
    normal = limited(normal, catalogue, options.limit, generator(options.seed, "limit"))
    parts = split_normal(normal, catalogue, generator(options.seed, "split"))
    for part, name in zip(parts, ("train", "validation", "test"), strict=True):
        if not len(part):
            raise AutoADError(
                f"{len(normal)} normal images of {options.data} leave none for {name}. Expected 1 or more in each of "
                "train, validation and test. Add images or raise [[limit]]."
            )
    return parts


def _split_defects(
    defects: Sequence[str], groups: IntArray | None, validation: IntArray, options: TaskOptions
) -> tuple[IntArray, IntArray]:
    if groups is None:
        return halve_defects(defects, generator(options.seed, "defects"))
    first, second = follow_groups(defects, groups, validation)
    for part, name in ((first, "validation"), (second, "test")):
        if not len(part):
            raise AutoADError(
                f"images of {options.data} with a defect are all in groups that leave none for {name}. Expected 1 or "
                "more in validation and in test. Add images of other groups."
            )
    return first, second


def _abnormal_sources(normal: ImageSource, options: TaskOptions) -> tuple[ImageSource, ...]:
    places = {normal.where: options.data}
    sources = []
    for name in options.abnormal:
        source = _source(name, options)
        if not source.can_be_abnormal:
            raise AutoADError(f"[[abnormal]] names {name}. Expected a set other than {name}. Give it with [[data]].")
        if source.where is not None and source.where in places:
            raise AutoADError(
                f"{places[source.where]} and {name} were both found in {source.where}. Expected a place for each. "
                "Put each into a folder of its own, as torchvision does (MNIST/raw, FashionMNIST/raw)."
            )
        places[source.where] = name
        sources.append(source)
    return tuple(sources)


def _halves(name: str, source: ImageSource, shape: ImageShape, seed: int) -> tuple[IntArray, IntArray]:
    catalogue = source.catalogue(shape)
    rng = generator(seed, "abnormal", name)
    validation, test = cut(np.arange(catalogue.n_images), catalogue.groups, (0.5, 0.5), rng)
    return validation, test


def _contaminated(normal: IntArray, abnormal: Sequence[IntArray], options: TaskOptions, part: str) -> HeldOut:
    n_sets = len(abnormal)
    # The smallest set bounds all: they share equally.
    available = n_sets * min(len(half) for half in abnormal)
    n_normal, n_abnormal = contaminate(len(normal), available, options.contamination)
    if n_abnormal < n_sets or not n_normal:
        raise AutoADError(
            f"{part} has {len(normal)} normal and {available} abnormal images, which gives {n_abnormal} anomalies at "
            f"contamination {options.contamination}. Expected 1 or more of each of: {', '.join(options.abnormal)}. "
            "Add images, raise [[limit]] or name fewer sets in [[abnormal]]."
        )
    counts = shares(n_abnormal, n_sets)
    return HeldOut(normal[:n_normal], tuple(half[:count] for half, count in zip(abnormal, counts, strict=True)))
