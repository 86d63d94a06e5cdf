"""An NNI execution engine that answers at once, from recorded results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus

__all__ = ["SimulatedEngine"]


class SimulatedEngine(ExecutionEngine):  # type: ignore[misc]
    """Ends each trial within ``submit_models``, with the events that NNI's own engines dispatch.

    Args:
        answer: Returns the reward of a sample.
        trials: The budget.

    Attributes:
        rewards: In the order of submission.
        seconds: Processor time of the answers; the rest of a search is the strategy's own.
    """

    def __init__(self, answer: Callable[[Mapping[str, Any]], float], trials: int) -> None:
        super().__init__()
        self._answer = answer
        self._trials = trials
        self._models: list[ExecutableModelSpace] = []
        self.rewards: list[float] = []
        self.seconds = 0.0

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        """Give each model its reward.

        Raises:
            RuntimeError: If the strategy submits more than the budget.
        """
        for model in models:
            if not self.budget_available():
                raise RuntimeError(f"the strategy submits a model after the budget of {self._trials} trials is used up")
            started = time.process_time()
            reward = self._answer(model.sample)
            self.seconds += time.process_time() - started
            self._models.append(model)
            self.rewards.append(reward)
            model.status = ModelStatus.Training
            self.dispatch_model_event(FinalMetricEvent(model, reward))
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))

    def wait_models(self, *models: ExecutableModelSpace) -> None:
        """Return at once: every submitted model has ended."""

    def idle_worker_available(self) -> bool:
        """Return true: no model runs longer than its submission."""
        return True

    def budget_available(self) -> bool:
        """Return whether another model may be submitted."""
        return len(self._models) < self._trials

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        """Return the submitted models, or those with this status."""
        return [model for model in self._models if status in (None, model.status)]
