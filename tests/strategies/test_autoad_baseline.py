from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni_strategies.baseline import MovingBaseline

BATCHES = st.lists(
    st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=6), min_size=1, max_size=6
)


def test_golden_values() -> None:
    baseline = MovingBaseline(decay=0.9, normalize=True)
    # b = mean = 0.6; v = (0.04 + 0 + 0.04) / 3
    assert baseline.advantages([0.4, 0.6, 0.8]) == pytest.approx([-math.sqrt(1.5), 0, math.sqrt(1.5)])
    baseline.update([0.4, 0.6, 0.8])
    assert baseline.value == pytest.approx(0.6)
    assert baseline.variance == pytest.approx(0.08 / 3)
    # v = 0.9 * 0.08 / 3 + 0.1 * (0.09 + 0.01) / 2 = 0.029
    assert baseline.advantages([0.9, 0.5]) == pytest.approx([0.3 / math.sqrt(0.029), -0.1 / math.sqrt(0.029)])
    baseline.update([0.9, 0.5])
    assert baseline.variance == pytest.approx(0.029)
    assert baseline.value == pytest.approx(0.9 * 0.6 + 0.1 * 0.7)


def test_golden_values_without_the_deviation() -> None:
    baseline = MovingBaseline(decay=0.99, normalize=False)
    baseline.update([0.5])
    assert baseline.advantages([0.8, 0.1]) == pytest.approx([0.3, -0.4])
    baseline.update([0.8])
    assert baseline.value == pytest.approx(0.503)


def test_asking_for_advantages_changes_nothing() -> None:
    baseline = MovingBaseline(decay=0.9, normalize=True)
    baseline.update([0.1, 0.4])
    before = baseline.state_dict()
    assert baseline.advantages([0.9]) == baseline.advantages([0.9])
    assert baseline.state_dict() == before


def test_equal_rewards_teach_nothing() -> None:
    baseline = MovingBaseline(decay=0.9, normalize=True)
    for _ in range(3):
        assert baseline.advantages([0.7, 0.7]) == pytest.approx([0, 0], abs=1e-6)
        baseline.update([0.7, 0.7])


@settings(deadline=None, derandomize=True, max_examples=50)
@given(batches=BATCHES, decay=st.floats(0, 0.99))
def test_normalised_advantages_are_finite_and_bounded(batches: list[list[float]], decay: float) -> None:
    baseline = MovingBaseline(decay=decay, normalize=True)
    for rewards in batches:
        advantages = baseline.advantages(rewards)
        bound = math.sqrt(len(rewards) / (1 - decay)) * (1 + 1e-9)
        assert all(abs(advantage) <= bound for advantage in advantages)
        baseline.update(rewards)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(batches=BATCHES)
def test_equals_a_naive_recursion(batches: list[list[float]]) -> None:
    baseline = MovingBaseline(decay=0.8, normalize=False)
    naive = sum(batches[0]) / len(batches[0])
    for rewards in batches:
        assert baseline.advantages(rewards) == pytest.approx([r - naive for r in rewards], abs=1e-9)
        baseline.update(rewards)
        naive = 0.8 * naive + 0.2 * sum(rewards) / len(rewards)
    assert baseline.value == pytest.approx(naive, abs=1e-9)


def test_state_round_trip() -> None:
    baseline, other = (MovingBaseline(decay=0.9, normalize=True) for _ in range(2))
    baseline.update([0.1, 0.4])
    other.load_state_dict(baseline.state_dict())
    assert other.advantages([0.3, 0.9]) == baseline.advantages([0.3, 0.9])
