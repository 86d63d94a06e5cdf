from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from toys import Blank

from autoad_nni.data import LabelledImages
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.pixel import aupro, pixel_auroc, rpro
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict
from autoad_nni.models.smoothing import smooth
from autoad_nni.trial.evaluate import IMAGE_METRICS, MAP_METRICS, REWARDS, evaluate, figures_of, threshold_of
from autoad_nni.verdicts import RejectedTrial

SIDE = 16


def scorer(patch: int | None = None, smoothing: float = 0) -> Scorer:
    detector = Detector(Blank(), ReconstructionHypothesis(), L1Distance())
    return Scorer(detector, ScoringSettings(patch=patch, smoothing=smoothing))


def labelled(*, contrast: float = 0.2, seed: int = 0) -> LabelledImages:
    """Noise; ten of the images have two bright spots, one of them a single pixel."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(24, 1, SIDE, SIDE, generator=generator) * 0.6
    masks = torch.zeros(24, SIDE, SIDE, dtype=torch.bool)
    for i in range(14, 24):
        masks[i, i - 12 : i - 8, 3:6] = masks[i, 1, 12] = True
    images[:, 0][masks] += contrast
    return LabelledImages(images, torch.tensor([0] * 14 + [1] * 10, dtype=torch.uint8), masks)


def without_masks(images: LabelledImages) -> LabelledImages:
    return LabelledImages(images.images, images.labels)


def figures_with(use: Scorer, images: LabelledImages, normal: Tensor) -> dict[str, float]:
    """The metrics where other normal images set the threshold of RPRO."""
    return figures_of(predict(use, images.images), images, predict(use, normal).anomaly_map)


def test_with_masks_there_are_the_metrics_of_maps_too() -> None:
    assert list(evaluate(scorer(), labelled())) == list(REWARDS) == [*IMAGE_METRICS, *MAP_METRICS]
    assert set(MAP_METRICS) == {"pixel_auroc", "aupro", "rpro", "image_auroc"}


def test_without_masks_there_are_those_of_scores_and_they_are_the_same() -> None:
    images = labelled()
    figures = evaluate(scorer(), without_masks(images))
    assert list(figures) == list(IMAGE_METRICS)
    whole = evaluate(scorer(), images)
    assert figures == {name: whole[name] for name in IMAGE_METRICS}


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("patch", [None, SIDE])
def test_the_network_sees_every_image_once(patch: int | None, with_masks: bool) -> None:
    """With windows as large as the images, one window is one image."""
    images, child = labelled(), Blank()
    use = Scorer(Detector(child, ReconstructionHypothesis(), L1Distance()), ScoringSettings(patch=patch), batch_size=10)
    evaluate(use, images if with_masks else without_masks(images))
    assert [len(batch) for batch in child.seen] == [10, 10, 4]
    assert torch.equal(torch.cat(child.seen), images.images)


@pytest.mark.parametrize("smoothing", [0, 1.0])
def test_every_metric_is_that_of_the_scores_or_the_maps(smoothing: float) -> None:
    images = labelled(contrast=0.1)
    figures = evaluate(scorer(smoothing=smoothing), images)
    labels, masks = images.labels.numpy(), images.masks.numpy()  # type: ignore[union-attr]
    maps = smooth(images.images, smoothing)[:, 0].numpy()
    assert figures["auroc"] == pytest.approx(roc_auc_score(labels, images.images.mean((1, 2, 3))))
    assert figures["image_auroc"] == pytest.approx(roc_auc_score(labels, maps.max((1, 2))))
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))
    assert figures["aupro"] == pytest.approx(aupro(masks, maps))
    assert figures["rpro"] == pytest.approx(rpro(masks, maps, threshold=maps[labels == 0].max()))
    assert len(set(figures.values())) == len(REWARDS), "or metrics that are mixed up would pass"
    assert all(0 <= value < 1 for value in figures.values())


class FirstNumber(Hypothesis):
    """Scores a code by its first number, a thousandfold: far more than any distance."""

    needs_codes = True

    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.sum() * 0

    def score(self, codes: Tensor) -> Tensor:
        return 1000 * codes[:, 0]


def test_what_a_hypothesis_says_of_a_whole_image_does_not_drown_where_in_it_the_defect_is() -> None:
    """Lifted maps would tell images apart, not pixels, and no threshold from normal images would fit."""
    images = labelled(contrast=0.5)
    distance_alone = evaluate(scorer(), images)
    detector = Detector(Blank(), FirstNumber(), L1Distance())
    lifted = evaluate(Scorer(detector, ScoringSettings(smoothing=0)), images)
    assert {name: lifted[name] for name in MAP_METRICS} == {name: distance_alone[name] for name in MAP_METRICS}
    assert lifted["auroc"] == pytest.approx(roc_auc_score(images.labels, images.images[:, 0, 0, 0]))
    assert lifted["auroc"] != distance_alone["auroc"]
    assert distance_alone["pixel_auroc"] > 0.9


def test_smoothing_changes_the_maps_and_not_the_score_of_a_whole_image() -> None:
    images = labelled()
    sharp, soft = (evaluate(scorer(smoothing=smoothing), images) for smoothing in (0, 1.5))
    for name in REWARDS:
        assert (sharp[name] == soft[name]) == (name in IMAGE_METRICS), name


def test_in_windows_the_score_is_from_the_map_and_so_is_its_auroc() -> None:
    images = labelled()
    figures, whole = evaluate(scorer(patch=8), images), evaluate(scorer(), images)
    assert figures["auroc"] == figures["image_auroc"] == whole["image_auroc"] != whole["auroc"]


def test_best_and_worst() -> None:
    images = labelled(contrast=0.7)
    assert set(evaluate(scorer(), images).values()) == {1.0}
    dark = LabelledImages(1 - images.images, images.labels, images.masks)
    worst = evaluate(scorer(), dark)
    assert {worst[name] for name in ("auroc", "pixel_auroc", "aupro", "rpro")} == {0.0}


def test_the_threshold_of_rpro_is_set_on_the_given_normal_images() -> None:
    images = labelled(contrast=0.3)
    maps, masks = images.images[:, 0].numpy(), images.masks.numpy()  # type: ignore[union-attr]
    own = evaluate(scorer(), images)
    assert own == figures_with(scorer(), images, images.normal)
    for level in (0.2, 0.7, 0.85):
        other = figures_with(scorer(), images, torch.full((3, 1, SIDE, SIDE), level))
        assert other["rpro"] == pytest.approx(float(rpro(masks, maps, threshold=level)), abs=1e-3)
        assert {**other, "rpro": 0} == {**own, "rpro": 0}, "and nothing else"
    low, high = (figures_with(scorer(), images, torch.full((1, 1, SIDE, SIDE), level))["rpro"] for level in (0.0, 1.0))
    assert (low, high) == (1.0, 0.0)


def test_the_given_normal_images_are_mapped_as_the_others() -> None:
    """In windows, smoothed: a single bright pixel sets another threshold then."""
    images, normal = labelled(contrast=0.4), torch.full((2, 1, SIDE, SIDE), 0.2)
    normal[0, 0, 5, 5] = 1
    use = scorer(patch=8, smoothing=1)
    maps, masks = predict(use, images.images).anomaly_map[:, 0].numpy(), images.masks.numpy()  # type: ignore[union-attr]
    limit = float(predict(use, normal).anomaly_map.max())
    assert 0.2 < limit < 0.5
    assert figures_with(use, images, normal)["rpro"] == pytest.approx(rpro(masks, maps, threshold=limit))


@pytest.mark.parametrize(
    ("size", "least"), [((224, 224), 25), ((64, 64), 2), ((32, 40), 1), ((8, 8), 1), ((224, 112), 13)]
)
def test_a_region_of_less_than_1_2000_of_the_image_sets_no_threshold(size: tuple[int, int], least: int) -> None:
    maps = np.full((3, *size), 0.1, np.float32)
    maps[1].ravel()[: least - 1] = 0.9
    assert threshold_of(maps) == np.float32(0.1)
    maps[1].ravel()[:least] = 0.9
    assert threshold_of(maps) == np.float32(0.9)


@pytest.mark.parametrize("patch", [None, 8])
def test_what_cannot_be_evaluated_is_rejected(patch: int | None) -> None:
    images = labelled()
    grey = LabelledImages(torch.full_like(images.images, 0.5), images.labels, images.masks)
    with pytest.raises(RejectedTrial, match=r"constant_score: all 24 images score 0\.5"):
        evaluate(scorer(patch), grey)
    with pytest.raises(RejectedTrial, match="over_time"):
        evaluate(scorer(patch), images, max_seconds=1e-9)
    broken = LabelledImages(images.images.clone(), images.labels, images.masks)
    broken.images[3, 0, 2, 2] = math.nan
    with pytest.raises(RejectedTrial, match=r"non_finite: 1 of 24 (scores|maps)"):
        evaluate(scorer(patch), broken)


def test_a_defect_that_only_the_map_shows_still_counts() -> None:
    """Images of one mean: the score sees nothing, the map all."""
    images = torch.full((8, 1, SIDE, SIDE), 0.25)
    images += torch.arange(8).view(8, 1, 1, 1) * 1e-4 * torch.tensor([1, -1] * 4).view(8, 1, 1, 1)
    masks = torch.zeros(8, SIDE, SIDE, dtype=torch.bool)
    masks[4:, 4:8, 4:8] = True
    images[4:] -= (masks[4:, None].float().mean() / (1 - masks[4:].float().mean())) * 0.5 * ~masks[4:, None]
    images[:, 0][masks] += 0.5
    labels = torch.tensor([0] * 4 + [1] * 4, dtype=torch.uint8)
    figures = evaluate(scorer(), LabelledImages(images, labels, masks))
    assert figures["image_auroc"] == figures["pixel_auroc"] == figures["aupro"] == figures["rpro"] == 1
    assert figures["auroc"] == auroc(labels.numpy(), images.mean((1, 2, 3)).numpy()) < 1
    assert pixel_auroc(masks.numpy(), images[:, 0].numpy()) == 1
