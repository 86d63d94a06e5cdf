from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from autoad_nni.models.detector import Detector, count_macs
from autoad_nni.models.distances.base import Distance
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.distances.l21 import L21Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis


class Halving(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images / 2, images.flatten(1)


class Brightness(Hypothesis):
    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.mean() * 10

    def score(self, codes: Tensor) -> Tensor:
        return codes.mean(1) * 100


class SmallAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU())
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.InstanceNorm2d(6), nn.ConvTranspose2d(6, 1, 3, padding=1)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        code = self.down(images)
        return self.up(code), code.flatten(1)


IMAGES = torch.tensor([0.25, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 6)


def test_loss_and_score_add_distance_and_hypothesis() -> None:
    detector = Detector(Halving(), Brightness(), L1Distance())
    # Distances: 0.125 and 0.5. Codes: mean 0.25 and 1.
    assert detector.loss(IMAGES).item() == pytest.approx((0.125 + 0.5) / 2 + 10 * 0.625)
    assert detector.score(IMAGES).tolist() == pytest.approx([25.125, 100.5])


def test_map_is_the_distances_and_lifted_the_score_s_and_codes_the_autoencoders() -> None:
    detector = Detector(Halving(), Brightness(), L2Distance())
    assert detector.score_map(IMAGES).shape == detector.lifted_map(IMAGES).shape == (2, 1, 4, 6)
    assert detector.score_map(IMAGES).mean((1, 2, 3)).tolist() == pytest.approx([0.125**2, 0.25], abs=1e-5)
    lift = detector.lifted_map(IMAGES) - detector.score_map(IMAGES)
    expected = detector.hypothesis.score(IMAGES.flatten(1))
    torch.testing.assert_close(lift, expected.view(2, 1, 1, 1).expand(2, 1, 4, 6))
    assert detector.lifted_map(IMAGES).mean((1, 2, 3)).tolist() == pytest.approx(detector.score(IMAGES).tolist())
    assert torch.equal(detector.terms(IMAGES)[1], IMAGES.flatten(1))


@pytest.mark.parametrize("distance", [L1Distance(), L2Distance(), L21Distance()])
def test_evaluation_is_deterministic_and_ignores_the_rest_of_the_batch(distance: Distance) -> None:
    torch.manual_seed(0)
    detector = Detector(SmallAutoencoder(), ReconstructionHypothesis(), distance).eval()
    images = torch.rand(7, 1, 12, 10)
    together = detector.score(images)
    assert torch.equal(together, detector.score(images))
    torch.testing.assert_close(together, torch.cat([detector.score(image[None]) for image in images]))


def test_macs_of_known_layers() -> None:
    # 3 * 8 * 5 * 5 per pixel, 10 x 20 pixels; a linear layer: 8 * 4 per image.
    assert count_macs(nn.Conv2d(3, 8, 5, padding=2), 3, 10, 20) == 3 * 8 * 25 * 200
    assert count_macs(nn.ConvTranspose2d(3, 8, 5, padding=2), 3, 10, 20) == 3 * 8 * 25 * 200
    pooled = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    assert count_macs(pooled, 3, 10, 20) == 3 * 8 * 200 + 32


def test_macs_are_the_modules_own_where_it_knows_them() -> None:
    class Own(nn.Identity):
        def macs(self, height: int, width: int) -> int:
            return 1000 * height + width

    assert count_macs(Own(), 1, 7, 5) == 7005


def test_macs_of_a_giant_take_no_time_and_leave_the_module_as_it_was() -> None:
    count_macs(nn.Conv2d(1, 1, 1), 1, 8, 8)  # torch imports its compiler here
    with torch.device("meta"):
        giant = nn.Sequential(*(nn.Sequential(nn.Conv2d(10_000, 10_000, 7, padding=3), nn.ReLU()) for _ in range(12)))
    started = time.perf_counter()
    assert count_macs(giant, 10_000, 224, 224) == 12 * 49 * 10**8 * 224**2
    assert time.perf_counter() - started < 1.0
    model = SmallAutoencoder().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_macs(model, 1, 8, 8)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
