"""What each table is recorded of: the images, the settings of the trials, the models."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from autoad_nni.data import TaskOptions
from autoad_nni.data.cache import cache_folder
from autoad_nni.data.textures import ensure_textures
from autoad_nni.models.training import TrainingSettings
from autoad_nni.registry import SEARCH_SPACES
from autoad_nni.trial.settings import TrialSettings
from benchmarks.strategies.measures import limit_of, measure

__all__ = ["RECIPES", "Recipe", "Sample"]

Sample = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How to record one table.

    Attributes:
        task: Returns the options of the images; writes the images first if a program makes them.
        settings: Of the trials.
        samples: Yields distinct models, shuffled, so that a recording that stops early favours no part of the space.
        count: How many are recorded if nothing else is said; None for all.
    """

    task: Callable[[], TaskOptions]
    settings: TrialSettings
    samples: Callable[[], Iterator[Sample]]
    count: int | None


_SMALL: Final[Mapping[str, Sequence[Any]]] = {
    "hypothesis": ["density", "cluster", "centroid", "reconstruction"],
    "distance": ["l1", "l2", "l21", "ssim"],
    "layer1_channels": [3, 8, 16],
    "layer1_kernel": [5],
    "layer1_pooling": ["average"],
    "layer1_pooling_kernel": [1, 3, 5],
    "layer1_normalization": ["none"],
    "layer1_activation": ["sigmoid", "leaky_relu", "elu"],
    "layer2_channels": [16],
    "layer2_kernel": [3],
    "layer2_pooling": ["max"],
    "layer2_pooling_kernel": [5],
    "layer2_normalization": ["none", "batch", "instance"],
    "layer2_activation": ["leaky_relu"],
}
"""1,296 models; two layers, so that the last one is small and every model trains in about a second."""

_GROWN: Final[Mapping[str, Sequence[Any]]] = {
    "hypothesis": ["density", "cluster", "centroid", "reconstruction"],
    "distance": ["l1", "l2", "l21", "ssim"],
    "layer1_channels": [8],
    "layer1_kernel": [3, 7],
    "layer1_pooling": ["average"],
    "layer1_pooling_kernel": [3],
    "layer1_normalization": ["none", "batch", "instance"],
    "layer1_activation": ["sigmoid", "elu", "leaky_relu"],
    "layer2_channels": [8, 32],
    "layer2_kernel": [3],
    "layer2_pooling": ["max"],
    "layer2_pooling_kernel": [1, 3],
    "layer2_normalization": ["none", "batch"],
    "layer2_activation": ["elu"],
}
"""2,304 models of two cheap layers."""


def _all_of(values: Mapping[str, Sequence[Any]]) -> Iterator[Sample]:
    samples = [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]
    random.Random(0).shuffle(samples)
    yield from samples


def _grown() -> Iterator[Sample]:
    """The first 1,536 models are a product, too: all without leaky ReLU in the first layer."""
    yield from sorted(_all_of(_GROWN), key=lambda sample: sample["layer1_activation"] == "leaky_relu")


def _uniform(space: str, **arguments: int) -> Iterator[Sample]:
    """Yield uniform samples of a whole space that are within the limit of multiply-adds, without end.

    Those over the limit need no training to be rejected.
    """
    choices = SEARCH_SPACES.load(space)(**arguments).simplify()
    values = {str(label): list(choice.values) for label, choice in choices.items()}
    generator = random.Random(0)
    while True:
        sample = {label: generator.choice(each) for label, each in values.items()}
        if measure(sample).macs <= limit_of(sample):
            yield sample


_FASHION: Final = TaskOptions(data="fashion_mnist", abnormal=("digits", "photos"), limit=2000)


def _cells(side: int) -> TaskOptions:
    return TaskOptions(data="solar_cells", image_size=side, limit=250)


def _textures(category: str) -> TaskOptions:
    root = cache_folder() / "textures-of-strategies"
    ensure_textures(root, seed=0, side=64, n_train=80, n_good=40, n_per_defect=50)
    return TaskOptions(data="textures", category=category, root=root, image_size=32)


# Only the tables that were recorded first have a limit of seconds: on a busy machine it would reject a model here and
# not there.
_BRIEF: Final = TrialSettings(training=TrainingSettings(epochs=2), device="cpu", threads=1, max_seconds=40.0)
_GROWN_SETTINGS: Final = TrialSettings(training=TrainingSettings(epochs=3), device="cpu", threads=1)
# Of real searches: one epoch and a limit on costs, as in Table II, which no table needs whose models are within it.
_LIMITED: Final = TrialSettings(training=TrainingSettings(epochs=1), device="cpu", threads=1, max_macs=10_000_000)


def _features(reward: str) -> TrialSettings:
    training = TrainingSettings(epochs=1, steps=40)
    return TrialSettings(training=training, device="cpu", threads=1, space="features", reward=reward)


RECIPES: Final[Mapping[str, Recipe]] = {
    "small": Recipe(lambda: _FASHION, _BRIEF, lambda: _all_of(_SMALL), None),
    "random": Recipe(lambda: _FASHION, _BRIEF, lambda: _uniform("autoencoder", n_layers=3), 1500),
    "fashion": Recipe(lambda: _FASHION, _LIMITED, lambda: _uniform("autoencoder", n_layers=3), 1500),
    "grown": Recipe(lambda: _cells(28), _GROWN_SETTINGS, _grown, None),
    "cells": Recipe(
        lambda: _cells(32),
        _features("auroc"),
        lambda: _uniform("features"),
        400,
    ),
    "gravel": Recipe(lambda: _textures("gravel"), _features("aupro"), lambda: _uniform("features"), 400),
}
"""By name of the table."""
