"""The engine behind nnictl: samples go to NNI's manager, results come back through an inbox."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import IntermediateMetricEvent, TrainingEndEvent
from nni.nas.space import ModelStatus

from autoad_nni.searches.spaces import SampleSpace

__all__ = ["QueueEngine", "SearchStopped"]


class SearchStopped(BaseException):
    """Unwinds the strategy's thread when the experiment stops; a BaseException, so no strategy swallows it."""


class QueueEngine(ExecutionEngine):  # type: ignore[misc]
    """Let a strategy thread and NNI's command thread meet.

    The command thread only fills the inbox. The strategy's thread empties it when it asks for a free worker, for
    budget, or waits for models: strategies are thus never called from two threads, and the order of events is
    that of the journal.

    Args:
        send: Sends (trial number, sample) to NNI's manager; called at most once a request.
        holds: Whether the inbox is left alone until `release`. NNI runs the open trials of the last session again at
            once: they can end before the strategy, in its replay, has come to propose them.
    """

    def __init__(self, send: Callable[[int, dict[str, Any]], None], *, holds: bool = False) -> None:
        super().__init__()
        self._send = send
        self._changed = threading.Condition()
        self._inbox: deque[Callable[[], None]] = deque()
        self._waiting: deque[SampleSpace] = deque()
        self._models: dict[int, SampleSpace] = {}
        self._n_requested = 0
        self._holds = holds
        self._stopped = False

    # Called from NNI's command thread.

    def request(self, count: int) -> None:
        """Take NNI's request for ``count`` more trials; a negative count takes back as many of the next ones."""
        with self._changed:
            self._n_requested += count
            self._send_waiting()
            self._changed.notify_all()

    def post(self, deliver: Callable[[], None]) -> None:
        """Have ``deliver`` called in the strategy's thread."""
        with self._changed:
            self._inbox.append(deliver)
            self._changed.notify_all()

    def stop(self) -> None:
        """End the search: the strategy's next call raises SearchStopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # Called from the strategy's thread.

    def release(self) -> None:
        """Empty the inbox from now on: the models of the last session are adopted."""
        self._holds = False

    def adopt(self, model: SampleSpace) -> None:
        """Take over a model that NNI's manager runs already."""
        self._models[self._id(model)] = model
        model.status = ModelStatus.Training

    def submit_models(self, *models: SampleSpace) -> None:
        """Queue models; each is sent when NNI asks for a trial."""
        with self._changed:
            for model in models:
                self.adopt(model)
                self._waiting.append(model)
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._n_requested > 0 and self._waiting:
            self._n_requested -= 1
            model = self._waiting.popleft()
            assert model.sample is not None
            self._send(self._id(model), model.sample)

    @staticmethod
    def _id(model: SampleSpace) -> int:
        assert model.trial_id is not None
        return model.trial_id

    def report(self, trial_id: int, value: float) -> None:
        """Report an intermediate result to the strategy."""
        model = self._models.get(trial_id)
        if model is not None and not model.status.completed():
            self.dispatch_model_event(IntermediateMetricEvent(model, value))

    def end(self, trial_id: int, succeeded: bool) -> None:
        """Report to the strategy that a trial ended."""
        model = self._models.get(trial_id)
        if model is not None and not model.status.completed():
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained if succeeded else ModelStatus.Failed))

    def model(self, trial_id: int) -> SampleSpace | None:
        """Return the model of a trial, or None for a trial that this search did not submit."""
        return self._models.get(trial_id)

    def _deliver(self, until: Callable[[], bool]) -> None:
        """Empty the inbox, unless it is left alone, then go on waiting until ``until()`` holds."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or (self._inbox and not self._holds) or until())
                if self._stopped:
                    raise SearchStopped
                if self._holds or not self._inbox:
                    return
                deliver = self._inbox.popleft()
            deliver()

    def wait_models(self, *models: SampleSpace) -> None:
        """Wait until these (or all) models ended."""
        awaited = models or tuple(self._models.values())
        self._deliver(until=lambda: all(model.status.completed() for model in awaited))

    def idle_worker_available(self) -> bool:
        """Wait for a free worker, so that no strategy polls for one every second; always return True."""
        self._deliver(until=lambda: self._n_requested > len(self._waiting))
        return True

    def budget_available(self) -> bool:
        """Return True: NNI's manager keeps the budget, and stops asking for trials when it is used up."""
        if self._stopped:
            raise SearchStopped
        return True

    def list_models(self, status: ModelStatus | None = None) -> Iterable[SampleSpace]:
        """Return the models of this session."""
        return [model for model in self._models.values() if status is None or model.status == status]

    def shutdown(self) -> None:
        """Same as `stop`."""
        self.stop()
