"""A sound toy, and toys that break one promise each."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import autoad_nni.nni_framework  # noqa: F401  # isort: skip
from nni.nas.execution.event import ModelEventType, TrainingEndEvent
from nni.nas.strategy.base import Strategy

from autoad_nni_strategies import AskTellStrategy, Guarded
from autoad_nni_strategies.spaces import Decision, decisions_of

Sample = dict[str, Any]


class Climber:
    """Changes one choice of the best sample so far."""

    def __init__(self, decisions: Iterable[Decision], seed: int) -> None:
        self.decisions = tuple(decisions)
        self.random = random.Random(seed)
        self.best: tuple[Sample, float] = ({}, -math.inf)

    def ask(self, n: int) -> list[Sample]:
        drawn = [{each.label: self.random.choice(each.values) for each in self.decisions} for _ in range(n)]
        return [{**sample, **dict(list(self.best[0].items())[1:])} for sample in drawn]

    def tell(self, results: list[tuple[Sample, float]]) -> None:
        self.best = max([self.best, *results], key=lambda result: result[1])


def sound(*, seed: int) -> AskTellStrategy:
    return AskTellStrategy(lambda decisions, is_valid: Guarded(Climber(decisions, seed), decisions, is_valid))


def heedless_of_constraints(*, seed: int) -> AskTellStrategy:
    return AskTellStrategy(lambda decisions, is_valid: Guarded(Climber(decisions, seed), decisions))


class Careless(Guarded):
    """Forgets what runs."""

    @property
    def pending(self) -> list[Sample]:
        return []


def careless_of_open_trials(*, seed: int) -> AskTellStrategy:
    return AskTellStrategy(lambda decisions, is_valid: Careless(Climber(decisions, seed), decisions, is_valid))


class BeginningAnew(Guarded):
    """Knows what was tried, and draws as in the beginning."""

    def state_dict(self) -> dict[str, Any]:
        return {"tried": list(self._untried.tried.items()), "pending": list(self._pending)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._untried.tried = dict(state_dict["tried"])
        self._pending = dict.fromkeys(state_dict["pending"])


def drawing_anew(*, seed: int) -> AskTellStrategy:
    return AskTellStrategy(lambda decisions, is_valid: BeginningAnew(Climber(decisions, seed), decisions, is_valid))


class Shuffled(Strategy):  # type: ignore[misc]
    """Proposes all samples in random order."""

    def __init__(self, *, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)

    def samples(self) -> Iterator[Sample]:
        decisions = decisions_of(self.model_space)
        product = itertools.product(*(each.values for each in decisions))
        grid = [dict(zip([each.label for each in decisions], values, strict=True)) for values in product]
        grid = [sample for sample in grid if self.model_space.contains(sample)]
        yield from self.random.sample(grid, len(grid))

    def _run(self) -> None:
        for sample in self.samples():
            if not self.wait_for_resource():
                return
            self.engine.submit_models(self.model_space.freeze(sample))


class Unseeded(Shuffled):
    def __init__(self, *, seed: int) -> None:
        super().__init__(seed=0)


class Hashing(Shuffled):
    def samples(self) -> Iterator[Sample]:
        salt = self.random.random()
        yield from sorted(super().samples(), key=lambda sample: hash(f"{sample} {salt}"))


class Generous(Shuffled):
    def _run(self) -> None:
        for number, sample in enumerate(self.samples()):
            if number % 2 == 0 and not self.wait_for_resource():
                return
            self.engine.submit_models(self.model_space.freeze(sample))


class Forgetful(Shuffled):
    def samples(self) -> Iterator[Sample]:
        found = list(super().samples())
        yield from [*found[:40], *found[:1], *found[40:]]


class Impatient(Shuffled):
    def samples(self) -> Iterator[Sample]:
        found = list(super().samples())
        yield from found[: math.ceil(0.9 * len(found)) - 1]


class Listening(Shuffled):
    def _run(self) -> None:
        self.engine.register_model_event_callback(ModelEventType.TrainingEnd, self.hear)
        super()._run()

    def hear(self, event: TrainingEndEvent) -> None:
        raise NotImplementedError


class Touchy(Listening):
    def hear(self, event: TrainingEndEvent) -> None:
        if event.model.metric is None:
            raise RuntimeError("a trial has failed")


class Pedantic(Listening):
    def hear(self, event: TrainingEndEvent) -> None:
        if event.model.metric is not None and not math.isfinite(event.model.metric):
            raise ValueError("a reward is no number")


class Minimising(Listening):
    """Goes on with what is most like the worst sample so far."""

    worst: tuple[Sample, float] = ({}, math.inf)

    def hear(self, event: TrainingEndEvent) -> None:
        metric = event.model.metric
        if metric is not None and metric < self.worst[1]:
            self.worst = event.model.sample, metric

    def samples(self) -> Iterator[Sample]:
        left = list(super().samples())
        while left:
            next_one = max(left, key=lambda sample: len(sample.items() & self.worst[0].items()))
            left.remove(next_one)
            yield next_one


class Unteachable(Shuffled):
    def learn(self, results: Any) -> None:
        pass


class NoStrategy:
    """Does what one does."""

    def __init__(self, *, seed: int) -> None:
        self.strategy = Shuffled(seed=seed)
        self.initialize: Callable[..., Any] = self.strategy.initialize
        self.run: Callable[[], None] = self.strategy.run


BROKEN = {
    "NoStrategy": "is_a_strategy",
    "Generous": "the_budget_is_used_and_not_exceeded",
    "Unseeded": "the_same_seed_proposes_the_same",
    "Hashing": "a_new_process_proposes_the_same",
    "Forgetful": "nothing_is_proposed_twice",
    "heedless_of_constraints": "constraints_are_kept",
    "Impatient": "a_small_space_is_used_up_and_the_search_ends",
    "Touchy": "failed_trials_do_not_end_the_search",
    "Pedantic": "rewards_that_are_no_numbers_do_not_end_the_search",
    "Minimising": "higher_rewards_are_better",
    "Unteachable": "known_results_are_taken_and_proposed_no_more",
    "drawing_anew": "it_goes_on_from_its_state_as_if_nothing_had_happened",
    "careless_of_open_trials": "what_ran_when_it_stopped_runs_again",
}
