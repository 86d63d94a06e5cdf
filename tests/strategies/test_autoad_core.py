"""AutoAD without an engine."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from autoad_nni_strategies import AutoAD, Settings
from autoad_nni_strategies.spaces import Decision

DECISIONS = tuple(Decision(label, tuple(range(size))) for label, size in (("a", 6), ("b", 5), ("c", 4)))
Sample = dict[str, Any]


def quality(sample: Sample) -> float:
    return 1.0 - sum(abs(value - 1) for value in sample.values()) / 20


def course(search: AutoAD, steps: int, seed: int) -> list[Sample]:
    """Ask and tell in a random order, with up to six samples pending; return what was asked for."""
    draw, asked = random.Random(seed), []
    pending = search.pending
    for _ in range(steps):
        if len(pending) < 6 and (not pending or draw.random() < 0.6):
            pending += (new := search.ask(draw.choice((1, 1, 3))))
            asked += new
        else:
            sample = pending.pop(draw.randrange(len(pending)))
            search.tell([(sample, None if draw.random() < 0.1 else quality(sample))])
        assert search.pending == pending
    return asked


@pytest.mark.slow
def test_a_state_holds_what_is_pending_and_what_is_told_of_an_iteration() -> None:
    for steps in (1, 9, 26, 41):
        search, other = AutoAD(Settings(seed=1), DECISIONS), AutoAD(Settings(seed=2), DECISIONS)
        course(search, steps, seed=steps)
        other.load_state_dict(search.state_dict())
        assert other.pending == search.pending
        assert course(other, 40, seed=100) == course(search, 40, seed=100)
        states = search.state_dict(), other.state_dict()
        assert states[0]["tried"] == states[1]["tried"]
        assert torch.equal(states[0]["learner"]["posterior"]["mu"], states[1]["learner"]["posterior"]["mu"])


def test_nothing_twice_whatever_is_pending() -> None:
    search = AutoAD(Settings(seed=1), DECISIONS)
    asked = course(search, 120, seed=0)
    assert len({tuple(sample.values()) for sample in asked}) == len(asked)
    rest = search.ask(1000)
    assert len(asked) + len(rest) == 6 * 5 * 4 and search.ask(1) == []


def test_it_looks_where_the_rewards_are_also_with_four_at_a_time() -> None:
    search = AutoAD(Settings(seed=0), tuple(Decision(label, tuple(range(7))) for label in "abcde"))
    pending = search.ask(4)
    rewards = []
    for _ in range(60):
        sample = pending.pop(0)
        rewards.append(quality(sample))
        search.tell([(sample, rewards[-1])])
        pending += search.ask(1)
    assert sum(rewards[30:]) / 30 > sum(rewards[:10]) / 10 + 0.1


def test_known_results_in_the_middle_of_a_search() -> None:
    search = AutoAD(Settings(seed=0), DECISIONS)
    (sample,) = search.ask(1)
    known = {"a": 1, "b": 1, "c": 1} if sample != {"a": 1, "b": 1, "c": 1} else {"a": 2, "b": 1, "c": 1}
    search.tell([(known, 1.0)])
    assert search.pending == [sample] and search.figures is None
    assert known not in search.ask(200)
