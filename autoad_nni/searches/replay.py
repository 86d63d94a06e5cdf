"""Makes any NNI strategy resumable: records what it sees, and shows it the same again."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.engine import Middleware
from nni.nas.execution.event import FinalMetricEvent, ModelEventType, TrainingEndEvent
from nni.nas.space import ModelStatus

from autoad_nni.errors import AutoADError
from autoad_nni.searches.journal import Journal
from autoad_nni.searches.spaces import SampleSpace
from autoad_nni.storing import StorageError
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

__all__ = ["JournalMiddleware", "ReplayDiffers"]

TrialListener = Callable[[TrialRecord, bool], None]
"""Called with the record of a trial that has ended, and whether it is replayed from the journal."""

_REPLAYED = ("submit", "end")
_MOST_ATTEMPTS = 2
_ENDED_THE_PROCESS = (
    "The process ended twice while it ran, without an error: a plugin ended it, or it hung or took too much memory."
)


class ReplayDiffers(BaseException):
    """Unwinds a strategy that proposes something else than is recorded; a BaseException, so none swallows it."""


class JournalMiddleware(Middleware):  # type: ignore[misc]
    """Stands between a strategy and an engine, writes the journal, and replays it on resume.

    A strategy that starts with recorded events proposes its samples as in the first session (same seed); each is
    answered from the journal, in the recorded order, without running anything. When the record is used up, the
    models still open go to the engine and the search is live. All events reach the strategy in the thread that
    calls the engine, so the order is the same both times.

    A strategy whose state at some point of the journal is known goes on from there (`restore`). One that proposes
    another sample than is recorded is given up; the record stands (`leave_record`), and another strategy goes on. What
    that one proposes is answered from the record where it can be, once for each recorded trial.

    Args:
        engine: Runs the models.
        journal: Where events are read from and written to.
        max_trials: Submissions after which the budget is used up; None for no limit.
        on_end: Called with (record, replayed) whenever a trial has ended.
        reopen: Takes the models that were open when the last session ended; default: submits them again, but for those
            that have begun twice and ended the process each time: they count as crashed.

    Raises:
        ReplayDiffers: From `submit_models`, if the strategy proposes another sample than the recorded one; from
            `wait_models`, if it waits where it proposed one; from `end_replay`, if it ended before the record did.
        AutoADError: What `abort` was given.
    """

    def __init__(
        self,
        engine: ExecutionEngine,
        journal: Journal,
        *,
        max_trials: int | None = None,
        on_end: TrialListener | None = None,
        reopen: Callable[[list[SampleSpace]], None] | None = None,
    ) -> None:
        self._journal = journal
        self._recorded = deque(event for event in journal.recorded if event["event"] in _REPLAYED)
        self._replaying = bool(self._recorded)
        self._max_trials = max_trials
        self._on_end = on_end
        self._reopen = reopen or self._run_open
        self._models: dict[int, SampleSpace] = {}
        self._records: dict[int, TrialRecord] = {}
        self._ended: set[int] = set()
        self._answers: dict[str, deque[TrialRecord]] = {}
        self._beyond_budget: set[int | None] = set()
        self._fault: AutoADError | None = None
        super().__init__(engine)

    def set_engine(self, engine: ExecutionEngine) -> None:
        """Listen first, so the journal knows of a result before the strategy does."""
        super().set_engine(engine)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._record_end)

    @property
    def n_submitted(self) -> int:
        """How many models the strategy has submitted, recorded ones included."""
        return len(self._models)

    @property
    def n_open(self) -> int:
        """How many submitted models have no result yet."""
        return len(self._models) - len(self._ended)

    @property
    def replaying(self) -> bool:
        """Whether recorded events are left."""
        return self._replaying

    @property
    def results(self) -> list[tuple[Mapping[str, Any], float | None]]:
        """Sample and reward of all that have ended, in the order of submission; None for one that crashed."""
        return [(model.sample or {}, model.metric) for number, model in self._models.items() if number in self._ended]

    def take(self, record: TrialRecord) -> None:
        """Take the record of a trial before its end is dispatched; the strategy sees its reward, if it has one."""
        self._records[record.number] = replace(record, known=self._models[record.number].known)
        if record.verdict is not Verdict.CRASHED:
            self.engine.dispatch_model_event(FinalMetricEvent(self._models[record.number], record.reward))

    def abort(self, fault: AutoADError) -> None:
        """End the search at the end of the running trial, which is not recorded: it runs again on resume.

        NNI's engine takes whatever a model raises for that model's failure, but lets through what its listeners raise.
        """
        self._fault = fault

    def submit_models(self, *models: SampleSpace) -> None:
        """Submit models, from the record while there is one."""
        for model in models:
            answers = self._answers.get(_key(model))
            if self._replaying:
                self._replay(model)
            elif answers:
                self._answer(model, answers.popleft())
            else:
                assert model.sample is not None
                self._journal.submitted(self._add(model), model.sample)
                self.engine.submit_models(model)

    def _add(self, model: SampleSpace) -> int:
        number = len(self._models)
        model.trial_id = number
        self._models[number] = model
        return number

    def restore(self, space: SampleSpace, n_events: int | None = None) -> None:
        """Take what is recorded as it is, without a strategy that proposes it.

        Args:
            space: Makes the models.
            n_events: How many events of the journal; None for all.
        """
        later = [] if n_events is None else self._journal.recorded[n_events:]
        n_left = sum(event["event"] in _REPLAYED for event in later)
        while len(self._recorded) > n_left:
            event = self._recorded.popleft()
            if event["event"] == "submit":
                model = space.recorded(event["sample"])
                self._add(model)
                model.status = ModelStatus.Training
            else:
                model, record = self._models[event["id"]], TrialRecord.from_json(event["record"])
                model.known = record.known
                self._end(model, record)
        self._replay_ends()

    def end_replay(self) -> None:
        """Raise ReplayDiffers if the strategy has ended before the record."""
        if self._replaying:
            raise ReplayDiffers

    def leave_record(self, space: SampleSpace) -> None:
        """Let the record stand as it is, and run to their end the models that were open.

        Args:
            space: Makes the models.
        """
        self.restore(space)
        self.wait_models()
        for number in sorted(self._ended):
            record = self._records[number]
            self._answers.setdefault(_key(self._models[number]), deque()).append(record)

    def _answer(self, model: SampleSpace, record: TrialRecord) -> None:
        """Give a strategy the result of a trial that it did not see."""
        model.trial_id, model.known = record.number, record.known
        self._models[record.number] = model
        self._end(model, record)

    def _replay(self, model: SampleSpace) -> None:
        recorded = self._recorded[0]
        if recorded["event"] != "submit" or recorded["sample"] != model.sample:
            raise ReplayDiffers
        self._recorded.popleft()
        self._add(model)
        model.status = ModelStatus.Training
        self._replay_ends()

    def _replay_ends(self) -> None:
        """Give the results that came before the next submission; after the last event, run what is open."""
        while self._recorded and self._recorded[0]["event"] == "end":
            event = self._recorded.popleft()
            self._end(self._models[event["id"]], TrialRecord.from_json(event["record"]))
        if not self._recorded:
            self._go_live()

    def _go_live(self) -> None:
        """Run to their end the models that were open; also if there are none, as engines wait for it."""
        self._replaying = False
        still_open = [model for number, model in self._models.items() if number not in self._ended]
        for model in still_open:
            model.status = ModelStatus.Frozen
        n_left = len(still_open)
        if self._max_trials is not None:  # a smaller maximum than there are submissions: the newest stay open
            n_left = max(0, self._max_trials - (len(self._models) - len(still_open)))
        self._beyond_budget = {model.trial_id for model in still_open[n_left:]}
        self._reopen(still_open[:n_left])

    def _run_open(self, models: list[SampleSpace]) -> None:
        for model in models:
            # Waits where others still run: what is submitted counts as begun.
            self.engine.idle_worker_available()
            self.run_again(model)

    def run_again(self, model: SampleSpace) -> None:
        """Submit a model again whose trial has no end; one that ended its process twice has crashed."""
        assert model.trial_id is not None and model.sample is not None
        if self._journal.attempts(model.trial_id) < _MOST_ATTEMPTS:
            self._journal.begun_again(model.trial_id)
            self.engine.submit_models(model)
        else:
            self._end(model, TrialRecord.crashed(model.trial_id, model.sample, _ENDED_THE_PROCESS))

    def _end(self, model: SampleSpace, record: TrialRecord) -> None:
        self.take(record)
        status = ModelStatus.Failed if record.verdict is Verdict.CRASHED else ModelStatus.Trained
        self.engine.dispatch_model_event(TrainingEndEvent(model, status))

    def _record_end(self, event: TrainingEndEvent) -> None:
        model = event.model
        if model.trial_id in self._ended:
            return  # answered from the record
        if event.status not in (ModelStatus.Trained, ModelStatus.Failed) or self._fault is not None:
            # It runs again on resume. Should the disk be full, it counts as one that ended the process.
            with contextlib.suppress(StorageError):
                self._journal.stopped(model.trial_id)
            if self._fault is not None:
                raise self._fault
            return
        record = self._records.get(model.trial_id)
        if record is None:
            record = TrialRecord.crashed(model.trial_id, model.sample, "It ended without a result.", known=model.known)
            self._records[model.trial_id] = record
        if not self._replaying:
            self._journal.ended(record)
        self._ended.add(model.trial_id)
        if self._on_end is not None:
            self._on_end(record, self._replaying)

    def wait_models(self, *models: SampleSpace) -> None:
        """Wait until these (or all) models ended, but for those that a smaller budget leaves open."""
        awaited = [
            model for model in models or tuple(self._models.values()) if model.trial_id not in self._beyond_budget
        ]
        if self._replaying and not all(model.status.completed() for model in awaited):
            raise ReplayDiffers  # when this was recorded, it submitted another one first
        if awaited:
            self.engine.wait_models(*awaited)

    def idle_worker_available(self) -> bool:
        """Return whether a model submitted now would run at once."""
        return self._replaying or bool(self.engine.idle_worker_available())

    def budget_available(self) -> bool:
        """Return whether another model may be submitted; recorded ones always may, also more than ``max_trials``."""
        if self._replaying:
            return True
        enough = self._max_trials is not None and len(self._models) >= self._max_trials
        return not enough and bool(self.engine.budget_available())

    def list_models(self, status: ModelStatus | None = None) -> Iterable[SampleSpace]:
        """Return the submitted models, oldest first."""
        return [model for model in self._models.values() if status is None or model.status == status]

    def register_model_event_callback(self, event_type: ModelEventType, callback: Callable[..., None]) -> None:
        """Register at the engine, behind the journal."""
        self.engine.register_model_event_callback(event_type, callback)

    def unregister_model_event_callback(self, event_type: ModelEventType, callback: Callable[..., None]) -> None:
        """Unregister at the engine."""
        self.engine.unregister_model_event_callback(event_type, callback)

    def shutdown(self) -> None:
        """Shut the engine down."""
        self.engine.shutdown()


def _key(model: SampleSpace) -> str:
    return json.dumps(model.sample, sort_keys=True)
