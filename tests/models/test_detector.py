from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn
from toys import Brightness, Halving, ThreePerImage

from autoad_nni.models.detector import Detector, count_macs
from autoad_nni.models.distances.base import Distance
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.distances.l21 import L21Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis


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


def test_the_loss_adds_mean_distance_and_regularizer() -> None:
    detector = Detector(Halving(), Brightness(), L1Distance())
    # Distances: 0.125 and 0.5. Codes: mean 0.25 and 1.
    assert detector.loss(IMAGES).item() == pytest.approx((0.125 + 0.5) / 2 + 10 * 0.625)


def test_terms_are_the_distances_and_the_autoencoders() -> None:
    terms = Detector(Halving(), Brightness(), L2Distance())(IMAGES)
    assert terms.distance.tolist() == pytest.approx([0.125**2, 0.25])
    assert torch.equal(terms.distance_map, (IMAGES / 2).square())
    assert torch.equal(terms.reconstruction, IMAGES / 2)
    assert torch.equal(terms.code, IMAGES.flatten(1))


def test_the_distance_is_in_its_own_form_not_the_mean_of_the_map() -> None:
    terms = Detector(Halving(), Brightness(), ThreePerImage())(IMAGES)
    assert terms.distance.tolist() == [3, 3] and terms.distance_map.max() == 0.5


class NoMap(L1Distance):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        raise AssertionError("a map was computed")

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (reconstruction - images).abs().mean((1, 2, 3))


def test_training_computes_no_map() -> None:
    assert Detector(Halving(), Brightness(), NoMap()).loss(IMAGES).isfinite()


@pytest.mark.parametrize("distance", [L1Distance(), L2Distance(), L21Distance()])
def test_evaluation_is_deterministic_and_ignores_the_rest_of_the_batch(distance: Distance) -> None:
    torch.manual_seed(0)
    detector = Detector(SmallAutoencoder(), ReconstructionHypothesis(), distance).eval()
    images = torch.rand(7, 1, 12, 10)
    for name in ("distance", "distance_map", "reconstruction", "code"):
        together = getattr(detector(images), name)
        assert torch.equal(together, getattr(detector(images), name))
        torch.testing.assert_close(together, torch.cat([getattr(detector(image[None]), name) for image in images]))


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
    started = time.process_time()
    assert count_macs(giant, 10_000, 224, 224) == 12 * 49 * 10**8 * 224**2
    assert time.process_time() - started < 60, "one pass would be hours"
    model = SmallAutoencoder().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_macs(model, 1, 8, 8)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
