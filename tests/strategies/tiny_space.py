"""A small NNI model space with a known optimum, an engine that plays trials, and a run in one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("NNI_FRAMEWORK", "none")

import nni
from lifo_engine import LifoEngine
from nni.mutable import Categorical, Mutable, MutableDict
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from nni.nas.execution.event import FinalMetricEvent
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, MutableDropout, MutableLinear
from nni.nas.space import ExecutableModelSpace, RawFormatModelSpace
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


class PlayedEngine(LifoEngine):
    """Answers from a function; None is a failed trial."""

    def __init__(self, answer: Callable[[Sample], float | None], trials: int, concurrency: int = 1) -> None:
        super().__init__(trials=trials, concurrency=concurrency)
        self.answer = answer

    @property
    def samples(self) -> list[Sample]:
        return [model.sample for model in self.models]

    def execute(self, model: ExecutableModelSpace) -> bool:
        metric = self.answer(model.sample)
        if metric is not None:
            self.dispatch_model_event(FinalMetricEvent(model, metric))
        return metric is not None


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
