from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import aupr_in, aupr_out, auroc

Scored = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
METRICS = pytest.mark.parametrize("metric", [auroc, aupr_in, aupr_out])
quick = settings(deadline=None, derandomize=True, max_examples=60)


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    """Labels of both classes; scores of few values, so that ties abound, also between the classes."""
    labels = [*draw(st.lists(st.integers(0, 1), max_size=40)), 0, 1]
    scores = draw(st.lists(st.integers(-6, 6), min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores) / 4


def test_golden_values_with_a_tie() -> None:
    labels, scores = [0, 1, 0, 1, 0], [0.1, 0.9, 0.5, 0.5, 0.2]
    # Six pairs: 0.9 beats all three; 0.5 beats two and ties with one.
    assert auroc(labels, scores) == pytest.approx(5.5 / 6)
    # Thresholds 0.9: recall 1/2, precision 1. 0.5: recall 1, precision 2/3.
    assert aupr_out(labels, scores) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # From the lowest: 0.1 and 0.2 normal (recall 2/3, precision 1); 0.5: recall 1, precision 3/4.
    assert aupr_in(labels, scores) == pytest.approx(2 / 3 * 1 + 1 / 3 * 3 / 4)


def test_perfect_and_useless_scores() -> None:
    labels = np.array([0, 0, 0, 1])
    assert auroc(labels, labels) == aupr_in(labels, labels) == aupr_out(labels, labels) == 1
    constant = np.zeros(4)
    assert auroc(labels, constant) == 0.5
    assert (aupr_in(labels, constant), aupr_out(labels, constant)) == (0.75, 0.25)


@quick
@given(scored())
def test_equal_to_scikit_learn(data: Scored) -> None:
    labels, scores = data
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert aupr_out(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert aupr_in(labels, scores) == pytest.approx(average_precision_score(1 - labels, -scores))


@quick
@given(scored())
def test_auroc_is_the_share_of_pairs_in_the_right_order(data: Scored) -> None:
    labels, scores = data
    pairs = [(a > n) + (a == n) / 2 for a in scores[labels == 1] for n in scores[labels == 0]]
    assert auroc(labels, scores) == pytest.approx(np.mean(pairs))


@quick
@given(scored())
def test_auroc_of_negated_scores_is_the_complement(data: Scored) -> None:
    labels, scores = data
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores))


@quick
@given(scored(), st.randoms(use_true_random=False))
def test_only_the_order_of_the_scores_matters(data: Scored, random: Random) -> None:
    labels, scores = data
    order = list(range(len(labels)))
    random.shuffle(order)
    for metric in (auroc, aupr_in, aupr_out):
        expected = metric(labels, scores)
        assert 0 <= expected <= 1
        assert metric(labels, np.exp(3 * scores) - 7) == expected
        assert metric(labels[order], scores[order]) == pytest.approx(expected)


@METRICS
@pytest.mark.parametrize("kind", [np.uint8, bool, np.float32])
def test_kinds_of_labels_and_float32_scores(metric: Callable[..., float], kind: type) -> None:
    rng = np.random.default_rng(0)
    labels, scores = np.arange(20_000) % 20 == 0, rng.standard_normal(20_000).astype(np.float32)
    assert metric(labels.astype(kind), scores) == pytest.approx(metric(labels.tolist(), scores.tolist()))


def test_huge_and_tiny_scores() -> None:
    labels = [0, 1, 0, 1]
    assert auroc(labels, [-1e308, 1e308, 0, 5e-324]) == 1
    assert auroc(labels, [1.0, np.nextafter(1.0, 2), 0, 2]) == 1


@METRICS
@pytest.mark.parametrize(("labels", "count"), [([0, 0, 0], "0 of 3"), ([1, 1, 1], "3 of 3"), ([], "0 of 0")])
def test_one_class_only(metric: Callable[..., float], labels: list[int], count: str) -> None:
    with pytest.raises(AutoADError, match=f"labels with one class only: {count} are anomalous. Expected normal and"):
        metric(labels, np.zeros(len(labels)))


@METRICS
def test_programming_errors(metric: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="2 of 3 scores are not finite"):
        metric([0, 1, 1], [0.0, np.nan, np.inf])
    with pytest.raises(ValueError, match="other than 0"):
        metric([0, 1, 2], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="expected"):
        metric([0, 1], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="expected"):
        metric([[0, 1]], [[0.0, 1.0]])
