from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import nni
import pytest
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.execution.event import IntermediateMetricEvent, ModelEventType
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy import Random
from nni.nas.strategy.middleware import Chain, Deduplication, FailureHandler, MedianStop, StrategyMiddleware
from tiny_space import evaluate_or_fail, quality, quality_of, run_for_real

from autoad_nni_strategies import AutoADStrategy


def test_runs_inside_nni_s_chain() -> None:
    strategy = AutoADStrategy(seed=0)
    chain = Chain(strategy, Deduplication("invalid"), FailureHandler(metric=-1.0))
    models = run_for_real(chain, trials=12, function=evaluate_or_fail)
    assert len(models) == 12
    assert {model.metric for model in models if model.status is ModelStatus.Failed} <= {-1.0}
    assert len(strategy.state_dict()["tried"]) == 12


class Killed(Exception):
    pass


class KillingEngine(SequentialExecutionEngine):  # type: ignore[misc]
    """No engine of NNI's can do what MedianStop asks for."""

    def kill_model(self, model: ExecutableModelSpace) -> None:
        raise Killed  # through the trial's report of its intermediate result


class RepairedMedianStop(MedianStop):  # type: ignore[misc]
    """NNI's decision, with what it lacks: the constructor, the way on to the engine, and patience at the start."""

    def __init__(self) -> None:
        StrategyMiddleware.__init__(self)
        self._intermediates_history = defaultdict(list)

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        self.engine.submit_models(*models)

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        return self.engine.list_models(status)  # type: ignore[no-any-return]

    def register_model_event_callback(self, event_type: ModelEventType, callback: Callable[..., None]) -> None:
        self.engine.register_model_event_callback(event_type, callback)

    def unregister_model_event_callback(self, event_type: ModelEventType, callback: Callable[..., None]) -> None:
        self.engine.unregister_model_event_callback(event_type, callback)

    def handle_intermediate(self, event: IntermediateMetricEvent) -> None:
        reported = len(event.model.metrics.intermediates)
        if reported and self._intermediates_history[reported]:
            super().handle_intermediate(event)


def evaluate_in_three_epochs(model: Any) -> None:
    final = quality_of(model)
    for epoch in (1, 2, 3):
        nni.report_intermediate_result(final * epoch / 3)
    nni.report_final_result(final)


def test_runs_inside_nni_s_chain_on_intermediate_results() -> None:
    strategy = AutoADStrategy(seed=0)
    chain = Chain(strategy, Deduplication("invalid"), FailureHandler(metric=-1.0), RepairedMedianStop())
    models = run_for_real(chain, trials=15, function=evaluate_in_three_epochs, engine=KillingEngine)
    killed = [model for model in models if model.status is ModelStatus.Failed]
    assert len(models) == 15 and 0 < len(killed) < 15
    assert all(len(model.metrics.intermediates) < 3 and model.metric == -1.0 for model in killed)
    assert max(quality(**model.sample) for model in killed) < max(model.metric for model in models)
    tried = {tuple(action): reward for action, reward in strategy.state_dict()["tried"]}
    assert len(tried) == 15 and list(tried.values()).count(-1.0) == len(killed)


@pytest.mark.parametrize("strategy", [AutoADStrategy, Random])
def test_nni_s_own_median_stop_fails_in_every_chain(strategy: Callable[[], Any]) -> None:
    """Should this fail, NNI was repaired: what docs/nni.md says of it, and RepairedMedianStop, can go."""
    chain = Chain(strategy(), Deduplication("invalid"), FailureHandler(metric=-1.0), MedianStop())
    with pytest.raises(AttributeError, match="'MedianStop' object has no attribute '_engine'"):
        run_for_real(chain, trials=2)
