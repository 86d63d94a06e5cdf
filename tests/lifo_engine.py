"""An NNI engine whose trials end in another order than they were submitted in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

os.environ.setdefault("NNI_FRAMEWORK", "none")

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus

__all__ = ["LifoEngine"]


class LifoEngine(ExecutionEngine):  # type: ignore[misc]
    """Executes a few models at a time; one ends when its place is needed or it is waited for, the newest first."""

    def __init__(self, *, trials: float = math.inf, concurrency: int = 2) -> None:
        super().__init__()
        self.trials = trials
        self.concurrency = concurrency
        self.models: list[ExecutableModelSpace] = []
        self.running: list[ExecutableModelSpace] = []
        self.at_once = 0

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

    def execute(self, model: ExecutableModelSpace) -> bool:
        """Run a trial; return whether it succeeded."""
        try:
            model.execute()
        except RuntimeError:
            return False
        return True

    def _end_one(self) -> None:
        model = self.running.pop()
        status = ModelStatus.Trained if self.execute(model) else ModelStatus.Failed
        self.dispatch_model_event(TrainingEndEvent(model, status))
