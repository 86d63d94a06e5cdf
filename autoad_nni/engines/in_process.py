"""Runs a search in this process: no server, the same strategy, the same trial function as under nnictl."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nni
import torch
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine

from autoad_nni.engines.beginning import check_and_load
from autoad_nni.engines.hanging import HangWatch
from autoad_nni.errors import AutoADError
from autoad_nni.models.surroundings import keeping_surroundings, torch_threads
from autoad_nni.runs.competing import compete
from autoad_nni.runs.folder import RunFolder
from autoad_nni.runs.front import write_front
from autoad_nni.runs.one_trial import crashed_by, run_in_folder, train_again
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.report.page import write_report
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.runs.winner import Model, build_trained, choose_winner, finish, load_members
from autoad_nni.searches.experiment_file import Experiment
from autoad_nni.searches.replay import JournalMiddleware
from autoad_nni.searches.search import Search, check_recorded_plugins
from autoad_nni.searches.spaces import SampleSpace
from autoad_nni.storing import StorageError
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import Rungs
from autoad_nni.verdicts import Verdict

__all__ = ["InProcessSearch", "TimeIsUp"]

_logger = logging.getLogger("autoad_nni")

Listener = Callable[[int, float | None, bool], None]
"""Called with (trials ended so far, best reward so far, whether the last of them is replayed)."""


# In the last tenth of its time, a trial that the end of the search stops is not recorded. Earlier, it would take more
# than all the time there is: then it is over time like any other, so that the search goes on to smaller models.
_LAST_SHARE = 0.1
_LEAST_SECONDS = 1e-3


class TimeIsUp(AutoADError):
    """The search has no time left for a trial, which is not recorded: it runs again when the search goes on."""


class _Engine(SequentialExecutionEngine):  # type: ignore[misc]  # nni ships no types
    """NNI's engine, which counts trials only, with a clock that strategies and images count towards, too.

    Args:
        seconds_left: Says how long trials may still run.
    """

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        super().__init__(continue_on_failure=True)
        self._seconds_left = seconds_left

    def budget_available(self) -> bool:
        """Return whether another trial may start."""
        return self._seconds_left() > 0


class InProcessSearch:
    """One search of an experiment in this process.

    Args:
        experiment: What to search.
        request: What its ``trialCommand`` says.
        output: The run folder.
        max_trials: Instead of the experiment's ``maxTrialNumber``.
        max_seconds: Instead of the experiment's ``maxExperimentDuration``; counted from the making of this object, so
            that reading the images counts too, and with the trials of earlier sessions.
        seed: Instead of the experiment's seed of the strategy.
        resume: Go on with the search in ``output``.

    Raises:
        AutoADError: For every fault in the experiment, the data or the folder, before anything is trained.
    """

    def __init__(
        self,
        experiment: Experiment,
        request: TrialRequest,
        output: Path,
        *,
        max_trials: int | None = None,
        max_seconds: float | None = None,
        seed: int | None = None,
        resume: bool = False,
    ) -> None:
        self._began = time.monotonic()
        arguments = _strategy_arguments(experiment, seed)
        self.max_trials = max_trials if max_trials is not None else experiment.max_trials
        self.max_seconds = max_seconds if max_seconds is not None else experiment.max_seconds
        if self.max_trials is None and self.max_seconds is None:
            raise AutoADError(
                f"{experiment.name}: the search has no end. Expected maxTrialNumber or maxExperimentDuration. "
                "Add one, or give [[trials=30]] or [[minutes=10]]."
            )
        if resume:
            # First: a plugin that is missing would be an unknown value, with the advice to drop it.
            check_recorded_plugins(output / "state" / "journal.jsonl")
        self._task, start = check_and_load(experiment, request, arguments)
        self.request = request
        self.folder = RunFolder(output, start, resume=resume)
        try:
            self._search = Search(search_space=experiment.search_space, journal_path=self.folder.journal, **arguments)
            self.folder.begin()
        except BaseException:
            self.folder.close()
            raise
        self.n_recorded = sum(event["event"] == "end" for event in self._search.journal.recorded)
        """Trials that earlier sessions ended."""
        self.say: Callable[[str], None] = _logger.warning
        """Called with a line for the user."""
        self.read_test = False
        """Whether this session read the test set."""
        self.seconds_before = self._search.journal.seconds_recorded()
        """What the trials of earlier sessions took."""
        self.on_finish: Callable[[], None] = lambda: None
        """Called when the last trial has ended, before the winner is put together and tested."""
        self._scalars = ScalarWriter(output / "tensorboard" / "search")
        self._search.on_iteration = self._scalars.add_iteration
        self._listener: Listener = lambda ended, best, replayed: None
        self._threads = torch.get_num_threads()
        self._missing = self.folder.without_weights

    def run(self, listener: Listener, *, end_hung: bool = False) -> BestRecord | None:
        """Run the search to its end, then read the test set once, for the best model, and write the report.

        Args:
            listener: Called after every trial, replayed ones included.
            end_hung: End this process if a trial hangs (`HangWatch`).

        Returns:
            The record of the best model, or None when no trial ended well.
        """
        self._listener = listener
        self._search.say = self.say
        try:
            with contextlib.suppress(TimeIsUp), self._engine(end_hung) as engine:
                self._middleware = JournalMiddleware(
                    engine, self._search.journal, max_trials=self.max_trials, on_end=self._on_end
                )
                self._search.run(self._middleware, self._evaluate)
                self._middleware.wait_models()
            best = self._finish()
            if best is not None:
                compete(self.folder.path, self._task, self.request, self.say)
            write_front(self.folder.path)
            write_report(self.folder.path)
            return best
        finally:
            self.folder.close()

    @contextlib.contextmanager
    def _engine(self, end_hung: bool) -> Iterator[ExecutionEngine]:
        """What runs the trials, within the block."""
        with HangWatch(self.request.settings.max_seconds if end_hung else None) as self._watch:
            yield _Engine(self.seconds_left)

    def seconds_left(self) -> float:
        """Return how long trials may still run; infinite without a limit."""
        if self.max_seconds is None:
            return math.inf
        return self.max_seconds - self.seconds_before - (time.monotonic() - self._began)

    def _evaluate(self, model: SampleSpace) -> None:
        assert model.sample is not None and model.trial_id is not None
        number = model.trial_id
        request, is_cut = self._within_time()
        try:
            # The strategy around it has one thread.
            with torch_threads(self._threads), self._watch.trial(number):
                result = run_in_folder(
                    self.folder.path,
                    model.sample,
                    self._task,
                    request,
                    number=number,
                    report=nni.report_intermediate_result,
                    rungs=self.rungs(model),
                )
            if is_cut and self._is_over(result.record):
                raise TimeIsUp
            if result.detector is not None and self._keeps(model, result.record):
                # Before the journal knows of the trial: a kill here repeats it.
                self.folder.save_weights(number, result.detector)
        except (StorageError, TimeIsUp) as error:
            self._middleware.abort(error)  # neither a full disk nor the end of the search is the model's fault
            raise
        except (Exception, SystemExit) as error:
            record = crashed_by(error, number, model.sample, self.request)
            self._middleware.take(record)
            # A plugin that exits ends its trial, not the search: NNI's engine takes any Exception for a crash.
            raise RuntimeError(record.detail) from error
        self._middleware.take(result.record)

    def rungs(self, model: SampleSpace) -> Rungs | None:
        """Return where the trial of a model may be stopped."""
        halving = self._search.halving
        if halving is None:
            return None

        def goes_on(rung: int, record: TrialRecord) -> bool:
            return halving.goes_on(record.number, rung, record.reward, known=bool(model.known))

        return Rungs(halving.shares, goes_on)

    def _within_time(self) -> tuple[TrialRequest, bool]:
        """The options of the next trial, and whether the search leaves it less time than they say."""
        settings, left = self.request.settings, self.seconds_left()
        if left > (settings.max_seconds or math.inf) or left == math.inf:
            return self.request, False
        limited = replace(settings, max_seconds=max(left, _LEAST_SECONDS))
        return replace(self.request, settings=limited), True

    def _is_over(self, record: TrialRecord) -> bool:
        """Whether the end of the search, not the trial's own limit, stopped it."""
        ends = self.max_seconds is not None and self.seconds_left() < _LAST_SHARE * self.max_seconds
        return ends and record.verdict is Verdict.OVER_TIME

    def _keeps(self, model: SampleSpace, record: TrialRecord) -> bool:
        return self.folder.keeps(replace(record, known=model.known))

    def _on_end(self, record: TrialRecord, replayed: bool) -> None:
        self.folder.add_trial(record)
        best = None if self.folder.best is None else self.folder.best.reward
        ended = self.folder.summary.verdicts.total()
        if not replayed:
            self._replace_weights()
            self.folder.write_best()
            if record.verdict is not Verdict.CRASHED:
                self._scalars.add(ended, {"reward": record.reward, "best": best or 0.0})
        self._listener(ended, best, replayed)

    def _replace_weights(self) -> None:
        """Train again the kept models whose weights were lost since an earlier session; once, and only if needed."""
        missing, self._missing = self._missing, lambda: []
        for record in missing():
            settings = replace(self.request.settings, max_seconds=None)  # it was within the limit once
            try:
                with torch_threads(self._threads):
                    again = train_again(record, self._task, replace(self.request, settings=settings))
            except AutoADError:
                raise
            except Exception as error:
                raise _not_again(record, f"{type(error).__name__}: {error}") from error
            if again.detector is None:
                raise _not_again(record, again.record.detail)
            self.folder.save_weights(record.number, again.detector)
            same = again.record.fingerprint == record.fingerprint
            self.say(
                f"the weights of trial {record.number} were lost or damaged: it was trained again, and scores "
                f"{'as before' if same else 'differently; its record keeps the old figures'}."
            )

    def _finish(self) -> BestRecord | None:
        if not self.folder.has_ended:
            self._replace_weights()
        best = self.folder.write_best()
        # The test set is read once: not again for a winner that an earlier session ended with.
        if best is None or self.folder.tested() is not None:
            return best
        self.on_finish()
        with keeping_surroundings():
            winner = choose_winner(self._candidates(), self.folder.known, self._task, self.request)
        self.folder.limit(len(winner.members))
        if self.folder.tested() is not None:
            return self.folder.write_best()
        self.read_test = True
        known = self._known(winner.members)
        with keeping_surroundings():
            result = finish(self.folder.path.absolute(), winner, known, self._task, self.request)
        return self.folder.write_best(result)

    def _candidates(self) -> list[Model]:
        members, settings = self.folder.members, self.request.settings
        detectors = load_members(members, self.folder.weights, channels=self._task.channels, settings=settings)
        return list(zip(members, detectors, strict=True))

    def _known(self, members: Sequence[Model]) -> Model | None:
        """The best known method, with its model."""
        known = self.folder.known
        if known is None:
            return None
        detector = next((detector for record, detector in members if record.number == known.number), None)
        if detector is None:
            detector = build_trained(known, channels=self._task.channels, settings=self.request.settings)
            self.folder.load_known(detector, known)
        return known, detector


def _not_again(record: TrialRecord, reason: str) -> AutoADError:
    return AutoADError(
        f"the weights of trial {record.number} are lost or damaged, and it cannot be trained again: "
        f"{' '.join(reason.split()).rstrip('.')}. Expected what trained once. Restore the file, or search anew."
    )


def _strategy_arguments(experiment: Experiment, seed: int | None) -> dict[str, Any]:
    if experiment.advisor_arguments is None:
        raise AutoADError(
            f"{experiment.name}: the tuner {experiment.tuner_name!r} runs under nnictl only. "
            "Expected autoad_nni.bridge.StrategyAdvisor. "
            "Use 'autoad-nni launch', or the advisor with strategy: tpe or random."
        )
    arguments: Mapping[str, Any] = experiment.advisor_arguments
    return {**arguments} if seed is None else {**arguments, "seed": seed}
