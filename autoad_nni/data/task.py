"""A task: tensors to train on, to validate with and to test with, from named sets of images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.options import TaskOptions
from autoad_nni.data.plan import HeldOut, Plan, plan_task
from autoad_nni.data.source import ImageSource, IntArray
from autoad_nni.errors import AutoADError

__all__ = ["LabelledImages", "Task", "load_task"]


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels; the normal ones come first.

    Attributes:
        masks: Where the defects are; None when the set has no masks.
        classes: The class of each normal image, such as the kind of clothes; -1 for the others. None where the set of
            normal images has none.
        names: A name for each image; empty when they are not needed.
        origins: A number that images made of the same one share, such as copies with different planted defects. None
            where each is an image of its own.

    Shape:
        ``images`` ``(n, channels, height, width)`` float32 in [0, 1]; ``labels`` ``(n,)`` uint8, 1 = anomalous;
        ``masks`` ``(n, height, width)`` bool; ``classes`` and ``origins`` ``(n,)`` int64.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    names: tuple[str, ...] = ()
    classes: Tensor | None = None
    origins: Tensor | None = None

    @property
    def normal(self) -> Tensor:
        """The normal images among them."""
        return self.images[self.labels == 0]

    def located(self) -> Tensor:
        """Return which of them metrics of pixels are of, ``(n,)`` bool.

        Where an image is anomalous as a whole, there is nothing to find in it: with masks, those whose mask is all of
        the image are left out, unless no other anomaly is there.
        """
        whole = self.labels.bool() if self.masks is None else self.masks.flatten(1).all(1)
        nothing_else = bool((whole == self.labels.bool()).all())
        return torch.ones_like(whole) if nothing_else else ~whole


@dataclass(frozen=True)
class Task:
    """A loaded task; the search sees ``train`` and ``validation`` only.

    Attributes:
        data_sets: Names of the registered data sets that the images are from.
        train_classes: The class of each training image; None where their set has none. No model of a search sees it.

    Shape:
        ``train`` ``(n, channels, height, width)`` float32 in [0, 1], normal images only; ``train_classes`` ``(n,)``
        int64.
    """

    name: str
    train: Tensor
    validation: LabelledImages
    test: LabelledImages
    data_sets: tuple[str, ...] = ()
    train_classes: Tensor | None = None

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
        """Return a hash of all pixels, labels and masks: equal for equal images in an equal split."""
        parts = [self.train]
        for held in (self.validation, self.test):
            parts += [held.images, held.labels, *([] if held.masks is None else [held.masks])]
        total = hashlib.sha256()
        for part in parts:
            total.update(part.contiguous().numpy().tobytes())
        return total.hexdigest()[:16]


def load_task(options: TaskOptions) -> Task:
    """Load a task: find the sets, split, convert to the image shape of the normal set.

    Args:
        options: Determine the task.

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
    anomalies = "planted defects" if options.planted else "+".join(options.abnormal) or "defects"
    data = options.data if options.category is None else f"{options.data}/{options.category}"
    train = _read(plan.normal, plan.train, plan.image_shape)
    if len(train) > 1 and torch.equal(train[0], train[-1]) and bool((train == train[0]).all()):
        raise AutoADError(
            f"the {len(train)} good images of {data} to train on are one picture. Expected pictures that differ, so "
            "that it can be learned what good ones look like. Add others."
        )
    return Task(
        name=f"{data} vs {anomalies}",
        train=train,
        validation=_labelled(plan, plan.validation),
        test=_labelled(plan, plan.test),
        data_sets=(options.data, *options.abnormal),
        train_classes=_classes(plan, plan.train),
    )


def _labelled(plan: Plan, held: HeldOut) -> LabelledImages:
    parts = [(plan.normal, held.normal), *zip(plan.abnormal, held.abnormal, strict=True)]
    labels = torch.ones(sum(len(indices) for _, indices in parts), dtype=torch.uint8)
    labels[: len(held.normal)] = 0
    return LabelledImages(
        torch.cat([_read(source, indices, plan.image_shape) for source, indices in parts]),
        labels,
        _masks(plan, held),
        tuple(name for source, indices in parts for name in source.names(indices)),
        _classes(plan, held.normal, len(labels)),
        _origins(parts),
    )


def _masks(plan: Plan, held: HeldOut) -> Tensor | None:
    masks = [
        source.masks(indices, plan.image_shape) for source, indices in zip(plan.abnormal, held.abnormal, strict=True)
    ]
    # An out-of-distribution image without a mask is anomalous as a whole: its pixels have no labels.
    if any(mask is None for mask in masks):
        return None
    of_normal = torch.zeros(len(held.normal), *plan.image_shape[1:], dtype=torch.bool)
    return torch.cat([of_normal, *(mask for mask in masks if mask is not None)])


def _origins(parts: Sequence[tuple[ImageSource, IntArray]]) -> Tensor | None:
    """A number for each image; no two sets share one."""
    numbers, n = [], 0
    for source, indices in parts:
        found, number = np.unique(source.origins(indices), return_inverse=True)
        numbers.append(number + n)
        n += len(found)
    together = np.concatenate(numbers)
    return None if n == len(together) else torch.from_numpy(together.astype("int64"))


def _classes(plan: Plan, normal: IntArray, n_images: int | None = None) -> Tensor | None:
    """The classes of normal images, followed by -1 for as many others as make ``n_images``."""
    found = plan.normal.classes(normal)
    if found is None:
        return None
    classes = torch.full((n_images or len(normal),), -1, dtype=torch.int64)
    classes[: len(normal)] = torch.from_numpy(found.astype("int64"))
    return classes


def _read(source: ImageSource, indices: IntArray, shape: ImageShape) -> Tensor:
    images = source.read(indices, shape)
    if images.shape != (len(indices), *shape) or images.dtype != torch.float32:
        raise AutoADError(
            f"{type(source).__name__}.read gave {tuple(images.shape)} {images.dtype}. Expected "
            f"{(len(indices), *shape)} torch.float32. Report it to the authors of that data set plugin."
        )
    return images
