"""NNI's execution engine on top of workers: results are handed back in the order in which trials end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import TrainingEndEvent
from nni.nas.space import ModelStatus

from autoad_nni.engines.workers.messages import AtRung, Order, Outcome, pause_s
from autoad_nni.engines.workers.pool import Lost, Worker
from autoad_nni.errors import AutoADError
from autoad_nni.searches.spaces import SampleSpace

__all__ = ["TrialKeeper", "WorkerEngine"]

_SHARE = 0.01


class TrialKeeper(Protocol):
    """What a search does with its trials."""

    def order(self, model: SampleSpace) -> Order:
        """Return what a worker is to run, now."""

    def goes_on(self, model: SampleSpace, at: AtRung) -> bool:
        """Return whether a trial goes on."""

    def ended(self, model: SampleSpace, outcome: Outcome, worker: Worker) -> bool | None:
        """Take how a trial ended; return whether it succeeded, or None if it is not recorded, as the time is up."""

    def lost(self, model: SampleSpace, lost: Lost) -> None:
        """Submit a trial again whose worker ended, or let it count as crashed."""

    def stopped(self, model: SampleSpace) -> None:
        """Note that a trial is stopped on purpose."""


class WorkerEngine(ExecutionEngine):  # type: ignore[misc]  # nni ships no types
    """Gives models to workers that are free.

    Everything happens in the thread that calls it, when a strategy asks for a free worker or waits for models: so the
    order of events is that of the journal.

    Args:
        workers: Run the trials.
        keeper: Says what to run, and takes what comes of it.
        seconds_left: Says how long trials may still run.
        time_is_up: Raised when the search has no time left for a trial, and no other trial runs any more.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        keeper: TrialKeeper,
        seconds_left: Callable[[], float],
        time_is_up: AutoADError,
    ) -> None:
        super().__init__()
        self._workers = workers
        self._keeper = keeper
        self._seconds_left = seconds_left
        self._time_is_up = time_is_up
        self._ends = False
        self._models: list[SampleSpace] = []
        self._queue: deque[SampleSpace] = deque()
        self._running: dict[str, SampleSpace] = {}

    def submit_models(self, *models: SampleSpace) -> None:
        """Queue models; each is run by the next worker that is free."""
        for model in models:
            model.status = ModelStatus.Training
            self._models.append(model)
            self._queue.append(model)
        self._hand_out()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._queue and worker.is_free and not self._ends:
                model = self._queue.popleft()
                self._running[worker.name] = model
                worker.give(self._keeper.order(model))

    def idle_worker_available(self) -> bool:
        """Wait for a free worker, so that no strategy polls for one every second; always return True."""
        self._wait(lambda: sum(worker.is_free for worker in self._workers) > len(self._queue) or not self._has_time())
        return True

    def _has_time(self) -> bool:
        return self._seconds_left() > 0

    def wait_models(self, *models: SampleSpace) -> None:
        """Wait until these (or all) models ended."""
        awaited = models or tuple(self._models)
        self._wait(lambda: all(model.status.completed() for model in awaited))

    def _wait(self, is_enough: Callable[[], bool]) -> None:
        changed = time.monotonic()
        while True:
            if self._look():
                changed = time.monotonic()
            self._hand_out()
            if self._queue and not self._running and not self._has_time():
                self._ends = True
            if self._ends and not self._running:
                raise self._time_is_up
            if not self._ends and is_enough():
                return
            time.sleep(pause_s(time.monotonic() - changed, _SHARE))

    def _look(self) -> bool:
        """Take what workers have done; return whether there was anything."""
        found = False
        for worker in self._workers:
            news = worker.look()
            if news is None:
                continue
            found = True
            if isinstance(news, AtRung):
                worker.reply(news.rung, goes_on=self._keeper.goes_on(self._running[worker.name], news))
                continue
            model = self._running.pop(worker.name)
            if isinstance(news, Lost):
                self._keeper.lost(model, news)
            else:
                self._take(model, news, worker)
        return found

    def _take(self, model: SampleSpace, outcome: Outcome, worker: Worker) -> None:
        succeeded = self._keeper.ended(model, outcome, worker)
        if succeeded is None:
            self._keeper.stopped(model)
            self._ends = True
            return
        status = ModelStatus.Trained if succeeded else ModelStatus.Failed
        self.dispatch_model_event(TrainingEndEvent(model, status))

    def budget_available(self) -> bool:
        """Return whether another trial may start."""
        return not self._ends and self._has_time()

    def list_models(self, status: ModelStatus | None = None) -> Iterable[SampleSpace]:
        """Return the models of this session."""
        return [model for model in self._models if status is None or model.status == status]

    def shutdown(self) -> None:
        """End the workers; trials that have not ended are stopped."""
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.kill()
        for model in [*self._running.values(), *self._queue]:
            self._keeper.stopped(model)
        self._running.clear()
        self._queue.clear()
