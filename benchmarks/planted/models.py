"""The models: the known methods, random samples of the space of features, and cheap random autoencoders."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from autoad_nni.models.build import build_architecture
from autoad_nni.models.detector import count_macs
from autoad_nni.models.training import TrainingSettings
from autoad_nni.searches.known import known_methods
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces.autoencoder import AutoencoderSpace
from autoad_nni_search_spaces.features import FeatureSpace

__all__ = ["N_MODELS", "Candidate", "candidates", "settings_of"]

N_MODELS = 60
N_AUTOENCODERS = 20
# 48 steps: many models in a short time.
_TRAINING = TrainingSettings(epochs=6, batch_size=16)
# Of an autoencoder, for a pixel: what trains in a few seconds.
_MOST_MACS = 600
_SETTINGS = TrialSettings(training=_TRAINING, threads=1, device="cpu")


@dataclass(frozen=True)
class Candidate:
    """A model to train.

    Attributes:
        name: Of a known method; otherwise of its space, with a number.
        space: Search space of the sample.
        sample: A value for every label.
        seed: Of its weights and of the order of the images.
    """

    name: str
    space: str
    sample: dict[str, Any]
    seed: int


def settings_of(candidate: Candidate) -> TrialSettings:
    """Return how a candidate is trained."""
    return replace(_SETTINGS, space=candidate.space, seed=candidate.seed)


def candidates(of: str, pixels: int) -> list[Candidate]:
    """Return the models of a set: the known methods, then random ones of both spaces, mixed.

    Args:
        of: Name of the set; the random samples depend on it.
        pixels: Of an image.
    """
    rng = random.Random(of)
    known = [("features", name, sample) for name, sample in known_methods("features").items()]
    n_features = N_MODELS - N_AUTOENCODERS - len(known)
    drawn = [("features", f"features {i}", each) for i, each in enumerate(islice(_features(rng), n_features))]
    cheap = islice(_autoencoders(rng, pixels), N_AUTOENCODERS)
    drawn += [("autoencoder", f"autoencoder {i}", each) for i, each in enumerate(cheap)]
    rng.shuffle(drawn)
    return [Candidate(name, space, sample, seed) for seed, (space, name, sample) in enumerate([*known, *drawn])]


def _features(rng: random.Random) -> Iterator[dict[str, Any]]:
    space = FeatureSpace().simplify()
    while True:
        yield {str(label): rng.choice(each.values) for label, each in space.items()}


def _autoencoders(rng: random.Random, pixels: int) -> Iterator[dict[str, Any]]:
    space = AutoencoderSpace(n_layers=2).simplify()
    side = round(pixels**0.5)
    while True:
        sample = {str(label): rng.choice(each.values) for label, each in space.items()}
        model = build_architecture(sample, channels=1, space="autoencoder")
        if count_macs(model, 1, side, side) <= _MOST_MACS * pixels:
            yield sample
