"""Makes any NNI strategy resumable: records what it sees, and shows it the same again."""

from __future__ import annotations

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
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

__all__ = ["JournalMiddleware"]

TrialListener = Callable[[TrialRecord, bool], None]
"""Called with the record of a trial that has ended, and whether it is replayed from the journal."""


class JournalMiddleware(Middleware):  # type: ignore[misc]
    """Stands between a strategy and an engine, writes the journal, and replays it on resume.

    A strategy that starts with recorded events proposes its samples as in the first session (same seed); each is
    answered from the journal, in the recorded order, without running anything. When the record is used up, the
    models still open go to the engine and the search is live. All events reach the strategy in the thread that
    calls the engine, so the order is the same both times.

    Args:
        engine: Runs the models.
        journal: Where events are read from and written to.
        max_trials: Submissions after which the budget is used up; None for no limit.
        on_end: Called with (record, replayed) whenever a trial has ended.
        reopen: Takes the models that were open when the last session ended; default: submits them again.

    Raises:
        AutoADError: From `submit_models`, if the strategy proposes another sample than the recorded one. Also
            what `abort` was given.
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
        self._recorded = deque(journal.recorded)
        self._replaying = bool(self._recorded)
        self._max_trials = max_trials
        self._on_end = on_end
        self._reopen = reopen or (lambda models: engine.submit_models(*models))
        self._models: dict[int, SampleSpace] = {}
        self._records: dict[int, TrialRecord] = {}
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
        return sum(not model.status.completed() for model in self._models.values())

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
            model.trial_id = len(self._models)
            self._models[model.trial_id] = model
            if self._replaying:
                self._replay(model)
            else:
                assert model.sample is not None
                self._journal.submitted(model.trial_id, model.sample)
                self.engine.submit_models(model)

    def _replay(self, model: SampleSpace) -> None:
        recorded = self._recorded.popleft()
        if recorded["id"] != model.trial_id or recorded["sample"] != model.sample:
            raise AutoADError(
                f"{self._journal.path}: the strategy proposes another sample for trial {model.trial_id} than it did "
                "when this was recorded. Expected the same seed and the same versions of autoad-nni, nni and torch. "
                "Restore those versions, or start anew with another output folder."
            )
        model.status = ModelStatus.Training
        while self._recorded and self._recorded[0]["event"] == "end":
            self._replay_end(self._recorded.popleft())
        if not self._recorded:
            self._replaying = False
            self._reopen_open_models()

    def _reopen_open_models(self) -> None:
        still_open = [model for model in self._models.values() if not model.status.completed()]
        for model in still_open:
            model.status = ModelStatus.Frozen
        n_left = len(still_open)
        if self._max_trials is not None:  # a smaller maximum than there are submissions: the newest stay open
            n_left = max(0, self._max_trials - (len(self._models) - len(still_open)))
        self._beyond_budget = {model.trial_id for model in still_open[n_left:]}
        self._reopen(still_open[:n_left])

    def _replay_end(self, event: Mapping[str, Any]) -> None:
        record = TrialRecord.from_json(event["record"])
        self.take(record)
        status = ModelStatus.Failed if record.verdict is Verdict.CRASHED else ModelStatus.Trained
        self.engine.dispatch_model_event(TrainingEndEvent(self._models[event["id"]], status))

    def _record_end(self, event: TrainingEndEvent) -> None:
        if event.status not in (ModelStatus.Trained, ModelStatus.Failed):
            return  # interrupted: it runs again on resume
        if self._fault is not None:
            raise self._fault
        model = event.model
        record = self._records.get(model.trial_id)
        if record is None:
            record = TrialRecord.crashed(model.trial_id, model.sample, "It ended without a result.", known=model.known)
        if not self._replaying:
            self._journal.ended(record)
        if self._on_end is not None:
            self._on_end(record, self._replaying)

    def wait_models(self, *models: SampleSpace) -> None:
        """Wait until these (or all) models ended, but for those that a smaller budget leaves open."""
        awaited = [
            model for model in models or tuple(self._models.values()) if model.trial_id not in self._beyond_budget
        ]
        if awaited:
            self.engine.wait_models(*awaited)

    def idle_worker_available(self) -> bool:
        """Return whether a model submitted now would run at once."""
        return self._replaying or bool(self.engine.idle_worker_available())

    def budget_available(self) -> bool:
        """Return whether another model may be submitted; recorded ones always may, also more than ``max_trials``."""
        if self._replaying:
            return True
        if self._max_trials is not None and len(self._models) >= self._max_trials:
            return False
        return bool(self.engine.budget_available())

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
