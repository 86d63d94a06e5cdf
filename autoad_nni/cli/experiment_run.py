"""Runs an experiment with nnictl and shows how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from autoad_nni.cli.progress import SearchProgress
from autoad_nni.cli.usage import say
from autoad_nni.engines.nnictl.database import finished_trials
from autoad_nni.engines.nnictl.experiments import experiment_folder, find_experiment_folder
from autoad_nni.engines.nnictl.finish import request_of
from autoad_nni.engines.nnictl.leftovers import remove_leftovers
from autoad_nni.engines.nnictl.nnictl_process import NnictlFailed, run_nnictl
from autoad_nni.engines.nnictl.ports import UnusablePort
from autoad_nni.engines.nnictl.server import stop_server, wait_for_end
from autoad_nni.engines.nnictl.trial_watch import TrialCount, TrialWatch
from autoad_nni.runs.start import RunStart
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.nni_config import file_for_nni

__all__ = ["create_experiment", "resume_experiment", "view_experiment"]

# Of NNI's log; all of it is in the experiment's folder.
_SHOWN = ("to FAILED", "WARNING", "ERROR")
_HARMLESS = "No parameters available"  # a trial asked before the strategy had answered, and asks again


def create_experiment(experiment: Path, port: int, start: RunStart) -> str:
    """Run an experiment file to its end.

    Args:
        experiment: The file.
        port: Where its server will listen.
        start: What the experiment begins with, to be kept in its folder.

    Returns:
        The experiment's id.

    Raises:
        AutoADError: If it does not come to its end.
    """
    file = read_experiment(experiment)
    lines = _Lines(port, start)
    since = time.time()
    try:
        with (
            file_for_nni(file, experiment) as config,
            _progress(lines, start.request.reward_name, file.max_trials, file.max_seconds) as progress,
        ):
            words = ["create", "--config", str(config), "--port", str(port), "--foreground"]
            run_nnictl(words, echo=lambda line: lines.read(line, progress))
    except KeyboardInterrupt:
        remove_leftovers(experiment, lines.experiment_id, since=since)
        _stopped(lines.experiment_id)
    except (NnictlFailed, UnusablePort):
        remove_leftovers(experiment, lines.experiment_id, since=since)
        raise
    return lines.experiment_id


def resume_experiment(experiment_id: str, port: int) -> None:
    """Run a stopped experiment to its end.

    Raises:
        AutoADError: If it does not come to its end.
    """
    folder = experiment_folder(experiment_id)
    reward = request_of(folder).reward_name
    lines = _Lines(port)
    try:
        with _progress(lines, reward, None) as progress:
            run_nnictl(["resume", experiment_id, "--port", str(port)], echo=lambda line: lines.read(line, progress))
            wait_for_end(experiment_id, port)
    except KeyboardInterrupt:
        _stopped(experiment_id)
    finally:
        stop_server(experiment_id)


class _Lines:
    """Takes nnictl's lines, notes the experiment when NNI knows it, and prints what a user wants to see.

    Args:
        port: The server's.
        start: What a new experiment begins with.
    """

    def __init__(self, port: int, start: RunStart | None = None) -> None:
        self.experiment_id = ""
        self.port = port
        self._start = start
        self._known = False

    def read(self, line: str, progress: SearchProgress) -> None:
        """Take a line; what is to be seen of it goes to ``progress``."""
        self.experiment_id = line.partition("Experiment ID: ")[2] or self.experiment_id
        if self.experiment_id and not self._known:
            self._note(progress)
        # Other lines than NNI's own begin without the time. What fails before NNI knows the experiment is in the error.
        if self._known and line.startswith("[") and any(word in line for word in _SHOWN) and _HARMLESS not in line:
            progress.print(f"  {line}")

    def _note(self, progress: SearchProgress) -> None:
        folder = find_experiment_folder(self.experiment_id)
        if folder is not None:
            self._known = True
            if self._start is not None:
                self._start.write(folder)  # at once: a kill must not lose it
            progress.print(f"experiment {self.experiment_id}, web UI: http://127.0.0.1:{self.port}")


@contextmanager
def _progress(
    lines: _Lines, reward: str, max_trials: int | None, max_seconds: float | None = None
) -> Iterator[SearchProgress]:
    """Show how far the experiment is whose server listens, or will listen, on ``lines.port``."""

    def show(count: TrialCount, recorded: bool) -> None:
        progress.show(count.ended, count.best, total=count.total, recorded=recorded)

    with SearchProgress(reward, max_trials, max_seconds) as progress:
        with TrialWatch(lines.port, show):
            yield progress
        # What ended just before the server did.
        trials = finished_trials(experiment_folder(lines.experiment_id))
        rewards = [trial.reward for trial in trials if trial.ok]
        progress.finish(len(trials), max(rewards, default=None))


def _stopped(experiment_id: str) -> NoReturn:
    # That of a resumed experiment, which nnictl leaves running; a new one has ended with nnictl.
    stop_server(experiment_id)
    begun = find_experiment_folder(experiment_id) is not None
    hint = f" Go on with: autoad-nni launch --resume {experiment_id}" if begun else ""
    say(f"stopped.{hint}", err=True)
    raise typer.Exit(130)


def view_experiment(experiment_id: str, port: int) -> None:
    """Open the web UI of an ended experiment, and leave it open."""
    say(f"web UI: http://127.0.0.1:{port}")
    run_nnictl(["view", experiment_id, "--port", str(port)], echo=lambda line: None)
    say(f"close it with: nnictl stop {experiment_id}")
