"""A task: tensors to train on, to validate with and to test with, out of named sets of images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data.image_shape import MAX_SIDE, MIN_SIDE, ImageShape
from autoad_nni.data.options import MIN_NORMAL, TaskOptions
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

__all__ = ["HeldOut", "LabelledImages", "Plan", "Task", "load_task", "plan_task"]


@dataclass(frozen=True)
class LabelledImages:
    """Images and what they are; the normal ones come first.

    Attributes:
        masks: Where the defects are; None when the set says nothing of that.
        names: A name for each image; empty when nobody needs them.

    Shape:
        ``images`` ``(n, channels, height, width)`` float32 in [0, 1]; ``labels`` ``(n,)`` uint8, 1 = anomalous;
        ``masks`` ``(n, height, width)`` bool.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    names: tuple[str, ...] = ()

    @property
    def normal(self) -> Tensor:
        """The normal images among them."""
        return self.images[self.labels == 0]


@dataclass(frozen=True)
class Task:
    """A loaded task; the search sees ``train`` and ``validation`` only.

    Shape:
        ``train`` ``(n, channels, height, width)`` float32 in [0, 1], normal images only.
    """

    name: str
    train: Tensor
    validation: LabelledImages
    test: LabelledImages

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.train.shape[1]

    @property
    def height(self) -> int:
        """Rows of an image."""
        return self.train.shape[2]

    @property
    def width(self) -> int:
        """Columns of an image."""
        return self.train.shape[3]

    def digest(self) -> str:
        """A hash of all pixels, labels and masks: equal for equal images in an equal split."""
        parts = [self.train]
        for held in (self.validation, self.test):
            parts += [held.images, held.labels, *([] if held.masks is None else [held.masks])]
        total = hashlib.sha256()
        for part in parts:
            total.update(part.contiguous().numpy().tobytes())
        return total.hexdigest()[:16]


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
        abnormal: The abnormal sources; the normal one itself when the anomalies are its own defects.
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


def load_task(options: TaskOptions) -> Task:
    """Loads a task: finds the sets, splits, converts to the image shape of the normal set.

    Args:
        options: Names the task completely.

    Raises:
        AutoADError: An unknown set, missing or unreadable files, too few images, one class only.

    Differs from / not given by the paper: the paper gives 6:2:2 and contamination 0.05; that the official training and
    test images are joined before the split, and that abnormal images are resized with antialiasing, are ours.

    Example:
        >>> task = load_task(TaskOptions(data="digits", abnormal=("uniform",)))
        >>> task.train.shape, len(task.validation.labels), int(task.validation.labels.sum())
        (torch.Size([1078, 1, 8, 8]), 379, 19)
    """
    plan = plan_task(options)
    anomalies = "+".join(options.abnormal) if options.abnormal else "defects"
    data = options.data if options.category is None else f"{options.data}/{options.category}"
    return Task(
        name=f"{data} vs {anomalies}",
        train=_read(plan.normal, plan.train, plan.image_shape),
        validation=_labelled(plan, plan.validation),
        test=_labelled(plan, plan.test),
    )


def plan_task(options: TaskOptions) -> Plan:
    """Decides which image goes where; draws for the normal set do not depend on the abnormal ones."""
    normal = _source(options.data, options)
    shape = normal.image_shape.resized(options.image_size)
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in shape[1:]):
        raise AutoADError(
            f"images of {options.data} are {shape.width} x {shape.height}. Expected sides of {MIN_SIDE} to {MAX_SIDE} "
            "pixels. Give --image-size 64."
        )
    catalogue = normal.catalogue(shape)
    train, validation, test = _split(catalogue, options)
    if catalogue.defects is not None and any(catalogue.defects):
        _refuse_abnormal_beside_defects(options)
        if catalogue.groups is None:
            first, second = halve_defects(catalogue.defects, generator(options.seed, "defects"))
        else:
            first, second = follow_groups(catalogue.defects, catalogue.groups, validation)
        if not len(second):
            raise AutoADError(
                f"--data {options.data} has {len(first)} image with a defect. Expected 2 or more: one for validation, "
                "one for test. Add images."
            )
        return Plan(shape, normal, (normal,), train, HeldOut(validation, (first,)), HeldOut(test, (second,)))
    sources = _abnormal_sources(normal, options)
    halves = [
        _halves(name, source, shape, options.seed) for name, source in zip(options.abnormal, sources, strict=True)
    ]
    held = [
        _contaminated(kept, [half[i] for half in halves], options, part)
        for i, (kept, part) in enumerate([(validation, "validation"), (test, "test")])
    ]
    return Plan(shape, normal, sources, train, *held)


def _source(name: str, options: TaskOptions) -> ImageSource:
    kind: type[ImageSource] = DATASETS.load(name)
    if not kind.checks_root and options.root is not None and not options.root.is_dir():
        raise AutoADError(
            f"--root {options.root} is no folder. Expected an existing folder of images. Correct the path."
        )
    return kind(
        SourceOptions(root=options.root, category=options.category, download=options.download, seed=options.seed)
    )


def _split(catalogue: Catalogue, options: TaskOptions) -> tuple[IntArray, IntArray, IntArray]:
    defects = catalogue.defects
    normal = np.arange(catalogue.n_images) if defects is None else np.flatnonzero(np.array(defects) == "")
    if len(normal) < MIN_NORMAL:
        raise AutoADError(
            f"--data {options.data} has {len(normal)} normal images. Expected {MIN_NORMAL} or more to split 6:2:2. "
            "Add images."
        )
    normal = limited(normal, catalogue, options.limit, generator(options.seed, "limit"))
    parts = split_normal(normal, catalogue, generator(options.seed, "split"))
    for part, name in zip(parts, ("train", "validation", "test"), strict=True):
        if not len(part):
            raise AutoADError(
                f"{len(normal)} normal images of {options.data} leave none for {name}. Expected 1 or more in each of "
                "train, validation and test. Add images or raise --limit."
            )
    return parts


def _refuse_abnormal_beside_defects(options: TaskOptions) -> None:
    # Mixing them would let the many easy strangers drown the few real defects in the reward.
    if options.abnormal:
        raise AutoADError(
            f"--data {options.data} has defects of its own and --abnormal names {', '.join(options.abnormal)}. "
            "Expected one kind of anomaly. Leave out --abnormal, or point --root to a folder without defects."
        )


def _abnormal_sources(normal: ImageSource, options: TaskOptions) -> tuple[ImageSource, ...]:
    if not options.abnormal:
        others = ", ".join(
            name for name in DATASETS.names() if name != options.data and DATASETS.load(name).can_be_abnormal
        )
        raise AutoADError(
            f"--data {options.data} has normal images only, so that labels have one class only. Expected anomalies "
            f"too. Give --abnormal NAME, one of: {others}."
        )
    places = {normal.where: options.data}
    sources = []
    for name in options.abnormal:
        source = _source(name, options)
        if not source.can_be_abnormal:
            raise AutoADError(f"--abnormal names {name}. Expected a set other than {name}. Give it with --data.")
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
            "Add images, raise --limit or name fewer sets in --abnormal."
        )
    counts = shares(n_abnormal, n_sets)
    return HeldOut(normal[:n_normal], tuple(half[:count] for half, count in zip(abnormal, counts, strict=True)))


def _labelled(plan: Plan, held: HeldOut) -> LabelledImages:
    parts = [(plan.normal, held.normal), *zip(plan.abnormal, held.abnormal, strict=True)]
    labels = torch.ones(sum(len(indices) for _, indices in parts), dtype=torch.uint8)
    labels[: len(held.normal)] = 0
    masks = [source.masks(indices, plan.image_shape) for source, indices in parts]
    return LabelledImages(
        torch.cat([_read(source, indices, plan.image_shape) for source, indices in parts]),
        labels,
        # Strangers from a set without masks are wholly anomalous: nothing can be said of their pixels.
        None if any(mask is None for mask in masks) else torch.cat([mask for mask in masks if mask is not None]),
        tuple(name for source, indices in parts for name in source.names(indices)),
    )


def _read(source: ImageSource, indices: IntArray, shape: ImageShape) -> Tensor:
    images = source.read(indices, shape)
    if images.shape != (len(indices), *shape) or images.dtype != torch.float32:
        raise AutoADError(
            f"{type(source).__name__}.read gave {tuple(images.shape)} {images.dtype}. Expected "
            f"{(len(indices), *shape)} torch.float32. Tell the authors of that data set plug-in."
        )
    return images
