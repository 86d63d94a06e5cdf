from __future__ import annotations

import math
from collections.abc import Callable
from math import erf

import numpy as np
import numpy.typing as npt
import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import aupr_in, aupr_out, auroc
from autoad_nni.metrics.interval import Indices, _tail, bootstrap_interval

Metric = Callable[[npt.ArrayLike, npt.ArrayLike], float]


def interval(metric: Metric, labels: npt.ArrayLike, scores: npt.ArrayLike, **options: float) -> tuple[float, float]:
    marks, values = np.asarray(labels), np.asarray(scores)
    return bootstrap_interval(lambda drawn: metric(marks[drawn], values[drawn]), marks, **options)  # type: ignore[arg-type]


def test_golden_values_of_a_distribution_that_is_known() -> None:
    """Of two normal scores, one on either side of the anomalous one: AUROC 1 and 0 in a quarter of the draws each."""
    labels, scores = [0, 0, 1], [0.0, 2.0, 1.0]
    figures: list[float] = []

    def noted(drawn: Indices) -> float:
        figures.append(auroc(np.asarray(labels)[drawn], np.asarray(scores)[drawn]))
        return figures[-1]

    assert bootstrap_interval(noted, labels, n_draws=4000) == (0, 1)
    shares = [figures.count(value) / 4000 for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03) and sum(shares) == 1


@pytest.mark.parametrize(
    ("level", "n", "t"), [(0.95, 5, 2.776445), (0.95, 10, 2.262157), (0.95, 50, 2.009575), (0.8, 12, 1.363430)]
)
def test_golden_values_of_the_share_below_it(level: float, n: int, t: float) -> None:
    """With the quantiles of Student's t as tables have them."""
    expected = 0.5 * (1 - erf(math.sqrt(n / (n - 1)) * t / math.sqrt(2)))
    assert _tail(level, n) == pytest.approx(expected, rel=1e-5)
    assert _tail(level, 1) == 0 < _tail(level, n) < (1 - level) / 2
    assert _tail(level, 10**6) == pytest.approx((1 - level) / 2, rel=1e-4)


@pytest.mark.parametrize("metric", [auroc, aupr_in, aupr_out])
def test_equal_to_a_naive_twin(metric: Metric) -> None:
    random = np.random.default_rng(3)
    labels = random.permutation(np.array([0] * 30 + [1] * 12))
    scores = random.normal(size=42) + labels
    normal, anomalous = ([i for i in range(42) if labels[i] == kind] for kind in (0, 1))
    draws, figures = np.random.default_rng(7), []
    for _ in range(100):
        images = [*(normal[i] for i in draws.integers(0, 30, 30)), *(anomalous[i] for i in draws.integers(0, 12, 12))]
        figures.append(metric([labels[i] for i in images], [scores[i] for i in images]))
    figures.sort()
    place = 99 * 0.5 * (1 - erf(1.363430 * math.sqrt(12 / 11) / math.sqrt(2)))  # t of 11 degrees of freedom
    before, part = int(place), place % 1
    low = figures[before] + part * (figures[before + 1] - figures[before])
    high = figures[-1 - before] - part * (figures[-1 - before] - figures[-2 - before])
    assert interval(metric, labels, scores, level=0.8, n_draws=100, seed=7) == pytest.approx((low, high), abs=1e-6)


def test_as_many_of_each_kind_are_drawn_as_there_are() -> None:
    labels = np.array([1, 0, 0, 1, 0, 0, 0])
    seen: set[int] = set()

    def noted(drawn: Indices) -> float:
        assert drawn.shape == (7,) and labels[drawn].sum() == 2
        seen.update(drawn.tolist())
        return float(len(set(drawn)))

    low, high = bootstrap_interval(noted, labels, n_draws=200)
    assert seen == set(range(7)) and 2 <= low < high <= 7, "with replacement"


def test_images_of_a_group_are_drawn_together() -> None:
    labels, groups = np.array([1, 0, 1, 0, 0, 1, 1]), np.array([7, 1, 4, 2, 2, 7, 4])
    seen: set[tuple[int, ...]] = set()

    def noted(drawn: Indices) -> float:
        seen.add(tuple(sorted(drawn)))
        return float(len(set(drawn)))

    bootstrap_interval(noted, labels, groups, n_draws=400)
    normal = ((1, 1), (1, 3, 4), (3, 3, 4, 4))
    anomalous = ((0, 0, 5, 5), (0, 2, 5, 6), (2, 2, 6, 6))
    assert seen == {tuple(sorted(a + b)) for a in normal for b in anomalous}


def test_groups_of_one_are_images() -> None:
    random = np.random.default_rng(0)
    labels = np.array([0] * 20 + [1] * 20)
    scores = random.normal(size=40) + labels
    alone = bootstrap_interval(lambda drawn: auroc(labels[drawn], scores[drawn]), labels, random.permutation(40) * 3)
    assert np.allclose(alone, interval(auroc, labels, scores), atol=0.03)


def test_copies_count_as_one_image() -> None:
    """Eight copies of each of five anomalous images, with scores of which 80 % of the variance is the image's own."""
    labels, groups = np.repeat([0, 1], [50, 40]), np.concatenate([np.arange(50), 50 + np.arange(40) // 8])
    held = {"images": 0, "groups": 0}
    for seed in range(60):
        random = np.random.default_rng(seed)
        scores = random.normal(size=90) + labels
        scores[50:] = 1 + np.repeat(random.normal(size=5), 8) * 0.8**0.5 + random.normal(size=40) * 0.2**0.5
        for name, of in (("images", None), ("groups", groups)):
            low, high = bootstrap_interval(
                lambda drawn, of=scores: auroc(labels[drawn], of[drawn]), labels, of, n_draws=150
            )
            held[name] += low <= 0.5 * (1 + erf(0.5)) <= high
    assert held["groups"] >= 50 > 45 > held["images"], held


def test_the_seed_decides() -> None:
    random = np.random.default_rng(0)
    labels = np.array([0] * 20 + [1] * 20)
    scores = random.normal(size=40) + labels
    first, again, other = (interval(auroc, labels, scores, seed=seed) for seed in (0, 0, 1))
    assert first == again != other and np.allclose(first, other, atol=0.03)


@pytest.mark.parametrize(("metric", "truth"), [(auroc, 0.5 * (1 + erf(0.5))), (aupr_out, None), (aupr_in, None)])
@pytest.mark.slow
def test_it_holds_the_true_figure_about_as_often_as_it_says(metric: Metric, truth: float | None) -> None:
    """Scores of normal distributions one deviation apart, 50 images of each kind, 200 times."""
    if truth is None:
        n = 200_000
        scores = np.random.default_rng(99).normal(size=2 * n) + np.repeat([0, 1], n)
        truth = metric(np.repeat([0, 1], n), scores)
    labels, held, widths = np.repeat([0, 1], 50), 0, []
    for seed in range(200):
        low, high = interval(metric, labels, np.random.default_rng(seed).normal(size=100) + labels, n_draws=200)
        held += low <= truth <= high
        widths.append(high - low)
    assert 0.88 <= held / 200 <= 1
    assert 0.1 < np.mean(widths) < 0.3, "of all figures it would hold the true one, too"


@pytest.mark.slow
def test_with_five_anomalies_it_still_holds_it_most_of_the_time() -> None:
    labels, held = np.repeat([0, 1], [84, 5]), 0
    for seed in range(200):
        low, high = interval(auroc, labels, np.random.default_rng(seed).normal(size=89) + labels, n_draws=200)
        held += low <= 0.5 * (1 + erf(0.5)) <= high
    assert 0.88 <= held / 200 <= 1


@pytest.mark.parametrize("metric", [auroc, aupr_in, aupr_out])
@pytest.mark.parametrize("n_anomalous", [1, 2, 5])
@pytest.mark.parametrize("n_normal", [1, 40])
def test_few_images_give_an_interval_too(metric: Metric, n_anomalous: int, n_normal: int) -> None:
    random = np.random.default_rng(n_anomalous)
    labels = np.array([0] * n_normal + [1] * n_anomalous)
    scores = random.normal(size=len(labels)) + labels
    low, high = interval(metric, labels, scores)
    assert 0 <= low <= metric(labels, scores) <= high <= 1
    assert low < high or n_normal == 1


def test_more_images_make_it_narrower() -> None:
    widths = []
    for n in (5, 20, 80, 320):
        labels = np.repeat([0, 1], n)
        low, high = interval(auroc, labels, np.random.default_rng(0).normal(size=2 * n) + labels)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True) and widths[3] < widths[1] / 3


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_refused(label: int) -> None:
    with pytest.raises(AutoADError, match=r"^labels with one class only: . of 3 are anomalous\. Expected normal and"):
        interval(auroc, [label] * 3, [0.1, 0.2, 0.3])
