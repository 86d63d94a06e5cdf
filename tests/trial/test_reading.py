"""How a reading is chosen, on maps that are made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from toys import Brightness

from autoad_nni.data import LabelledImages
from autoad_nni.metrics.image import auroc
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.readings import READINGS, WHOLE, Reading
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict, predict_parts
from autoad_nni.trial.evaluate import IMAGE_METRICS, REWARDS, evaluate, figures_of
from autoad_nni.trial.reading import choose_reading
from autoad_nni.verdicts import RejectedTrial, Verdict

N, SIDE = 40, 12


class TwoMaps(nn.Module):
    """Takes images of two channels: the first is the map of the distance, the second that of the code."""

    local_codes = True

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros_like(images[:, :1]), images[:, 1:], images[:, :1]


def noise(n: int, *, seed: int) -> Tensor:
    return 1 + 0.1 * torch.randn(n, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).clamp(-3, 3)


def scorer_for(normal: Tensor, smoothing: float = 0) -> Scorer:
    """A scorer with the statistics of normal images."""
    scorer = Scorer(Detector(TwoMaps(), Brightness(), L1Distance()), ScoringSettings(smoothing=smoothing))
    scorer.detector.reader.fit(predict_parts(scorer, normal)[1])
    return scorer


def labelled(change: Callable[[Tensor], None], *, masks: Tensor | None = None) -> LabelledImages:
    """Normal images, and as many that something was done to."""
    images = noise(N, seed=2)
    change(images[N // 2 :])
    labels = torch.tensor([0] * (N // 2) + [1] * (N // 2), dtype=torch.uint8)
    return LabelledImages(images, labels, masks)


def spot(images: Tensor) -> None:
    """A single pixel of the distance, anywhere, that is a little too high."""
    for i, image in enumerate(images):
        image[0, i * 5 % SIDE, i * 7 % SIDE] += 0.45


def haze(images: Tensor) -> None:
    """All of the code is a little too high."""
    images[:, 1] += 0.015


def opposite(images: Tensor) -> None:
    """The distance is a little too low in a quarter of the image."""
    images[:, 0, :6, :6] -= 0.15


def brighter_here(images: Tensor) -> None:
    """A corner in which normal images are dark has what other places have."""
    images[:, 0, 0, 0] += 1.4


CHANGES = [spot, haze, opposite, brighter_here]


def dark_corner(images: Tensor) -> Tensor:
    images[:, 0, 0, 0] -= 1.5
    return images


def figures_by_hand(scorer: Scorer, images: LabelledImages) -> dict[Reading, dict[str, float]]:
    """The metrics of each reading on its own, by the way that a trained model is used."""
    before, found = scorer.detector.reader.reading, {}
    for reading in (WHOLE, *READINGS):
        scorer.detector.reader.reading = reading
        found[reading] = evaluate(scorer, images)
    scorer.detector.reader.reading = before
    return found


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_best_reading_on_validation_is_chosen(change: Callable[[Tensor], None]) -> None:
    scorer = scorer_for(dark_corner(noise(60, seed=1)), smoothing=0.4)
    images = labelled(change)
    dark_corner(images.images)
    all_figures = figures_by_hand(scorer, images)
    for reward in IMAGE_METRICS:
        figures = figures_of(choose_reading(scorer, images, reward), images)
        best = max(each[reward] for each in all_figures.values())
        assert figures[reward] == pytest.approx(best) and figures[reward] > 0.8
        chosen = scorer.reading
        assert figures == pytest.approx(all_figures[chosen]), "the figures are those of the reading that is kept"
        assert evaluate(scorer, images) == pytest.approx(figures)
    assert len({each["auroc"] for each in all_figures.values()}) > 10, "or it proves nothing"


def chosen(change: Callable[[Tensor], None], reward: str = "auroc") -> Reading:
    scorer = scorer_for(dark_corner(noise(60, seed=1)))
    images = labelled(change)
    dark_corner(images.images)
    choose_reading(scorer, images, reward)
    return scorer.reading


def test_each_kind_of_anomaly_has_the_reading_that_sees_it() -> None:
    assert (chosen(spot).part, chosen(spot).pooling) == ("distance", "max")
    assert (chosen(haze).part, chosen(haze).pooling) == ("code", "mean")
    assert chosen(brighter_here).by_place
    assert chosen(opposite).two_sided


@pytest.mark.parametrize("reward", REWARDS)
def test_the_reward_decides(reward: str) -> None:
    """A spot in some images, at which the map points, and a haze in all, which moves the score."""
    masks = torch.zeros(N, SIDE, SIDE, dtype=torch.bool)
    for i in range(N // 2):
        masks[N // 2 + i, i * 5 % SIDE, i * 7 % SIDE] = True

    def both(images: Tensor) -> None:
        haze(images)
        spot(images)

    scorer, images = scorer_for(noise(60, seed=1)), labelled(both, masks=masks)
    figures = figures_of(choose_reading(scorer, images, reward), images)
    best = max(each[reward] for each in figures_by_hand(scorer, images).values())
    assert figures[reward] == pytest.approx(best)
    assert set(figures) == set(REWARDS)


def test_of_equally_good_readings_the_first_is_chosen_whose_score_is_of_its_map() -> None:
    """Everything is far too high: all readings are perfect, that of the whole image too."""

    def far(images: Tensor) -> None:
        images += 5

    assert chosen(far) == READINGS[0] and READINGS[0].score_from_map


def test_of_equal_rewards_the_higher_auroc_decides() -> None:
    """The map finds every spot whatever the pooling; the score of an image depends on it."""
    masks = torch.zeros(N, SIDE, SIDE, dtype=torch.bool)
    masks[N // 2 :, 3, 4] = True

    def one_spot(images: Tensor) -> None:
        images[:, 0, 3, 4] += 0.35 + 0.0 * images[:, 0, 3, 4]

    scorer, images = scorer_for(noise(60, seed=1)), labelled(one_spot, masks=masks)
    figures = figures_of(choose_reading(scorer, images, "pixel_auroc"), images)
    all_figures = figures_by_hand(scorer, images)
    alike = [each for each in all_figures.values() if each["pixel_auroc"] == figures["pixel_auroc"]]
    assert len({each["auroc"] for each in alike}) > 1, "or it proves nothing"
    assert figures["auroc"] == max(each["auroc"] for each in alike)


def test_readings_that_score_all_images_alike_are_left_out() -> None:
    """The distance says nothing of these images; were its reading chosen, all would score the same."""
    normal = noise(60, seed=1)
    scorer = scorer_for(normal)
    images = labelled(haze)
    images.images[:, 0] = 1.0
    figures = figures_of(choose_reading(scorer, images, "auroc"), images)
    assert scorer.reading.part in ("code", "both", "whole") and figures["auroc"] > 0.8
    assert predict(scorer, images.images).score.std() > 0


def test_a_model_that_scores_all_images_alike_is_rejected() -> None:
    scorer = scorer_for(noise(60, seed=1))
    images = labelled(haze)
    images.images[:] = 1.0
    with pytest.raises(RejectedTrial, match=rf"constant_score: all {N} images score 2") as caught:
        choose_reading(scorer, images, "auroc")
    assert caught.value.verdict is Verdict.CONSTANT_SCORE


def test_without_a_part_that_tells_the_whole_image_remains() -> None:
    scorer = scorer_for(torch.ones(9, 2, SIDE, SIDE))
    assert scorer.detector.reader.readings() == (WHOLE,)
    figures = figures_of(choose_reading(scorer, labelled(haze), "auroc"), labelled(haze))
    assert scorer.reading == WHOLE and figures["auroc"] > 0.8


@pytest.mark.parametrize("channel", [0, 1])
def test_a_map_that_is_not_finite_is_rejected(channel: int) -> None:
    scorer, images = scorer_for(noise(60, seed=1)), labelled(haze)
    images.images[3, channel, 2, 2] = math.inf
    with pytest.raises(RejectedTrial, match=rf"1 of {N} (scores|maps) are infinite or undefined"):
        choose_reading(scorer, images, "auroc")


def test_a_limit_on_time_holds() -> None:
    with pytest.raises(RejectedTrial, match="over_time"):
        choose_reading(scorer_for(noise(60, seed=1)), labelled(haze), "auroc", max_seconds=1e-9)


def test_the_images_are_passed_over_once() -> None:
    seen: list[int] = []

    class Counting(TwoMaps):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            seen.append(len(images))
            return super().forward(images)

    scorer = scorer_for(noise(60, seed=1))
    scorer.detector.autoencoder = Counting()
    choose_reading(scorer, labelled(haze), "auroc")
    assert sum(seen) == N


def test_the_score_of_the_highest_value_is_image_auroc() -> None:
    masks = torch.zeros(N, SIDE, SIDE, dtype=torch.bool)
    masks[N // 2 :, 3:5, 4:6] = True
    scorer, images = scorer_for(noise(60, seed=1)), labelled(spot, masks=masks)
    choose_reading(scorer, images, "image_auroc")
    score, anomaly_map = predict(scorer, images.images)
    labels = images.labels.numpy()
    highest = auroc(labels, anomaly_map.amax((1, 2, 3)).numpy())
    assert evaluate(scorer, images)["image_auroc"] == highest
    if scorer.reading.pooling == "max":
        assert auroc(labels, score.numpy()) == highest


def test_a_reading_that_was_chosen_before_is_taken() -> None:
    """As when a model is trained again; the figures are its own, and none that is better is looked for."""
    images = labelled(haze)
    free, bound = scorer_for(noise(60, seed=1)), scorer_for(noise(60, seed=1))
    given = Reading.parse("distance/raw/max")
    choose_reading(free, images, "auroc")
    prediction = choose_reading(bound, images, "auroc", reading=given)
    assert free.reading != given == bound.reading
    assert figures_of(prediction, images) == pytest.approx(figures_by_hand(bound, images)[given])
