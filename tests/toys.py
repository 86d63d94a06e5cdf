"""Models so simple that what they give is known, and what else several test files need."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.base import Hypothesis


class Blank(nn.Module):
    """Reconstructs black: the map by ``l1`` is the image, the score its mean. Notes the batches that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(images)
        return torch.zeros_like(images), images.flatten(1)


class Halving(nn.Module):
    """Reconstructs half of each value."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images / 2, images.flatten(1)


class TwoNumbers(nn.Module):
    """Reconstructs perfectly; the code of 16 pixels is learned, and has two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, self.linear(images.flatten(1))


class Conv(nn.Module):
    """The smallest real autoencoder, with the names of its hypothesis and distance as a search space gives them."""

    hypothesis_name, distance_name = "reconstruction", "l2"

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Dropout(dropout), nn.Conv2d(4, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction = self.layers(images)
        return reconstruction, reconstruction.flatten(1)


class Brightness(Hypothesis):
    """Scores a code by its mean; the regularizer is ten times the mean score."""

    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.mean() * 10

    def score(self, codes: Tensor) -> Tensor:
        return codes.mean(1)


class ThreePerImage(L1Distance):
    """The distance of an image is 3, in a form of its own: easily told from the mean of the map."""

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return images.new_full((len(images),), 3.0)


class ReadNever:
    """Stands for the test set; whatever is done with it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test set was read: {name}")
