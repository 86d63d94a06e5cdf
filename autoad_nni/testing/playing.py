"""Searches whose trials take no time: a small space, a reward for each sample, and an engine that plays them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import autoad_nni.nni_framework  # noqa: F401  # isort: skip
from nni.mutable import Categorical, Mutable
from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ModelStatus
from nni.nas.strategy.base import Strategy

from autoad_nni.searches.spaces import SampleSpace
from autoad_nni.testing.checking import expect

__all__ = ["SMALL", "SPACE", "PlayingEngine", "play", "quality", "space_of"]

Sample = dict[str, Any]
Answer = Callable[[Sample], float | None]
"""Returns the reward of a sample; None if its trial fails."""

SMALL: Mapping[str, list[Any]] = {"width": [8, 16, 32], "activation": ["relu", "tanh"], "bias": [True, False]}
"""12 samples."""
SPACE: Mapping[str, list[Any]] = {
    "width": [4, 8, 16, 32, 64],
    "depth": [1, 2, 3, 4],
    "dropout": [0.0, 0.25, 0.5],
    "activation": ["relu", "tanh", "elu", "none"],
}
"""240 samples."""
_MOST_QUESTIONS = 10_000


def space_of(values: Mapping[str, list[Any]]) -> dict[str, Mutable]:
    """Return the mutables of a space with these values."""
    return {label: Categorical(choices, label=label) for label, choices in values.items()}


def quality(sample: Sample) -> float:
    """Return 1.0 for the first value of each label, and less the further each is from it.

    Example:
        >>> quality({"width": 4, "depth": 1}), quality({"width": 64, "depth": 1})
        (1.0, 0.5)
    """
    values = {**SMALL, **SPACE}
    away = [values[label].index(value) / (len(values[label]) - 1) for label, value in sample.items()]
    return 1.0 - sum(away) / len(away)


class PlayingEngine(ExecutionEngine):  # type: ignore[misc]  # nni ships no types
    """Answers from a function. Of several trials that run at a time the newest ends first.

    Args:
        answer: See `Answer`.
        trials: The budget.
        at_once: How many run at a time.
    """

    def __init__(self, answer: Answer, *, trials: float = math.inf, at_once: int = 1) -> None:
        super().__init__()
        self._answer = answer
        self._trials = trials
        self._at_once = at_once
        self._models: list[SampleSpace] = []
        self._running: list[SampleSpace] = []
        self._n_questions = 0

    @property
    def samples(self) -> list[Sample]:
        """What was submitted, oldest first."""
        return [dict(model.sample or {}) for model in self._models]

    def submit_models(self, *models: SampleSpace) -> None:
        """Begin trials."""
        self._n_questions = 0
        self._models += models
        self._running += models

    def wait_models(self, *models: SampleSpace) -> None:
        """End trials until these (or all) have ended."""
        while any(not model.status.completed() for model in models or self._running):
            self._end_one()

    def idle_worker_available(self) -> bool:
        """End a trial if no place is free."""
        self._count_question()
        while len(self._running) >= self._at_once:
            self._end_one()
        return True

    def budget_available(self) -> bool:
        """Return whether the budget is left."""
        self._count_question()
        return len(self._models) < self._trials

    def _count_question(self) -> None:
        self._n_questions += 1
        expect(self._n_questions < _MOST_QUESTIONS, f"no end, and no sample, after {len(self._models)} of them")

    def _end_one(self) -> None:
        model = self._running.pop()
        reward = self._answer(dict(model.sample or {}))
        if reward is not None:
            self.dispatch_model_event(FinalMetricEvent(model, reward))
        self.dispatch_model_event(
            TrainingEndEvent(model, ModelStatus.Failed if reward is None else ModelStatus.Trained)
        )

    def list_models(self, status: ModelStatus | None = None) -> Iterable[SampleSpace]:
        """Return the submitted models, oldest first."""
        return [model for model in self._models if status in (None, model.status)]


def play(
    strategy: Strategy,
    *,
    mutables: Mapping[str, Mutable] | None = None,
    answer: Answer = quality,
    trials: float = 30,
    at_once: int = 1,
    prepare: Callable[[Strategy], None] = lambda strategy: None,
) -> list[Sample]:
    """Run a strategy to its end, and return the samples that it proposed.

    Args:
        strategy: Fresh.
        mutables: Of the space; those of `SPACE` by default.
        answer: Gives the rewards.
        trials: The budget.
        at_once: How many trials run at a time.
        prepare: Called with the strategy between ``initialize`` and ``run``.
    """
    engine = PlayingEngine(answer, trials=trials, at_once=at_once)
    strategy.initialize(SampleSpace(space_of(SPACE) if mutables is None else mutables), engine)
    prepare(strategy)
    strategy.run()
    engine.wait_models()
    return engine.samples
