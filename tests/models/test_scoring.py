from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import Scorer, ScoringSettings, map_images, score_images, smooth
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.registry import HYPOTHESES, LOSSES
from autoad_nni.verdicts import RejectedTrial

SIDE = 8


class Autoencoder(nn.Module):
    """Batch normalization and dropout: in training mode an image's map depends on its batch, and on chance."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.2), nn.AvgPool2d(2)
        )
        self.up = nn.Conv2d(4, channels, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        code = self.down(images)
        up = nn.functional.interpolate(code, images.shape[-2:])
        return torch.sigmoid(self.up(up)), code.flatten(1)


class Blank(nn.Module):
    """Reconstructs black: the map by ``l1`` is the image."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(images), images.flatten(1)


class Brightness(Hypothesis):
    """Tells one number for a code: its mean."""

    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.mean()

    def score(self, codes: Tensor) -> Tensor:
        return codes.mean(1)


def blank(hypothesis: Hypothesis | None = None) -> Detector:
    return Detector(Blank(), hypothesis or ReconstructionHypothesis(), L1Distance())


def trained(hypothesis: str, distance: str, images: Tensor) -> Detector:
    torch.manual_seed(0)
    detector = Detector(Autoencoder(images.shape[1]), HYPOTHESES.load(hypothesis)(), LOSSES.load(distance)())
    fit(detector, images, settings=TrainingSettings(epochs=1, batch_size=16), seed=0)
    return detector


def noise(n: int, height: int, width: int, channels: int = 1) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n + height + width))


def unsmoothed(patch: int | None = None) -> ScoringSettings:
    return ScoringSettings(patch=patch, smoothing=0)


@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.7, 4.0, 11.0])
@pytest.mark.parametrize("size", [(8, 8), (23, 17), (9, 40)])
def test_smoothing_is_scipys_with_the_border_mirrored(size: tuple[int, int], deviation: float) -> None:
    """Deviation 11 reaches over the border of the border: the mirror image is mirrored again."""
    maps = torch.rand(3, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [
        ndimage.gaussian_filter(image, deviation, mode="reflect", radius=math.ceil(3 * deviation))
        for image in maps[:, 0].numpy()
    ]
    np.testing.assert_allclose(smooth(maps, deviation)[:, 0].numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(smooth(maps.float(), deviation)[:, 0].numpy(), expected, rtol=1e-5)


def test_smoothing_keeps_the_mean_and_the_place() -> None:
    maps = torch.zeros(1, 1, 15, 21)
    maps[0, 0, 4, 13] = 1
    smoothed = smooth(maps, 1.5)
    assert smoothed.sum().item() == pytest.approx(1, rel=1e-5)
    assert divmod(int(smoothed.argmax()), 21) == (4, 13)
    torch.testing.assert_close(smoothed[0, 0, 4, 9:13], smoothed[0, 0, 4, 14:18].flip(0))
    assert torch.equal(smooth(maps, 0), maps)


@pytest.mark.parametrize(("size", "deviation"), [((56, 28), 1.0), ((28, 56), 1.0), ((8, 8), 1 / 7), ((112, 112), 2.0)])
def test_the_smoothing_by_default_is_1_56_of_the_longer_side(size: tuple[int, int], deviation: float) -> None:
    images = noise(2, *size)
    torch.testing.assert_close(Scorer(blank()).score_map(images), smooth(images, deviation))
    own = Scorer(blank(), ScoringSettings(smoothing=0.8)).score_map(images)
    torch.testing.assert_close(own, smooth(images, 0.8))


@pytest.mark.parametrize("smoothing", [-1.0, math.nan, math.inf, -0.001])
def test_a_smoothing_out_of_range(smoothing: float) -> None:
    with pytest.raises(AutoADError, match=r"^--smoothing is .*\. Expected 0 to 224 pixels\. Give --smoothing 4"):
        ScoringSettings(smoothing=smoothing)


@pytest.mark.parametrize("distance", sorted(LOSSES.names()))
@pytest.mark.parametrize("hypothesis", sorted(HYPOTHESES.names()))
def test_a_map_of_a_whole_image_is_the_distances_and_the_score_has_the_hypothesis_too(
    hypothesis: str, distance: str
) -> None:
    """For every hypothesis and distance, calibrated and not."""
    images = noise(40, 12, 16, channels=3)
    detector = trained(hypothesis, distance, images)
    assert hypothesis == "reconstruction" or detector.distance_scale != 1, "or scales would not matter"
    scorer = Scorer(detector)
    scores, maps = score_images(scorer, images), map_images(scorer, images)
    assert maps.shape == (40, 12, 16)
    with torch.no_grad():
        distances, codes = detector.eval().terms(images)
        lift = detector.hypothesis.score(codes) / detector.hypothesis_scale
        torch.testing.assert_close(detector.lifted_map(images).mean((1, 2, 3)), scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.mean((1, 2)), distances / detector.distance_scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.mean((1, 2)) + lift, scores, rtol=1e-4, atol=1e-5)
    assert (hypothesis == "reconstruction") == (lift.std() == 0)
    torch.testing.assert_close(scores, score_images(detector, images))
    assert maps.flatten(1).std(1).min() > 0 and scores.std() > 0


def windows_by_hand(detector: Detector, image: Tensor, side: int) -> Tensor:
    """The mean of the windows' maps, pixel by pixel, weighted by the distance to the window's border."""
    height, width = image.shape[-2:]
    step = side // 2
    tops = sorted({*range(0, height - side + 1, step), height - side})
    lefts = sorted({*range(0, width - side + 1, step), width - side})
    total, weights = np.zeros((height, width)), np.zeros((height, width))
    for top in tops:
        for left in lefts:
            part = detector.lifted_map(image[None, :, top : top + side, left : left + side])[0, 0]
            for y in range(side):
                for x in range(side):
                    weight = min(y + 1, side - y) * min(x + 1, side - x)
                    total[top + y, left + x] += weight * part[y, x].item()
                    weights[top + y, left + x] += weight
    return torch.from_numpy(total / weights).float()


@pytest.mark.parametrize(
    ("side", "size"),
    [
        (8, (16, 24)),  # multiples of half a window
        (8, (19, 13)),  # the last window is not half a window away
        (8, (9, 8)),
        (8, (8, 8)),  # one window: the image
        (9, (20, 23)),  # odd windows
    ],
)
def test_maps_in_windows_are_those_by_hand(side: int, size: tuple[int, int]) -> None:
    detector = trained("density", "l2", noise(40, side, side))
    images = noise(3, *size)
    maps = map_images(Scorer(detector, unsmoothed(side)), images)
    with torch.no_grad():
        expected = torch.stack([windows_by_hand(detector, image, side) for image in images])
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hypothesis", ["density", "reconstruction"])
def test_one_window_is_the_whole_image_but_for_what_the_hypothesis_adds(hypothesis: str) -> None:
    images = noise(20, SIDE, SIDE)
    detector = trained(hypothesis, "ssim", images)
    added = map_images(Scorer(detector, unsmoothed(SIDE)), images) - map_images(Scorer(detector, unsmoothed()), images)
    torch.testing.assert_close(added, added[:, :1, :1].expand_as(added), rtol=1e-3, atol=1e-3)
    assert (added.abs().amax((1, 2)) > 0.1).all() or hypothesis == "reconstruction"


@pytest.mark.parametrize("size", [(8, 8), (13, 8), (33, 27), (64, 60)])
@pytest.mark.parametrize("settings", [unsmoothed(SIDE), ScoringSettings(patch=SIDE, smoothing=3)])
def test_windows_leave_no_seams(size: tuple[int, int], settings: ScoringSettings) -> None:
    for value in (0.0, 0.3, 1.0):
        maps = map_images(Scorer(blank(Brightness()), settings), torch.full((2, 1, *size), value))
        torch.testing.assert_close(maps, torch.full_like(maps, 2 * value))


def test_the_map_of_a_pixel_wise_distance_does_not_depend_on_windows() -> None:
    images = noise(3, 37, 29)
    torch.testing.assert_close(map_images(Scorer(blank(), unsmoothed(SIDE)), images), images[:, 0])


def test_a_hypothesis_says_where_to_half_a_window() -> None:
    images = torch.zeros(1, 1, 64, 64)
    images[:, :, 40:44, 12:16] = 1
    maps = map_images(Scorer(blank(Brightness()), unsmoothed(SIDE)), images)[0]
    far = torch.ones(64, 64, dtype=torch.bool)
    far[40 - SIDE : 44 + SIDE, 12 - SIDE : 16 + SIDE] = False
    assert maps[far].max() == 0 and maps[40:44, 12:16].min() > 1
    assert maps[38, 14] > 0, "beside the pixels themselves"
    row, column = divmod(int(maps.argmax()), 64)
    assert 40 <= row < 44 and 12 <= column < 16


@pytest.mark.parametrize("smoothing", [0, 2.0, None])
def test_in_windows_the_score_is_the_highest_value_of_the_map(smoothing: float | None) -> None:
    images = noise(30, 21, 18)
    scorer = Scorer(trained("density", "l1", noise(40, SIDE, SIDE)), ScoringSettings(patch=SIDE, smoothing=smoothing))
    assert torch.equal(score_images(scorer, images), map_images(scorer, images).amax((1, 2)))


@pytest.mark.parametrize("patch", [None, SIDE])
def test_neither_the_batch_nor_the_other_images_change_a_result(patch: int | None) -> None:
    images = noise(11, 21, 18)
    detector = trained("cluster", "l21", noise(40, SIDE, SIDE) if patch else images)
    settings = ScoringSettings(patch=patch, smoothing=1.5)
    maps, scores = map_images(Scorer(detector, settings), images), score_images(Scorer(detector, settings), images)
    for n_windows, n_images in ((1, 256), (7, 3), (256, 1), (40, 4), (10_000, 256)):
        scorer = Scorer(detector, settings, batch_size=n_windows)
        torch.testing.assert_close(map_images(scorer, images, batch_size=n_images), maps)
        torch.testing.assert_close(score_images(scorer, images, batch_size=n_images), scores)
    alone = Scorer(detector, settings)
    torch.testing.assert_close(torch.cat([map_images(alone, image[None]) for image in images]), maps)
    torch.testing.assert_close(map_images(alone, images.flip(0)).flip(0), maps)


class Counting(Blank):
    """Notes how many images or windows it sees at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(len(images))
        return super().forward(images)


@pytest.mark.parametrize(("patch", "batch"), [(None, 5), (SIDE, 5), (SIDE, 64), (SIDE, 1)])
def test_no_more_windows_than_a_batch_are_seen_at_a_time(patch: int | None, batch: int) -> None:
    child = Counting()
    detector = Detector(child, ReconstructionHypothesis(), L1Distance())
    map_images(Scorer(detector, unsmoothed(patch), batch_size=batch), noise(12, 24, 16))
    n_windows = 12 if patch is None else 12 * 5 * 3
    assert sum(child.seen) == n_windows and max(child.seen) <= batch
    assert len(child.seen) <= 2 * math.ceil(n_windows / batch), "and not many fewer"


@pytest.mark.parametrize("was_training", [False, True])
@pytest.mark.parametrize("use", [lambda detector: detector, Scorer])
def test_scoring_is_in_evaluation_mode_and_leaves_the_mode_as_it_was(use: Any, was_training: bool) -> None:
    images = noise(20, 12, 12)
    detector = trained("density", "l1", images)
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    expected = score_images(detector.eval(), images)
    scorer = use(detector)
    detector.train(was_training)
    assert torch.equal(score_images(scorer, images), expected)
    assert map_images(scorer, images).shape == (20, 12, 12)
    assert detector.training == detector.autoencoder.training == was_training
    assert all(torch.equal(value, state[name]) for name, value in detector.state_dict().items())


class Spoilt(nn.Module):
    """A value in the reconstruction of every third image is not finite."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction = torch.zeros_like(images)
        reconstruction[::3, 0, -1, -1] = self.value
        return reconstruction, images.flatten(1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("patch", [None, SIDE])
@pytest.mark.parametrize("was_training", [False, True])
def test_what_is_not_finite_is_rejected(value: float, patch: int | None, was_training: bool) -> None:
    detector = Detector(Spoilt(value), ReconstructionHypothesis(), L1Distance()).train(was_training)
    scorer, images = Scorer(detector, ScoringSettings(patch=patch, smoothing=1)), noise(7, SIDE, SIDE)
    with pytest.raises(RejectedTrial, match=r"^non_finite: 3 of 7 scores are infinite or undefined"):
        score_images(scorer, images)
    with pytest.raises(RejectedTrial, match=r"^non_finite: 3 of 7 maps are infinite or undefined"):
        map_images(scorer, images)
    assert detector.training == was_training


@pytest.mark.parametrize("patch", [None, SIDE])
def test_scoring_and_mapping_stop_at_the_limit(patch: int | None) -> None:
    scorer, images = Scorer(blank(), ScoringSettings(patch=patch)), noise(7, 16, 16)
    for use in (score_images, map_images):
        with pytest.raises(RejectedTrial, match="over_time"):
            use(scorer, images, max_seconds=1e-9)
        assert len(use(scorer, images, max_seconds=60)) == 7


def test_two_sided_windows_score_how_far_both_terms_are_from_normal_ones() -> None:
    detector = blank(Brightness())
    detector.distance_centre, detector.distance_scale = torch.tensor(0.4), torch.tensor(0.1)
    detector.hypothesis_centre, detector.hypothesis_scale = torch.tensor(0.3), torch.tensor(0.2)
    levels = torch.tensor([0.0, 0.4, 1.0])
    images = levels[:, None, None, None].expand(-1, 1, SIDE, SIDE)
    scorer = Scorer(detector, ScoringSettings(patch=SIDE, two_sided=True))
    # |level - 0.4| / 0.1 + |level - 0.3| / 0.2
    assert scorer.score(images).tolist() == pytest.approx([4 + 1.5, 0 + 0.5, 6 + 3.5])


@pytest.mark.parametrize("hypothesis", ["reconstruction", "density"])
def test_a_smooth_spot_in_a_rough_texture_is_found_by_two_sided_windows_only(hypothesis: str) -> None:
    torch.manual_seed(0)
    normal = torch.rand(2000, 1, SIDE, SIDE)
    detector = Detector(Autoencoder(), HYPOTHESES.load(hypothesis)(), L1Distance())
    fit(detector, normal, settings=TrainingSettings(epochs=2), seed=0, calibrate=True)
    image = torch.rand(1, 1, 32, 32)
    image[..., 8:24, 8:24] = 0.5
    spot, rest = torch.zeros(32, 32, dtype=torch.bool), torch.ones(32, 32, dtype=torch.bool)
    spot[12:20, 12:20], rest[4:28, 4:28] = True, False
    one, two = (
        map_images(Scorer(detector, ScoringSettings(patch=SIDE, two_sided=two_sided, smoothing=2)), image)[0]
        for two_sided in (False, True)
    )
    assert one[spot].mean() < one[rest].mean(), "or the test proves nothing"
    assert two[spot].mean() > two[rest].mean() + 3 * two[rest].std()


def test_statistics_of_a_distance_alone_are_set_on_request() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 1, SIDE, SIDE)
    detector = Detector(Autoencoder(), ReconstructionHypothesis(), L1Distance())
    fit(detector, images, settings=TrainingSettings(epochs=1), seed=0)
    assert (detector.distance_scale.item(), detector.distance_centre.item()) == (1.0, 0.0)
    fit(detector, images, settings=TrainingSettings(epochs=1), seed=0, calibrate=True)
    with torch.no_grad():
        distances, _ = detector.terms(images)
    assert detector.distance_centre.item() == pytest.approx(distances.mean().item(), rel=1e-5)
    assert detector.distance_scale.item() == pytest.approx(distances.std(correction=0).item(), rel=1e-4)


def test_two_sided_needs_windows() -> None:
    with pytest.raises(AutoADError, match=r"--two-sided without --patch\. Expected"):
        ScoringSettings(two_sided=True)
