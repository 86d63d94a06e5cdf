"""A search over 36 samples, with or without a journal on disk: real strategies, real engines, an arithmetic trial."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import nni.nas.strategy.hpo
from nni.mutable import Categorical
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from nni.nas.execution.event import TrainingEndEvent
from nni.nas.space import ModelStatus

from autoad_nni.registry import STRATEGIES
from autoad_nni.search.journal import Journal
from autoad_nni.search.replay import JournalMiddleware
from autoad_nni.search.spaces import SampleSpace

Sample = Mapping[str, Any]
VALUES: dict[str, list[Any]] = {"width": [2, 4, 8], "drop": [0.0, 0.25, 0.5], "act": ["relu", "tanh"], "deep": [1, 2]}

# Small enough for a dozen trials to leave the random phase of each strategy.
STRATEGY_ARGS: dict[str, dict[str, Any]] = {
    "autoad": {"batch_size": 3, "learning_rate": 0.2},
    "random": {},
    "grid_search": {},
    "regularized_evolution": {"population_size": 4, "sample_size": 2, "mutation_prob": 0.4},
    "tpe": {"tpe_args": {"n_startup_jobs": 3}},
}


def quality(sample: Sample) -> float:
    if sample["width"] == 4 and sample["act"] == "tanh":
        raise RuntimeError("out of memory")
    return 0.1 * sample["width"] + sample["drop"] + 0.3 * (sample["act"] == "relu") + 0.01 * sample["deep"]


class Killed(KeyboardInterrupt):
    """Stops a sitting in the middle of a trial, leaving the journal as a kill does."""


class LifoEngine(ExecutionEngine):
    """Two trials at a time, the newest ends first: results come in another order than submissions."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[SampleSpace] = []

    def submit_models(self, *models: SampleSpace) -> None:
        self.running += models

    def idle_worker_available(self) -> bool:
        while len(self.running) > 1:
            self._end_one()
        return True

    def wait_models(self, *models: SampleSpace) -> None:
        while self.running:
            self._end_one()

    def budget_available(self) -> bool:
        return True

    def list_models(self, status: ModelStatus | None = None) -> Iterable[SampleSpace]:
        return []

    def _end_one(self) -> None:
        model = self.running.pop()
        try:
            model.execute()
            status = ModelStatus.Trained
        except RuntimeError:
            status = ModelStatus.Failed
        self.dispatch_model_event(TrainingEndEvent(model, status))


class Sitting:
    """One process's part of a search: fresh strategy, space and engine on the journal that is there."""

    def __init__(
        self,
        path: Path,
        strategy: str,
        *,
        trials: int | None,
        seed: int = 0,
        answer: Callable[[Sample], float] = quality,
        engine: Callable[[], ExecutionEngine] = lambda: SequentialExecutionEngine(continue_on_failure=True),
    ) -> None:
        self.executed: list[int] = []
        """Trials that were really run, by number."""
        self.ended: list[tuple[int, bool]] = []
        """(trial, whether it came from the record), in the order in which the listener heard of it."""

        def evaluate(model: SampleSpace) -> None:
            self.executed.append(model.trial_id)
            self.middleware.report_metrics(model, {"default": answer(model.sample), "verdict": "ok"})

        self.middleware = JournalMiddleware(
            engine(),
            Journal(path, {"strategy": strategy}),
            max_trials=trials,
            on_end=lambda model, metrics, recorded: self.ended.append((model.trial_id, recorded)),
        )
        mutables = {label: Categorical(values, label=label) for label, values in VALUES.items()}
        chosen = STRATEGIES.load(strategy)(seed=seed, **STRATEGY_ARGS[strategy])
        # NNI's TPE sleeps one second per trial.
        with patch.object(nni.nas.strategy.hpo, "time", SimpleNamespace(sleep=lambda seconds: None)):
            chosen(SampleSpace(mutables, evaluate), self.middleware)
        self.middleware.wait_models()

    @property
    def outcomes(self) -> list[tuple[dict[str, Any], float | None]]:
        """Sample and reward of every model, as the strategy saw them."""
        return [(model.sample, model.metric) for model in self.middleware.list_models()]


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def stop_after(n_trials: int) -> Callable[[Sample], float]:
    """An answer that is killed in the middle of trial ``n_trials``."""
    left = iter(range(n_trials))

    def answer(sample: Sample) -> float:
        if next(left, None) is None:
            raise Killed
        return quality(sample)

    return answer
