"""A small NNI model space with a known optimum, an engine that plays trials, and a run in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("NNI_FRAMEWORK", "none")

import nni
from nni.mutable import Categorical, Mutable, MutableDict
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, MutableDropout, MutableLinear
from nni.nas.space import ExecutableModelSpace, ModelStatus, RawFormatModelSpace
from torch import nn

from autoad_nni_strategies import AutoADStrategy

Sample = dict[str, Any]


class TinySpace(ModelSpace):  # type: ignore[misc]
    """24 models; the best is 8 wide, drops 0.25 and has a tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = MutableLinear(4, Categorical([2, 4, 8, 16], label="width"))
        self.dropout = MutableDropout(Categorical([0.0, 0.25, 0.5], label="drop"))
        self.activation = LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, label="activation")


BEST = {"width": 8, "drop": 0.25, "activation": "tanh"}


def quality(width: int, drop: float, activation: str) -> float:
    return {2: 0.0, 4: 0.3, 8: 0.5, 16: 0.4}[width] + (0.3 if drop == 0.25 else 0.0) + 0.2 * (activation == "tanh")


def quality_of(model: Any) -> float:
    activation = "tanh" if isinstance(model.activation, nn.Tanh) else "relu"
    return quality(model.linear.out_features, model.dropout.p, activation)


def evaluate(model: Any) -> None:
    nni.report_final_result(quality_of(model))


def evaluate_or_fail(model: Any) -> None:
    if model.linear.out_features == 16:
        raise RuntimeError("out of memory")
    evaluate(model)


def run_for_real(
    strategy: Any,
    trials: int,
    function: Callable[[Any], None] = evaluate,
    engine: Callable[..., ExecutionEngine] = SequentialExecutionEngine,
) -> list[ExecutableModelSpace]:
    """Runs on NNI's own engine, evaluator and model space."""
    made = engine(max_model_count=trials, continue_on_failure=True)
    strategy(RawFormatModelSpace(TinySpace(), FunctionalEvaluator(function)), made)
    return list(made.list_models())


def grid_space(*sizes: int, **more: Mutable) -> RawFormatModelSpace:
    """Choices c0, c1, ... among 0 ... size - 1, and whatever else is given."""
    choices = {f"c{i}": Categorical(range(size), label=f"c{i}") for i, size in enumerate(sizes)}
    return RawFormatModelSpace(MutableDict({**choices, **more}), None)


class PlayedEngine(ExecutionEngine):  # type: ignore[misc]
    """Answers from a function; a None is a failed trial. Trials end only when waited for, the newest first."""

    def __init__(self, answer: Callable[[Sample], float | None], trials: int, concurrency: int = 1) -> None:
        super().__init__()
        self.answer = answer
        self.trials = trials
        self.concurrency = concurrency
        self.models: list[ExecutableModelSpace] = []
        self.running: list[ExecutableModelSpace] = []
        self.at_once = 0

    @property
    def samples(self) -> list[Sample]:
        return [model.sample for model in self.models]

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        self.models.extend(models)
        self.running.extend(models)
        self.at_once = max(self.at_once, len(self.running))

    def wait_models(self, *models: ExecutableModelSpace) -> None:
        while self.running:
            self._end_one()

    def idle_worker_available(self) -> bool:
        if len(self.running) == self.concurrency:
            self._end_one()
        return True

    def budget_available(self) -> bool:
        return len(self.models) < self.trials

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        return [model for model in self.models if status in (None, model.status)]

    def _end_one(self) -> None:
        model = self.running.pop()
        metric = self.answer(model.sample)
        if metric is not None:
            self.dispatch_model_event(FinalMetricEvent(model, metric))
        status = ModelStatus.Failed if metric is None else ModelStatus.Trained
        self.dispatch_model_event(TrainingEndEvent(model, status))


def play(
    answer: Callable[[Sample], float | None],
    trials: int,
    space: RawFormatModelSpace,
    *,
    concurrency: int = 1,
    state: dict[str, Any] | None = None,
    **arguments: Any,
) -> tuple[AutoADStrategy, list[Sample]]:
    """Searches ``space`` with the given arguments, from ``state`` if given; returns strategy and samples."""
    strategy = AutoADStrategy(**arguments)
    engine = PlayedEngine(answer, trials, concurrency)
    strategy.initialize(space, engine)
    if state is not None:
        strategy.load_state_dict(state)
    strategy.run()
    return strategy, engine.samples
