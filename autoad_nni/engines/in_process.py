"""Runs an experiment file in this process: no server, the same strategy, the same trial function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nni
from nni.nas.execution import SequentialExecutionEngine

from autoad_nni.data import Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.runs.best import figures_on_test, model_of, save_pictures
from autoad_nni.runs.folder import RunFolder
from autoad_nni.runs.one_trial import run_sample
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.search.experiment_file import ExperimentFile
from autoad_nni.search.preflight import preflight
from autoad_nni.search.replay import JournalMiddleware
from autoad_nni.search.search import Search, check_recorded_plugins
from autoad_nni.search.spaces import SampleSpace
from autoad_nni.storing import StorageError
from autoad_nni.trial.plugins import plugins_of_trial
from autoad_nni.trial.request import TrialRequest

__all__ = ["InProcessSearch"]

Listener = Callable[[int, float | None, bool], None]
"""Called with (trials ended so far, best reward so far, whether an earlier session recorded the last of them)."""


class InProcessSearch:
    """One search of an experiment file in this process.

    Args:
        experiment: The file.
        request: What its ``trialCommand`` says.
        output: The run folder.
        max_trials: Instead of the file's ``maxTrialNumber``.
        seed: Instead of the file's seed of the strategy.
        resume: Go on with the search in ``output``.

    Raises:
        AutoADError: For every fault in the file, the data or the folder, before anything is trained.
    """

    def __init__(
        self,
        experiment: ExperimentFile,
        request: TrialRequest,
        output: Path,
        *,
        max_trials: int | None = None,
        seed: int | None = None,
        resume: bool = False,
    ) -> None:
        arguments = self._strategy_arguments(experiment, seed)
        self.max_trials = max_trials if max_trials is not None else experiment.max_trials
        if self.max_trials is None and experiment.max_seconds is None:
            raise AutoADError(
                f"{experiment.path}: the search has no end. Expected maxTrialNumber or maxExperimentDuration. "
                "Add one, or give --trials."
            )
        if resume:
            # First: a plugin that is missing would be an unknown value, with the advice to drop it.
            check_recorded_plugins(output / "state" / "journal.jsonl")
        # All that can be wrong is found before the run folder is made.
        self._task: Task = preflight(experiment, request, arguments)
        self._request = request
        self.folder = RunFolder(output, resume=resume)
        try:
            self._search = Search(
                search_space=experiment.search_space,
                journal_path=self.folder.journal,
                trial_arguments=experiment.trial_arguments,
                data_sets=request.data_sets,
                images=self._task.digest(),
                **arguments,
            )
        except BaseException:
            self.folder.close()
            raise
        self._setting = {
            "experiment": experiment.path.name,
            "strategy": arguments["strategy"],
            "seed": arguments["seed"],
            "model": model_of(self._task, request),
        }
        self._max_seconds = experiment.max_seconds
        self._scalars = ScalarWriter(output / "tensorboard" / "search")
        self._search.on_iteration = self._scalars.add_iteration
        self._listener: Listener = lambda ended, best, recorded: None

    @staticmethod
    def _strategy_arguments(experiment: ExperimentFile, seed: int | None) -> dict[str, Any]:
        if experiment.advisor_arguments is None:
            raise AutoADError(
                f"{experiment.path}: the tuner {experiment.tuner_name!r} runs under nnictl only. "
                "Expected autoad_nni.bridge.StrategyAdvisor. "
                "Use 'autoad-nni launch', or the advisor with strategy: tpe or random."
            )
        arguments = dict(experiment.advisor_arguments)
        return arguments if seed is None else {**arguments, "seed": seed}

    def run(self, listener: Listener) -> dict[str, Any] | None:
        """Runs the search to its end, then reads the test set once, for the best model.

        Args:
            listener: Called at the start and after every trial.

        Returns:
            The content of ``best.json``, or None when no trial ended well.
        """
        self._listener = listener
        logging.getLogger("nni").setLevel(logging.CRITICAL)  # NNI logs every crash twice; ours are in the history
        engine = SequentialExecutionEngine(max_duration=self._max_seconds, continue_on_failure=True)
        engine.load_state_dict({"model_count": 0, "total_duration": self._seconds_spent()})
        self._middleware = JournalMiddleware(
            engine, self._search.journal, max_trials=self.max_trials, on_end=self._on_end
        )
        try:
            self._search.run(self._middleware, self._evaluate)
            return self._finish()
        finally:
            self.folder.close()

    def _seconds_spent(self) -> float:
        """Returns what earlier sittings took, which counts towards the experiment's duration."""
        ends = [event["metrics"] for event in self._search.journal.recorded if event["event"] == "end"]
        return sum(float(metrics["seconds"]) for metrics in ends if metrics is not None)

    def _evaluate(self, model: SampleSpace) -> None:
        assert model.sample is not None and model.trial_id is not None
        folder = self.folder.path / "tensorboard" / f"trial-{model.trial_id:04d}"
        try:
            result = run_sample(
                model.sample,
                self._task,
                self._request,
                scalars=ScalarWriter(folder),
                report=nni.report_intermediate_result,
                shared=SharedWeights(self.folder.shared_weights, str(model.trial_id)),
            )
            if result.detector is not None and self.folder.improves(float(result.metrics["default"])):
                # Before the journal knows of the trial: a kill here repeats it.
                self.folder.save_weights(model.trial_id, result.detector)
        except StorageError as error:
            self._middleware.abort(error)  # a full disk is not what this model came to
            raise
        except (Exception, SystemExit) as error:
            detail = self._middleware.details[model.trial_id] = f"{type(error).__name__}: {error}"
            # A plugin that exits ends its trial, not the search: NNI's engine takes any Exception for a crash.
            raise RuntimeError(detail) from error
        self._middleware.details[model.trial_id] = result.detail
        self._middleware.report_metrics(model, result.metrics)

    def _on_end(self, model: SampleSpace, metrics: Mapping[str, Any] | None, recorded: bool) -> None:
        assert model.sample is not None and model.trial_id is not None
        self.folder.add_trial(
            model.trial_id,
            model.sample,
            metrics,
            plugins=plugins_of_trial(model.sample, self._request),
            detail=self._middleware.details.get(model.trial_id, ""),
        )
        best = None if self.folder.best is None else float(self.folder.best["reward"])
        ended = self.folder.summary.verdicts.total()
        if not recorded:
            self.folder.write_best({"test": None}, self._setting)
            if metrics is not None:
                self._scalars.add(ended, {"reward": float(metrics["default"]), "best": best or 0.0})
        self._listener(ended, best, recorded)

    def _finish(self) -> dict[str, Any] | None:
        best = self.folder.best
        if best is None:
            return None
        settings = self._request.settings
        detector = build_detector(best["sample"], channels=self._task.channels, space=settings.space)
        self.folder.load_weights(detector)
        figures = figures_on_test(detector, self._task, self._request)
        save_pictures(self.folder.path, detector, self._task, self._request, best)
        self.folder.write_best(figures, self._setting)
        return {**best, **figures}
