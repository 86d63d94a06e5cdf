"""Share of the workers' time in which trials run, in simulated time: what the strategy's waiting costs, nothing else.

Usage: python benchmarks/busy.py

Durations of trials are log-normal (sigma 0.7). The strategy's own time does not count.
"""

from __future__ import annotations

import heapq
import os
import random
from typing import Any

os.environ.setdefault("NNI_FRAMEWORK", "none")

from nni.mutable import Categorical, MutableDict
from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ModelStatus, RawFormatModelSpace

from autoad_nni.registry import STRATEGIES

TRIALS, SEEDS = 60, range(4)


class SimulatedEngine(ExecutionEngine):  # type: ignore[misc]
    def __init__(self, n_workers: int, seed: int) -> None:
        super().__init__()
        self.n_workers = n_workers
        self.draw = random.Random(seed)
        self.now = self.busy = 0.0
        self.running: list[tuple[float, int, Any]] = []
        self.models: list[Any] = []

    def submit_models(self, *models: Any) -> None:
        for model in models:
            seconds = self.draw.lognormvariate(0, 0.7)
            self.busy += seconds
            heapq.heappush(self.running, (self.now + seconds, len(self.models), model))
            self.models.append(model)

    def end_one(self) -> None:
        self.now, _, model = heapq.heappop(self.running)
        self.dispatch_model_event(FinalMetricEvent(model, -float(sum(model.sample.values()))))
        self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))

    def idle_worker_available(self) -> bool:
        while len(self.running) >= self.n_workers:
            self.end_one()
        return True

    def wait_models(self, *models: Any) -> None:
        while any(not model.status.completed() for model in models or self.models):
            self.end_one()

    def budget_available(self) -> bool:
        return len(self.models) < TRIALS

    def list_models(self, status: ModelStatus | None = None) -> list[Any]:
        return [model for model in self.models if status in (None, model.status)]


def share(strategy: str, n_workers: int, seed: int) -> float:
    choices = MutableDict({label: Categorical(range(6), label=label) for label in "abcde"})
    engine = SimulatedEngine(n_workers, seed)
    STRATEGIES.load(strategy)(seed=seed)(RawFormatModelSpace(choices, None), engine)
    engine.wait_models()
    return engine.busy / (n_workers * engine.now)


def main() -> None:
    for strategy in ("autoad", "grid_search"):
        for n_workers in (1, 2, 4):
            shares = [share(strategy, n_workers, seed) for seed in SEEDS]
            print(f"{strategy:<12} {n_workers} workers: {sum(shares) / len(shares):.3f} busy", flush=True)


if __name__ == "__main__":
    main()
