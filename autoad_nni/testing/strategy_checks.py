"""What every strategy has to keep to, one function per promise; the docstring is what a failure says.

A strategy is made with ``seed``, and is shown spaces of 12 and 240 samples and trials that take no time.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import autoad_nni.nni_framework  # noqa: F401  # isort: skip
from nni.mutable import ExpressionConstraint
from nni.nas.strategy.base import Strategy

from autoad_nni.searches.spaces import SampleSpace
from autoad_nni.testing.checking import Factory, check, expect
from autoad_nni.testing.new_process import in_new_process
from autoad_nni.testing.playing import SMALL, SPACE, PlayingEngine, Sample, play, quality, space_of

__all__ = ["STRATEGY_CHECKS", "indices_of_samples"]

StrategyFactory = Factory[Strategy]


def indices_of_samples(plugin: StrategyFactory) -> Tensor:
    """The same search in every process: its samples as indices of the values."""
    samples = play(plugin(seed=3), trials=20)
    return torch.tensor([SPACE[label].index(sample[label]) for sample in samples for label in SPACE])


@check
def is_a_strategy(plugin: StrategyFactory) -> None:
    """The plugin takes the keyword seed and returns an nni.nas.strategy.Strategy, a fresh one each time."""
    one, other = plugin(seed=0), plugin(seed=1)
    expect(isinstance(one, Strategy), f"a {type(one).__name__}")
    expect(one is not other, "the same object twice")


@check
def the_budget_is_used_and_not_exceeded(plugin: StrategyFactory) -> None:
    """As many samples as the budget allows are proposed, also with several trials at a time, each one of the space."""
    for trials, at_once in ((1, 1), (17, 1), (17, 3)):
        samples = play(plugin(seed=0), trials=trials, at_once=at_once)
        expect(len(samples) == trials, f"{len(samples)} samples for a budget of {trials}, {at_once} at a time")
        for sample in samples:
            fits = sample.keys() == SPACE.keys() and all(value in SPACE[label] for label, value in sample.items())
            expect(fits, f"the sample {sample} of a space with {dict(SPACE)}")


@check
def the_same_seed_proposes_the_same(plugin: StrategyFactory) -> None:
    """With the same seed, and results in the same order, the same samples are proposed; with others, others."""
    for at_once in (1, 3):
        one, again = (play(plugin(seed=3), trials=20, at_once=at_once) for _ in range(2))
        expect(one == again, f"another sample {_first_difference(one, again)}, {at_once} trials at a time")
    others = [play(plugin(seed=seed), trials=20) for seed in (0, 1, 2)]
    expect(others[0] != others[1] or others[0] != others[2], "the same samples with the seeds 0, 1 and 2")


def _first_difference(some: list[Sample], others: list[Sample]) -> int:
    return next((i for i, (a, b) in enumerate(zip(some, others, strict=False)) if a != b), min(len(some), len(others)))


@check
def a_new_process_proposes_the_same(plugin: StrategyFactory) -> None:
    """The same seed and the same results give the same samples in another process."""
    here = indices_of_samples(plugin).double()
    there = in_new_process(indices_of_samples, plugin)
    expect(torch.equal(here, there), "other samples")


@check
def nothing_is_proposed_twice(plugin: StrategyFactory) -> None:
    """No sample is proposed twice, one trial at a time or several."""
    for at_once in (1, 3):
        samples = play(plugin(seed=0), trials=60, at_once=at_once)
        repeated = len(samples) - len({_key(sample) for sample in samples})
        expect(not repeated, f"{repeated} of {len(samples)} samples again, {at_once} trials at a time")


def _key(sample: Sample) -> str:
    return json.dumps(sample, sort_keys=True)


@check
def constraints_are_kept(plugin: StrategyFactory) -> None:
    """No sample is proposed that a constraint of the space rejects."""
    mutables = space_of(SPACE)
    width, depth = mutables["width"], mutables["depth"]
    constraint = ExpressionConstraint(width + depth <= 10, label="at_most_ten")
    samples = play(plugin(seed=0), mutables={**mutables, "at_most_ten": constraint}, trials=30)
    broken = [sample for sample in samples if sample["width"] + sample["depth"] > 10]
    expect(len(samples) > 0, "no sample")
    expect(not broken, f"{len(broken)} of {len(samples)} samples that break one, {broken[:1]}")


@check
def a_small_space_is_used_up_and_the_search_ends(plugin: StrategyFactory) -> None:
    """Without a budget, every sample of a space of 12 is proposed, and then the search ends."""
    for at_once in (1, 3):
        samples = play(plugin(seed=0), mutables=space_of(SMALL), trials=300, at_once=at_once)
        expect(len(samples) < 300, "no end after 300 samples")
        found = len({_key(sample) for sample in samples})
        expect(found == 12, f"{found} of the 12 samples before it ended, {at_once} trials at a time")


@check
def failed_trials_do_not_end_the_search(plugin: StrategyFactory) -> None:
    """The search uses its budget when trials fail: a third, those of the start, or all of them."""
    for case, answer in _failing().items():
        samples = play(plugin(seed=0), answer=answer, trials=24)
        expect(len(samples) == 24, f"an end after {len(samples)} of 24 samples, where {case}")


@check
def rewards_that_are_no_numbers_do_not_end_the_search(plugin: StrategyFactory) -> None:
    """The search uses its budget when rewards are NaN or infinite."""
    for value in (math.nan, math.inf, -math.inf):
        odd = _in_turn(value)
        samples = play(plugin(seed=0), answer=odd, trials=24)
        expect(len(samples) == 24, f"an end after {len(samples)} of 24 samples, where every third reward is {value}")


def _failing() -> dict[str, Callable[[Sample], float | None]]:
    begun = iter(range(1000))
    return {
        "every third fails": _in_turn(None),
        "the first ten fail": lambda sample: quality(sample) if next(begun) >= 10 else None,
        "all fail": lambda sample: None,
    }


def _in_turn(value: float | None) -> Callable[[Sample], float | None]:
    """Give every third sample this value."""
    numbers = iter(range(1000))
    return lambda sample: value if next(numbers) % 3 == 1 else quality(sample)


@check
def higher_rewards_are_better(plugin: StrategyFactory) -> None:
    """Over 3 seeds and 80 trials, the samples are no worse than with rewards of the opposite sign."""
    up, down = (
        sum(_mean_quality(play(plugin(seed=seed), answer=answer, trials=80)) for seed in range(3)) / 3
        for answer in (quality, lambda sample: -quality(sample))
    )
    expect(up >= down, f"a mean quality of {up:.3f}, and {down:.3f} where higher rewards are worse")


def _mean_quality(samples: list[Sample]) -> float:
    return sum(map(quality, samples)) / len(samples)


@check
def known_results_are_taken_and_proposed_no_more(plugin: StrategyFactory) -> None:
    """If it has a method learn, it takes results before it runs, failed ones too, and proposes none of them."""
    samples = play(plugin(seed=5), mutables=space_of(SMALL), trials=4)
    results = list(zip(samples, (0.5, None, math.nan, 0.9), strict=True))

    def learn(strategy: Strategy) -> None:
        strategy.learn(results)

    if hasattr(plugin(seed=0), "learn"):
        later = play(plugin(seed=0), mutables=space_of(SMALL), trials=300, prepare=learn)
        again = [sample for sample in later if sample in samples]
        expect(not again, f"{again[:1]} again")
        expect(len(later) == 8, f"{len(later)} of the 8 other samples before it ended")


@check
def it_goes_on_from_its_state_as_if_nothing_had_happened(plugin: StrategyFactory) -> None:
    """If it has on_iteration, a fresh one that loads its state (plain types, tensors) proposes what it would have."""
    if not hasattr(plugin(seed=0), "on_iteration"):
        return  # a search is resumed by its journal alone
    whole = play(plugin(seed=3), trials=24)
    for n in (0, 7, 15):
        stopped = plugin(seed=3)
        before = play(stopped, trials=n)
        state = _through_a_file(stopped.state_dict())
        after = play(plugin(seed=3), trials=24 - n, prepare=_loading(state))
        expect(before + after == whole, f"another sample {_first_difference(before + after, whole)}, stopped after {n}")


@check
def what_ran_when_it_stopped_runs_again(plugin: StrategyFactory) -> None:
    """If it has on_iteration, a state taken while trials run has a fresh one propose them, and nothing that ended."""
    if not hasattr(plugin(seed=0), "on_iteration"):
        return
    for n in (1, 8, 12):
        stopped, ended = plugin(seed=3), list[Sample]()
        begun = _play_until_stopped(stopped, ended, n)
        later = play(plugin(seed=3), trials=20, prepare=_loading(_through_a_file(stopped.state_dict())))
        lost = [sample for sample in begun if sample not in ended and sample not in later]
        again = [sample for sample in later if sample in ended]
        expect(not lost, f"{len(lost)} that ran are lost, when {n} had ended")
        expect(not again, f"{len(again)} of {n} that had ended again")


def _play_until_stopped(strategy: Strategy, ended: list[Sample], n: int) -> list[Sample]:
    """Run three trials at a time until n have ended, and return all that have begun."""

    def answer(sample: Sample) -> float:
        if len(ended) == n:
            raise KeyboardInterrupt
        ended.append(sample)
        return quality(sample)

    engine = PlayingEngine(answer, at_once=3)
    strategy.initialize(SampleSpace(space_of(SPACE)), engine)
    with contextlib.suppress(KeyboardInterrupt):
        strategy.run()
    return engine.samples


def _loading(state: dict[str, Any]) -> Callable[[Strategy], None]:
    return lambda strategy: strategy.load_state_dict(state)


def _through_a_file(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


STRATEGY_CHECKS = (
    is_a_strategy,
    the_budget_is_used_and_not_exceeded,
    the_same_seed_proposes_the_same,
    a_new_process_proposes_the_same,
    nothing_is_proposed_twice,
    constraints_are_kept,
    a_small_space_is_used_up_and_the_search_ends,
    failed_trials_do_not_end_the_search,
    rewards_that_are_no_numbers_do_not_end_the_search,
    higher_rewards_are_better,
    known_results_are_taken_and_proposed_no_more,
    it_goes_on_from_its_state_as_if_nothing_had_happened,
    what_ran_when_it_stopped_runs_again,
)
