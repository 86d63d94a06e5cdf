"""The sets: good images to train on and hold out, and real anomalies of one or more kinds; the tasks made of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import LabelledImages, Task, TaskOptions, load_task
from autoad_nni.data.sources.mnist import FILES, FashionMnist
from autoad_nni.data.split import generator
from autoad_nni.data.textures import ensure_textures

__all__ = ["PARTS", "SETS", "TASKS", "ImageSet", "TaskOfSet", "load_set"]

PARTS: Final = ("validation", "test")
N_TRAIN, N_HELD, N_HOSTS = 160, {"validation": 64, "test": 100}, 32
_SIDE: Final = 32
_CROP: Final = 64
_LARGE: Final = 128
_PER_KIND: Final = 24


@dataclass(frozen=True)
class ImageSet:
    """Images of a set, float32 in [0, 1], ``(n, 1, height, width)``.

    Attributes:
        train: Good ones.
        good: Good ones that are held out, by part.
        hosts: Good ones that defects are planted in.
        defects: Real anomalies, by kind, then by part.
    """

    train: Tensor
    good: Mapping[str, Tensor]
    hosts: Tensor
    defects: Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class TaskOfSet:
    """Which anomalies of a set are the real ones.

    Attributes:
        name: Of the task.
        of: Name of the set.
        kinds: The real anomalies.
        same: Generators that make defects of these kinds: they are not planted.
    """

    name: str
    of: str
    kinds: tuple[str, ...]
    same: tuple[str, ...] = ()


def load_set(name: str, folder: Path) -> ImageSet:
    """Load a set.

    Args:
        name: One of `SETS`.
        folder: Where the textures are written.
    """
    return SETS[name](folder)


def _solar(side: int) -> Callable[[Path], ImageSet]:
    return lambda folder: _of_task(TaskOptions(data="solar_cells", image_size=side), lambda _: "cells")


def _texture(texture: str, crop: int = _CROP, side: int = _SIDE) -> Callable[[Path], ImageSet]:
    def load(folder: Path) -> ImageSet:
        numbers = {"n_train": N_TRAIN, "n_good": 2 * N_HELD["test"], "n_per_defect": 2 * _PER_KIND}
        root = folder / f"textures, {crop}"
        ensure_textures(root, seed=0, side=crop, **numbers)
        options = TaskOptions(data="textures", root=root, category=texture, image_size=side)
        return _of_task(options, lambda name: Path(name).parent.name)

    return load


def _of_task(options: TaskOptions, kind_of: Callable[[str], str]) -> ImageSet:
    task = load_task(options)
    held = {"validation": task.validation, "test": task.test}
    kinds = {part: [kind_of(name) for name in images.names] for part, images in held.items()}
    found = sorted(set(kinds["test"][len(task.test.normal) :]))
    return ImageSet(
        task.train[:N_TRAIN],
        {part: held[part].normal[: N_HELD[part]] for part in PARTS},
        _hosts(task),
        {kind: {part: _of_kind(held[part], kinds[part], kind)[: N_HELD[part]] for part in PARTS} for kind in found},
    )


def _hosts(task: Task) -> Tensor:
    return task.validation.normal[N_HELD["validation"] :][:N_HOSTS]


def _of_kind(images: LabelledImages, kinds: list[str], kind: str) -> Tensor:
    return images.images[[i for i, each in enumerate(kinds) if each == kind and images.labels[i]]]


def _fashion_class(number: int) -> Callable[[Path], ImageSet]:
    """One class is normal, all others are anomalies."""

    def load(folder: Path) -> ImageSet:
        pixels, labels = _idx(FashionMnist.system_folders[0], FILES[1])
        rng = generator(0, "planted", number)
        sizes = list(N_HELD.values())
        good, bad = (
            [torch.from_numpy(pixels[part])[:, None].float() / 255 for part in np.split(rng.permutation(of), ends)]
            for of, ends in (
                (np.flatnonzero(labels == number), np.cumsum([N_TRAIN, *sizes, N_HOSTS])),
                (np.flatnonzero(labels != number), np.cumsum(sizes)),
            )
        )
        return ImageSet(
            good[0],
            dict(zip(PARTS, good[1:3], strict=True)),
            good[3],
            {"others": dict(zip(PARTS, bad[:2], strict=True))},
        )

    return load


def _idx(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    def read(name: str, header: int) -> np.ndarray:
        plain, packed = folder / name, folder / f"{name}.gz"
        data = plain.read_bytes() if plain.is_file() else gzip.decompress(packed.read_bytes())
        return np.frombuffer(data, np.uint8, offset=header)

    labels = read(name.replace("images-idx3", "labels-idx1"), 8)
    return read(name, 16).reshape(len(labels), 28, 28).copy(), labels


def _fashion(folder: Path) -> ImageSet:
    """All classes are normal: twice as many images to train on; digits and photographs are anomalies."""
    abnormal = ("digits", "photos")
    task = load_task(TaskOptions(data="fashion_mnist", abnormal=abnormal, limit=640, contamination=0.6))
    held = {"validation": task.validation, "test": task.test}
    bad = {part: images.images[images.labels == 1].chunk(2) for part, images in held.items()}
    return ImageSet(
        task.train[: 2 * N_TRAIN],
        {part: held[part].normal[: N_HELD[part]] for part in PARTS},
        _hosts(task),
        {kind: {part: bad[part][i][: N_HELD[part]] for part in PARTS} for i, kind in enumerate(abnormal)},
    )


TEXTURES: Final = ("brick", "grass", "gravel")
CLASSES: Final = (0, 2, 5, 7, 1, 3, 4, 6, 8, 9)
SETS: Final[Mapping[str, Callable[[Path], ImageSet]]] = {
    "solar cells": _solar(_SIDE),
    "fashion": _fashion,
    "brick": _texture("brick"),
    **{f"fashion {number}": _fashion_class(number) for number in CLASSES},
    "grass": _texture("grass"),
    "gravel": _texture("gravel"),
    "solar cells, larger": _solar(2 * _SIDE),
    "solar cells, 128": _solar(_LARGE),
    **{f"{texture}, 128": _texture(texture, _LARGE, _LARGE) for texture in TEXTURES},
}
_DRAWN, _SPREAD = ("blob", "foreign", "scratch"), ("contrast", "missing_patch", "stain")
TASKS: Final = (
    *(TaskOfSet(name, name, ("cells",)) for name in ("solar cells", "solar cells, larger", "solar cells, 128")),
    *(
        TaskOfSet(f"{name}, {'+'.join(kinds)}", name, kinds, (*kinds, *alike))
        for name in (*TEXTURES, *(f"{texture}, 128" for texture in TEXTURES))
        for kinds, alike in ((_DRAWN, ()), (_SPREAD, ("tint",)))
    ),
    *(TaskOfSet(f"fashion {number} against others", f"fashion {number}", ("others",)) for number in CLASSES),
    *(TaskOfSet(f"fashion against {kind}", "fashion", (kind,)) for kind in ("digits", "photos")),
)
