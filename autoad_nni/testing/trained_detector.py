"""A tiny detector, trained on real images."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import SourceOptions
from autoad_nni.data.sources.digits import Digits
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.base import Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.scoring import score_images
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.testing.checking import expect

__all__ = ["digits", "expect_training"]


@cache
def digits(side: int) -> Tensor:
    """Return 256 handwritten digits, ``(256, 1, side, side)``."""
    return Digits(SourceOptions()).read(np.arange(256), ImageShape(1, side, side))


def expect_training(hypothesis: Hypothesis, distance: Distance) -> None:
    """Raise unless training with both moves the weights, and the scores of the images differ afterwards.

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> expect_training(ReconstructionHypothesis(), L1Distance())
    """
    torch.manual_seed(0)
    images = digits(8)
    detector = Detector(_Autoencoder(), hypothesis, distance)
    before = [parameter.clone() for parameter in detector.autoencoder.parameters()]
    fit(detector, images, settings=TrainingSettings(epochs=2), seed=0)
    moved = any(not torch.equal(old, new) for old, new in zip(before, detector.autoencoder.parameters(), strict=True))
    expect(moved, "not one weight of the autoencoder moved: no gradient reaches it")
    scores = score_images(detector, images)
    n_different = len(set(scores.tolist()))
    expect(n_different > len(scores) // 2, f"{n_different} different scores for {len(scores)} images")


class _Code(NamedTuple):
    image: Tensor
    code: Tensor


class _Autoencoder(nn.Module):
    """8 x 8 pixels to a code of 8 numbers and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ELU(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ELU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, images: Tensor) -> _Code:
        code = self.encoder(images)
        return _Code(self.decoder(code).view_as(images), code)
