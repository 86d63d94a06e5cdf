from __future__ import annotations

import torch
from tiny_space import Sample, grid_space, play

from autoad_nni_strategies.cover import Looks


def values_of(samples: list[Sample], label: str) -> list[int]:
    return [sample[label] for sample in samples]


def test_what_was_tried_least_comes_first() -> None:
    looks = Looks([3, 3], wanted=2)
    looks.add((0, 0))
    looks.add((1, 0))
    candidates = [(0, 0), (1, 1), (2, 0), (2, 2), (0, 1)]
    assert looks.pick(candidates, 3, only_missing=False) == [(2, 2), (1, 1), (0, 1)]


def test_decisions_with_many_values_are_left_out() -> None:
    looks = Looks([6, 1, 5], wanted=1)
    for value in range(5):
        looks.add((0, 0, value))
    assert looks.is_complete
    assert looks.pick([(3, 0, 1)], 1, only_missing=True) == []


def test_a_failed_trial_counts_half() -> None:
    looks = Looks([2], wanted=2)
    for _ in range(2):
        looks.add((0,))
        looks.add((1,), failed=True)
    assert not looks.is_complete
    for _ in range(2):
        looks.add((1,), failed=True)
    assert looks.is_complete, "a value that always fails does not hold up the search"


def test_every_value_of_few_has_two_trials_among_the_first_ten() -> None:
    for seed in range(5):
        _, samples = play(lambda sample: float(sample["c0"] == 3), 10, grid_space(4, 4, 3, 8), seed=seed)
        for label, n in (("c0", 4), ("c1", 4), ("c2", 3)):
            assert min(values_of(samples, label).count(value) for value in range(n)) >= 2


def test_one_bad_trial_does_not_rule_a_value_out() -> None:
    """Where a value is needed for the best, and its first trial is bad, it has a second one soon."""
    first: list[int] = []

    def answer(sample: Sample) -> float:
        if sample["c0"] == 2 and 2 not in first:
            first.append(2)
            return 0.0
        return 1.0 if sample["c0"] == 2 else 0.5

    _, samples = play(answer, 10, grid_space(4, 8, 8), seed=0)
    assert values_of(samples, "c0").count(2) >= 2


def test_a_value_that_always_fails_is_looked_at_four_times() -> None:
    _, samples = play(lambda sample: float("nan") if sample["c0"] == 0 else 0.5, 25, grid_space(4, 8, 8), seed=0)
    assert values_of(samples, "c0")[:15].count(0) >= 4


def test_known_results_count_as_looks() -> None:
    from autoad_nni_strategies import AutoAD, Settings
    from autoad_nni_strategies.spaces import Decision

    search = AutoAD(Settings(seed=0), (Decision("a", (0, 1, 2)), Decision("b", tuple(range(50)))))
    search.tell([({"a": value % 2, "b": value}, 0.5) for value in range(12)])
    first = search.ask(5)
    assert values_of(first, "a").count(2) >= 2
    search.tell([(sample, 0.1) for sample in first])
    assert search.figures is not None
    assert search.figures["sources"][:2] == ["cover"] * 2
    assert torch.isfinite(torch.tensor(search.figures["mutual_information"]))
