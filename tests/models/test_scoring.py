from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import Blank, Brightness, Halving, ThreePerImage

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import (
    Prediction,
    Scorer,
    ScoringSettings,
    predict,
    predict_parts,
    predict_scores,
    reconstruct,
)
from autoad_nni.models.smoothing import smooth
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


def blank(hypothesis: Hypothesis | None = None) -> Detector:
    return Detector(Blank(), hypothesis or ReconstructionHypothesis(), L1Distance())


def trained(hypothesis: str, distance: str, images: Tensor) -> Detector:
    torch.manual_seed(0)
    detector = Detector(Autoencoder(images.shape[1]), HYPOTHESES.load(hypothesis)(), LOSSES.load(distance)())
    fit(detector, images, settings=TrainingSettings(epochs=1, batch_size=16), seed=0)
    return detector


def scores_of(scorer: Scorer, images: Tensor) -> Tensor:
    return predict(scorer, images).score


def maps_of(scorer: Scorer, images: Tensor) -> Tensor:
    return predict(scorer, images).anomaly_map


def noise(n: int, height: int, width: int, channels: int = 1) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n + height + width))


def unsmoothed(patch: int | None = None) -> ScoringSettings:
    return ScoringSettings(patch=patch, smoothing=0)


@pytest.mark.parametrize(("size", "deviation"), [((56, 28), 1.0), ((28, 56), 1.0), ((8, 8), 1 / 7), ((112, 112), 2.0)])
def test_the_smoothing_by_default_is_1_56_of_the_longer_side(size: tuple[int, int], deviation: float) -> None:
    images = noise(2, *size)
    torch.testing.assert_close(Scorer(blank())(images).anomaly_map, smooth(images, deviation))
    own = Scorer(blank(), ScoringSettings(smoothing=0.8))(images)
    torch.testing.assert_close(own.anomaly_map, smooth(images, 0.8))


@pytest.mark.parametrize("smoothing", [-1.0, math.nan, math.inf, -0.001])
def test_a_smoothing_out_of_range(smoothing: float) -> None:
    with pytest.raises(AutoADError, match=r"^smoothing is .*\. Expected 0 to 224 pixels\. Give smoothing=4") as caught:
        ScoringSettings(smoothing=smoothing)
    assert caught.value.on_command_line().endswith("Give --smoothing 4, or 0 for none.")


@pytest.mark.parametrize("distance", sorted(LOSSES.names()))
@pytest.mark.parametrize("hypothesis", sorted(HYPOTHESES.names()))
def test_a_map_of_a_whole_image_is_the_distances_and_the_score_has_the_hypothesis_too(
    hypothesis: str, distance: str
) -> None:
    """For every hypothesis and distance, calibrated and not."""
    detector = trained(hypothesis, distance, noise(40, 12, 16, channels=3))
    images = noise(80, 12, 16, channels=3)[40:]  # a memory is at no distance from its own images
    assert hypothesis == "reconstruction" or detector.distance_scale != 1, "or scales would not matter"
    scores, maps = predict(Scorer(detector, unsmoothed()), images)
    assert scores.shape == (40,) and maps.shape == (40, 1, 12, 16)
    with torch.no_grad():
        terms = detector.eval()(images)
        lift = detector.hypothesis.score(terms.code) / detector.hypothesis_scale
    torch.testing.assert_close(maps, terms.distance_map / detector.distance_scale)
    torch.testing.assert_close(scores, terms.distance / detector.distance_scale + lift)
    torch.testing.assert_close(maps.mean((1, 2, 3)) + lift, scores, rtol=1e-4, atol=1e-5)
    assert (hypothesis == "reconstruction") == (lift.std() == 0)
    smoothed = predict(Scorer(detector), images)
    assert torch.equal(smoothed.score, scores) and not torch.equal(smoothed.anomaly_map, maps)
    assert maps.flatten(1).std(1).min() > 0 and scores.std() > 0


def test_the_score_of_a_whole_image_takes_the_distances_own_form() -> None:
    score, anomaly_map = Scorer(Detector(Blank(), ReconstructionHypothesis(), ThreePerImage()))(noise(2, 8, 8))
    assert score.tolist() == [3, 3] and anomaly_map.max() < 1


def test_the_forward_pass_of_a_scorer_is_what_predict_gives_for_a_batch() -> None:
    images = noise(5, 12, 12)
    scorer = Scorer(trained("density", "l2", noise(40, SIDE, SIDE)), ScoringSettings(patch=SIDE)).eval()
    predicted, direct = predict(scorer, images), scorer(images)
    assert isinstance(predicted, Prediction) and isinstance(direct, Prediction)
    for one, other in zip(predicted, direct, strict=True):
        assert torch.equal(one, other.detach())
        assert one.dtype == torch.float32 and not one.requires_grad


def windows_by_hand(detector: Detector, image: Tensor, side: int) -> Tensor:
    """The mean of the windows' maps, pixel by pixel, weighted by the distance to the window's border."""
    height, width = image.shape[-2:]
    step = side // 2
    tops = sorted({*range(0, height - side + 1, step), height - side})
    lefts = sorted({*range(0, width - side + 1, step), width - side})
    total, weights = np.zeros((height, width)), np.zeros((height, width))
    for top in tops:
        for left in lefts:
            terms = detector(image[None, :, top : top + side, left : left + side])
            lift = detector.hypothesis.score(terms.code) / detector.hypothesis_scale
            part = (terms.distance_map / detector.distance_scale + lift)[0, 0]
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
    maps = maps_of(Scorer(detector, unsmoothed(side)), images)[:, 0]
    with torch.no_grad():
        expected = torch.stack([windows_by_hand(detector, image, side) for image in images])
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hypothesis", ["density", "reconstruction"])
def test_one_window_is_the_whole_image_but_for_what_the_hypothesis_adds(hypothesis: str) -> None:
    images = noise(20, SIDE, SIDE)
    detector = trained(hypothesis, "ssim", images)
    added = maps_of(Scorer(detector, unsmoothed(SIDE)), images) - maps_of(Scorer(detector, unsmoothed()), images)
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(added), rtol=1e-3, atol=1e-3)
    assert (added.abs().amax((1, 2, 3)) > 0.1).all() or hypothesis == "reconstruction"


@pytest.mark.parametrize("size", [(8, 8), (13, 8), (33, 27), (64, 60)])
@pytest.mark.parametrize("settings", [unsmoothed(SIDE), ScoringSettings(patch=SIDE, smoothing=3)])
def test_windows_leave_no_seams(size: tuple[int, int], settings: ScoringSettings) -> None:
    for value in (0.0, 0.3, 1.0):
        maps = maps_of(Scorer(blank(Brightness()), settings), torch.full((2, 1, *size), value))
        torch.testing.assert_close(maps, torch.full_like(maps, 2 * value))


def test_the_map_of_a_pixel_wise_distance_does_not_depend_on_windows() -> None:
    images = noise(3, 37, 29)
    torch.testing.assert_close(maps_of(Scorer(blank(), unsmoothed(SIDE)), images), images)


def test_a_hypothesis_says_where_to_half_a_window() -> None:
    images = torch.zeros(1, 1, 64, 64)
    images[:, :, 40:44, 12:16] = 1
    maps = maps_of(Scorer(blank(Brightness()), unsmoothed(SIDE)), images)[0, 0]
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
    scores, maps = predict(scorer, images)
    assert torch.equal(scores, maps.amax((1, 2, 3)))


@pytest.mark.parametrize("patch", [None, SIDE])
def test_neither_the_batch_nor_the_other_images_change_a_result(patch: int | None) -> None:
    images = noise(11, 21, 18)
    detector = trained("cluster", "l21", noise(40, SIDE, SIDE) if patch else images)
    settings = ScoringSettings(patch=patch, smoothing=1.5)
    scores, maps = predict(Scorer(detector, settings), images)
    for batch_size in (1, 3, 7, 40, 256, 10_000):
        again = predict(Scorer(detector, settings, batch_size=batch_size), images)
        torch.testing.assert_close(again.anomaly_map, maps)
        torch.testing.assert_close(again.score, scores)
    alone = Scorer(detector, settings)
    torch.testing.assert_close(torch.cat([maps_of(alone, image[None]) for image in images]), maps)
    torch.testing.assert_close(torch.cat([scores_of(alone, image[None]) for image in images]), scores)
    torch.testing.assert_close(maps_of(alone, images.flip(0)).flip(0), maps)


@pytest.mark.parametrize(("patch", "batch"), [(None, 5), (SIDE, 5), (SIDE, 64), (SIDE, 1)])
def test_no_more_windows_than_a_batch_are_seen_at_a_time(patch: int | None, batch: int) -> None:
    child = Blank()
    detector = Detector(child, ReconstructionHypothesis(), L1Distance())
    predict(Scorer(detector, unsmoothed(patch), batch_size=batch), noise(12, 24, 16))
    seen = [len(batch) for batch in child.seen]
    n_windows = 12 if patch is None else 12 * 5 * 3
    assert sum(seen) == n_windows and max(seen) <= batch
    assert len(seen) <= 2 * math.ceil(n_windows / batch), "and not many fewer"


@pytest.mark.parametrize("was_training", [False, True])
def test_predicting_is_in_evaluation_mode_and_leaves_the_mode_as_it_was(was_training: bool) -> None:
    images = noise(20, 12, 12)
    detector = trained("density", "l1", images)
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    scorer = Scorer(detector)
    expected = scores_of(scorer, images)
    detector.train(was_training)
    assert torch.equal(scores_of(scorer, images), expected)
    assert reconstruct(scorer, images).shape == images.shape
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
        predict(scorer, images)
    assert detector.training == was_training


def test_a_map_that_is_not_finite_is_rejected_where_the_score_is() -> None:
    class Overflowing(ThreePerImage):
        def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
            return torch.where(images < 0.01, math.inf, images)

    images = torch.full((7, 1, SIDE, SIDE), 0.5)
    images[2, 0, 3, 3] = images[4, 0, 0, 0] = images[4, 0, 1, 1] = 0
    scorer = Scorer(Detector(Blank(), ReconstructionHypothesis(), Overflowing()))
    with pytest.raises(RejectedTrial, match=r"^non_finite: 2 of 7 maps are infinite or undefined"):
        predict(scorer, images)


@pytest.mark.parametrize("patch", [None, SIDE])
def test_predicting_stops_at_the_limit(patch: int | None) -> None:
    scorer, images = Scorer(blank(), ScoringSettings(patch=patch)), noise(7, 16, 16)
    with pytest.raises(RejectedTrial, match="over_time"):
        predict(scorer, images, max_seconds=1e-9)
    assert len(predict(scorer, images, max_seconds=60).score) == 7


@pytest.mark.parametrize("patch", [None, SIDE])
def test_reconstructions_are_the_autoencoders_in_windows_too(patch: int | None) -> None:
    images = noise(5, 19, 13, channels=3)
    scorer = Scorer(Detector(Halving(), ReconstructionHypothesis(), L1Distance()), unsmoothed(patch), batch_size=4)
    torch.testing.assert_close(reconstruct(scorer, images), images / 2)


def test_two_sided_windows_score_how_far_both_terms_are_from_normal_ones() -> None:
    detector = blank(Brightness())
    detector.distance_centre, detector.distance_scale = torch.tensor(0.4), torch.tensor(0.1)
    detector.hypothesis_centre, detector.hypothesis_scale = torch.tensor(0.3), torch.tensor(0.2)
    levels = torch.tensor([0.0, 0.4, 1.0])
    images = levels[:, None, None, None].expand(-1, 1, SIDE, SIDE)
    scorer = Scorer(detector, ScoringSettings(patch=SIDE, two_sided=True))
    # |level - 0.4| / 0.1 + |level - 0.3| / 0.2
    score, anomaly_map = scorer(images)
    assert score.tolist() == pytest.approx([4 + 1.5, 0 + 0.5, 6 + 3.5])
    torch.testing.assert_close(anomaly_map, score[:, None, None, None].expand_as(images))


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
        maps_of(Scorer(detector, ScoringSettings(patch=SIDE, two_sided=two_sided, smoothing=2)), image)[0, 0]
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
        distances = detector(images).distance
    assert detector.distance_centre.item() == pytest.approx(distances.mean().item(), rel=1e-5)
    assert detector.distance_scale.item() == pytest.approx(distances.std(correction=0).item(), rel=1e-4)


def test_two_sided_needs_windows() -> None:
    with pytest.raises(AutoADError, match=r"^two_sided=True without patch\. Expected") as caught:
        ScoringSettings(two_sided=True)
    assert caught.value.on_command_line().startswith("--two-sided without --patch.")


@pytest.mark.parametrize("hypothesis", ["reconstruction", "density"])
@pytest.mark.parametrize(
    "settings", [ScoringSettings(), ScoringSettings(patch=8), ScoringSettings(patch=8, two_sided=True)]
)
def test_scores_alone_are_those_of_the_prediction(hypothesis: str, settings: ScoringSettings) -> None:
    images = noise(20, 16, 16)
    side = settings.patch or 16
    scorer = Scorer(trained(hypothesis, "l2", images[:, :, :side, :side]), settings, batch_size=7)
    assert torch.equal(predict_scores(scorer, images), scores_of(scorer, images))


class Mapless(L1Distance):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        raise AssertionError("a map is computed")

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (reconstruction - images).abs().flatten(1).mean(1)


def test_scores_of_whole_images_need_no_map() -> None:
    scorer = Scorer(Detector(Blank(), ReconstructionHypothesis(), Mapless()))
    assert predict_scores(scorer, noise(3, 8, 8)).shape == (3,)
    with pytest.raises(AssertionError, match="a map is computed"):
        predict(scorer, noise(3, 8, 8))


class Local(Blank):
    """The code of each location is its pixel."""

    local_codes = True

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(images), images


def test_codes_of_locations_are_scored_once_for_score_and_map() -> None:
    class Counting(Brightness):
        n_calls = 0

        def score(self, codes: Tensor) -> Tensor:
            self.n_calls += 1
            return super().score(codes)

    hypothesis = Counting()
    whole, distance, code = Scorer(Detector(Local(), hypothesis, L1Distance())).parts(noise(3, 8, 8))
    assert hypothesis.n_calls == 1
    assert torch.allclose(whole, distance.mean((1, 2, 3)) + code.mean((1, 2, 3)))


def test_a_reading_computes_its_own_parts_only() -> None:
    class Scoreless(Brightness):
        def score(self, codes: Tensor) -> Tensor:
            raise AssertionError("codes are scored")

    images, detector = noise(3, 8, 8), Detector(Local(), Brightness(), L1Distance())
    scorer = Scorer(detector)
    detector.reader.fit(predict_parts(scorer, images)[1])
    detector.hypothesis, detector.reader.reading = Scoreless(), Reading("distance")
    assert predict(scorer, images).score.shape == (3,)
    detector.reader.reading = Reading("both")
    with pytest.raises(AssertionError, match="codes are scored"):
        predict(scorer, images)
    detector.hypothesis, detector.distance, detector.reader.reading = Brightness(), Mapless(), Reading("code")
    assert predict(scorer, images).score.shape == (3,)


def test_scores_alone_that_are_undefined_or_late_are_rejected() -> None:
    with pytest.raises(RejectedTrial, match="non_finite"):
        predict_scores(Scorer(blank()), torch.full((2, 1, 8, 8), float("nan")))
    with pytest.raises(RejectedTrial, match="over_time"):
        predict_scores(Scorer(blank()), noise(9, 8, 8), max_seconds=1e-9)
