from __future__ import annotations

from itertools import accumulate, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from autoad_nni.runs.report.scale import Scale
from autoad_nni.runs.report.statistics import (
    best_of_shuffled,
    figures_by_value,
    importances,
    pr_points,
    roc_points,
)

REWARDS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=6)


@given(REWARDS)
def test_the_best_of_shuffled_trials_is_that_over_all_their_orders(rewards: list[float]) -> None:
    orders = np.array([list(accumulate(order, max)) for order in permutations(rewards)])
    found = best_of_shuffled(rewards, level=0.9)
    np.testing.assert_allclose(found.mean, orders.mean(0), atol=1e-12)
    for k, (low, high) in enumerate(zip(found.low, found.high, strict=True)):
        ordered = np.sort(orders[:, k])
        shares = [(ordered <= value).mean() for value in (low, high)]
        below = [(ordered < value).mean() for value in (low, high)]
        assert shares[0] >= 0.05 - 1e-9 and below[0] < 0.05 + 1e-9, "the lowest value that 5 % do not exceed"
        assert shares[1] >= 0.95 - 1e-9 and below[1] < 0.95 + 1e-9


def test_of_random_samples_it_is_what_fewer_of_them_reach() -> None:
    rng = np.random.default_rng(0)
    means = np.mean([best_of_shuffled(rng.random(12).tolist()).mean for _ in range(3000)], 0)
    expected = [k / (k + 1) for k in range(1, 13)]  # the mean of the highest of k uniform numbers
    np.testing.assert_allclose(means, expected, atol=0.01)


def test_many_trials_stay_exact() -> None:
    found = best_of_shuffled(np.linspace(0, 1, 3001)[:-1].tolist())
    assert found.mean[0] == pytest.approx(0.49983, abs=1e-4) and found.mean[-1] == pytest.approx(2999 / 3000)
    assert (np.diff(found.mean) > 0).all() and np.isfinite(found.mean).all()


SCORED = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.3, 0.5])), min_size=2).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


@given(SCORED)
def test_the_areas_under_the_curves_are_those_of_scikit_learn(pairs: list[tuple[int, float]]) -> None:
    labels, scores = zip(*pairs, strict=True)
    alarms, found = np.array(roc_points(labels, scores)).T
    area = float(((alarms[1:] - alarms[:-1]) * (found[1:] + found[:-1]) / 2).sum())
    assert area == pytest.approx(roc_auc_score(labels, scores))
    recall, precision = np.array(pr_points(labels, scores)).T
    steps = float((np.diff(recall, prepend=0.0) * precision).sum())
    assert steps == pytest.approx(average_precision_score(labels, scores))


def naive_share(values: list[str], rewards: list[float]) -> float:
    """Kelley's epsilon squared, as 1 - MS within / MS total."""
    groups = {value: [r for v, r in zip(values, rewards, strict=True) if v == value] for value in values}
    within = sum(float(((np.array(group) - np.mean(group)) ** 2).sum()) for group in groups.values())
    n, k = len(rewards), len(groups)
    return max(0.0, 1 - (within / (n - k)) / float(np.var(rewards, ddof=1)))


def test_importance_is_epsilon_squared() -> None:
    rng = np.random.default_rng(1)
    values = {label: [str(v) for v in rng.integers(0, k, 40)] for label, k in (("a", 3), ("b", 7))}
    rewards = (rng.random(40) + 0.5 * np.array([value == "0" for value in values["a"]])).tolist()
    found, by_chance = importances(values, rewards)
    assert {each.label: each.share for each in found} == {
        label: pytest.approx(naive_share(of_label, rewards)) for label, of_label in values.items()
    }
    assert [each.label for each in found] == ["a", "b"] and found[1].share < by_chance < found[0].share


def test_chance_is_exceeded_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(2)
    values = {str(k): [str(v) for v in rng.integers(0, k, 30)] for k in (2, 3, 5, 8)}
    exceeded = 0
    for _ in range(200):
        found, by_chance = importances(values, rng.random(30).tolist(), n_shuffles=200)
        exceeded += found[0].share > by_chance
    assert 2 <= exceeded <= 22, "about 5 % of 200 searches in which no choice matters"


@pytest.mark.parametrize(
    ("values", "rewards"),
    [
        ({}, []),
        ({"a": ["x", "x"]}, [0.1, 0.2]),  # one value
        ({"a": ["x", "y"]}, [0.1, 0.2]),  # as many values as trials
        ({"a": ["x", "y", "x"]}, [0.5, 0.5, 0.5]),  # nothing to explain
    ],
)
def test_nothing_is_important_where_nothing_can_be_said(values: dict[str, list[str]], rewards: list[float]) -> None:
    assert importances(values, rewards) == ([], 0.0)


def test_figures_by_value_leave_failed_trials_out_of_the_mean() -> None:
    [best, other, failed] = figures_by_value(["a", "b", "a", "a", "c"], [0.5, 0.25, 0.75, None, None])
    assert best[:4] == ("a", 3, 2, 0.625) and best.deviation == pytest.approx(0.25 / 2**0.5)
    assert (best.low, best.high) == (0.5, 0.75)
    assert other[:4] == ("b", 1, 1, 0.25) and np.isnan(other.deviation)
    assert failed[:3] == ("c", 1, 0) and np.isnan(failed.mean)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e6), st.booleans(), st.integers(3, 6))
def test_ticks_are_some_and_inside_and_read_differently(low: float, span: float, log: bool, most: int) -> None:
    if log:
        scale = Scale.around([abs(low) + 1e-3, abs(low) + 1e-3 + span], log=True)
    else:
        scale = Scale.around([low, low + span])
    ticks = scale.ticks(most)
    assert (2 if log else 3) <= len(ticks) <= 2 * most + 2
    assert len({text for _, text in ticks}) == len(ticks), ticks
    assert all(-1e-6 <= scale.place(value) <= 1 + 1e-6 for value, _ in ticks)
