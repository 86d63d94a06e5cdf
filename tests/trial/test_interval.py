from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autoad_nni.data import LabelledImages
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.interval import Indices, bootstrap_interval
from autoad_nni.models.scoring import Prediction
from autoad_nni.trial.evaluate import IMAGE_METRICS, REWARDS, metric_of
from autoad_nni.trial.interval import interval_of


def predicted(n_normal: int, n_anomalous: int, *, side: int = 8) -> tuple[Prediction, LabelledImages]:
    """Noisy maps that rise over two regions, and scores that are not theirs."""
    generator = torch.Generator().manual_seed(0)
    n = n_normal + n_anomalous
    labels = torch.tensor([0] * n_normal + [1] * n_anomalous, dtype=torch.uint8)
    masks = torch.zeros(n, side, side, dtype=torch.bool)
    masks[n_normal:, 1:3, 1:5] = masks[n_normal:, 6, 6] = True
    maps = torch.randn(n, side, side, generator=generator) + torch.randn(n, 1, 1, generator=generator) + 2 * masks
    scores = torch.randn(n, generator=generator) + labels
    return Prediction(scores, maps[:, None]), LabelledImages(torch.zeros(n, 1, side, side), labels, masks)


@pytest.mark.parametrize("name", REWARDS)
def test_equal_to_the_metric_of_the_images_that_are_drawn(name: str) -> None:
    prediction, images = predicted(6, 4)
    assert images.masks is not None

    def naive(drawn: Indices) -> float:
        chosen = torch.from_numpy(drawn)
        of = LabelledImages(images.images[chosen], images.labels[chosen], images.masks[chosen])  # type: ignore[index]
        return metric_of(name, Prediction(prediction.score[chosen], prediction.anomaly_map[chosen]), of)

    found = interval_of(name, prediction, images)
    assert found == pytest.approx(bootstrap_interval(naive, images.labels.numpy()), abs=1e-9)
    assert found is not None and found[0] < found[1]


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("n_anomalous", [1, 2, 5])
def test_few_anomalies(name: str, n_anomalous: int) -> None:
    prediction, images = predicted(9, n_anomalous)
    found = interval_of(name, prediction, images)
    assert found is None or 0 <= found[0] < found[1] <= 1


@pytest.mark.parametrize("name", IMAGE_METRICS)
def test_no_masks_are_needed_for_metrics_of_scores(name: str) -> None:
    prediction, images = predicted(9, 5)
    without = LabelledImages(images.images, images.labels)
    assert interval_of(name, Prediction(prediction.score, prediction.score), without) == interval_of(
        name, prediction, images
    )


def test_where_every_draw_gives_the_same_there_is_none() -> None:
    """A perfect figure of few images is not certain, whatever a bootstrap says."""
    prediction, images = predicted(9, 2)
    perfect = Prediction(images.labels.float(), prediction.anomaly_map)
    assert metric_of("auroc", perfect, images) == 1 and interval_of("auroc", perfect, images) is None


def test_equal_but_for_rounding_is_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, images = predicted(20, 5)
    monkeypatch.setattr("autoad_nni.trial.interval.bootstrap_interval", lambda *_: (0.9999999999999999, 1.0))
    assert interval_of("auroc", prediction, images) is None


def test_images_made_of_the_same_one_are_drawn_together() -> None:
    prediction, images = predicted(9, 8)
    copies = replace(images, origins=torch.tensor([*range(9), *[9] * 4, *[10] * 4]))
    narrow, wide = interval_of("auroc", prediction, images), interval_of("auroc", prediction, copies)
    assert narrow is not None and wide is not None and wide != narrow
    expected = bootstrap_interval(
        lambda drawn: auroc(images.labels[drawn], prediction.score[drawn]), images.labels, copies.origins
    )
    assert wide == pytest.approx(expected)


@pytest.mark.parametrize("name", REWARDS)
def test_metrics_of_pixels_leave_out_images_that_are_anomalous_as_a_whole(name: str) -> None:
    prediction, images = predicted(9, 6)
    assert images.masks is not None
    masks = images.masks.clone()
    masks[-2:] = True
    with_whole, kept = replace(images, masks=masks), slice(None, -2)
    without = replace(images, images=images.images[kept], labels=images.labels[kept], masks=masks[kept])
    shorter = Prediction(prediction.score[kept], prediction.anomaly_map[kept])
    same = metric_of(name, prediction, with_whole) == metric_of(name, shorter, without)
    assert same == (name in ("pixel_auroc", "aupro", "rpro"))
    intervals = [interval_of(name, prediction, with_whole), interval_of(name, shorter, without)]
    assert (intervals[0] == intervals[1]) == same
