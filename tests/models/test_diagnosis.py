from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoad_nni.models.detector import Detector
from autoad_nni.models.diagnosis import check_alive, copies_input
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.centroid import CentroidHypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.verdicts import RejectedTrial, Verdict

IMAGES = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Scaled(nn.Module):
    """Lets so much of the image through to the output, and so much to the code."""

    def __init__(self, output: float, code: float) -> None:
        super().__init__()
        self.output, self.code = output, code

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 + self.output * images, 3 + self.code * images.flatten(1)


def verdict(output: float, code: float, hypothesis: Hypothesis, images: Tensor = IMAGES) -> Verdict:
    try:
        check_alive(Detector(Scaled(output, code), hypothesis, L2Distance()).eval(), images)
    except RejectedTrial as rejection:
        return rejection.verdict
    return Verdict.OK


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [(1, 1, Verdict.OK), (2e-3, 0, Verdict.OK), (5e-4, 1, Verdict.IGNORES_INPUT), (0, 1, Verdict.IGNORES_INPUT)],
)
def test_reconstruction_needs_outputs_that_differ(output: float, code: float, expected: Verdict) -> None:
    assert verdict(output, code, ReconstructionHypothesis()) is expected


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [(1, 1, Verdict.OK), (0, 1, Verdict.OK), (0, 1e-3, Verdict.OK), (1, 1e-6, Verdict.COLLAPSED)],
)
def test_a_hypothesis_on_codes_needs_codes_that_differ(output: float, code: float, expected: Verdict) -> None:
    assert verdict(output, code, CentroidHypothesis()) is expected


@pytest.mark.parametrize("images", [IMAGES[:1], torch.ones(5, 1, 8, 8)])
def test_images_that_do_not_differ_tell_nothing(images: Tensor) -> None:
    assert verdict(0, 0, ReconstructionHypothesis(), images) is Verdict.OK


class Copying(nn.Module):
    """Leaves so much of the spread out of its reconstruction."""

    def __init__(self, residue: float) -> None:
        super().__init__()
        self.residue = residue

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images + self.residue * images.std() * torch.ones_like(images), images.flatten(1)


@pytest.mark.parametrize(("residue", "expected"), [(0.0, False), (1e-5, True), (9e-3, True), (1.1e-2, False)])
def test_a_copy_leaves_less_than_a_hundredth(residue: float, expected: bool) -> None:
    detector = Detector(Copying(residue), ReconstructionHypothesis(), L2Distance()).eval()
    assert copies_input(detector, IMAGES) is expected
