"""Reads the trials of an ended experiment from NNI's database."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError
from autoad_nni.storing import read_lines
from autoad_nni.trial.record import TrialRecord

__all__ = ["finished_trials", "has_begun", "stored_trial_command"]


def stored_trial_command(folder: Path) -> tuple[str, Path]:
    """Return an experiment's ``trialCommand`` and the folder it starts in.

    Raises:
        AutoADError: If the database is gone or damaged, or the experiment never began.
    """
    with _database(folder) as database:
        row = database.execute("SELECT params FROM ExperimentProfile ORDER BY revision DESC").fetchone()
        if row is None:
            raise AutoADError(f"the experiment in {folder} never began. Expected one that did. Start a new one.")
        content = json.loads(row[0])
        return content["trialCommand"], Path(content["trialCodeDirectory"])


def has_begun(folder: Path) -> bool:
    """Return whether a strategy or a trial has begun in an experiment's folder; also if that cannot be read."""
    if os.path.exists(folder / "checkpoint" / "journal.jsonl"):
        return True
    if not os.path.exists(folder / "db" / "nni.sqlite"):
        return False
    try:
        with _database(folder) as database:
            (events,) = database.execute("SELECT COUNT(*) FROM TrialJobEvent").fetchone()
    except AutoADError:
        return True
    return bool(events)


@contextmanager
def _database(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open NNI's database to read; what the block cannot read of it is an AutoADError."""
    path = folder / "db" / "nni.sqlite"
    if not os.path.exists(path):
        raise AutoADError(f"there is no {path}. Expected NNI's database of the experiment. Restore its folder.")
    try:
        with ExitStack() as stack:
            yield _open(path, stack)
    except (sqlite3.Error, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise AutoADError(
            f"{path} cannot be read: {reason}. Expected NNI's database as its server wrote it. Restore its folder, or "
            "start a new experiment."
        ) from None


def _open(path: Path, stack: ExitStack) -> sqlite3.Connection:
    database = stack.enter_context(closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)))
    try:
        database.execute("SELECT * FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error):
            raise
        # A kill cut a commit short: its journal has to be rolled back, which is left to NNI in the original.
        copies = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autoad-nni-")))
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, copies)
        database = stack.enter_context(closing(sqlite3.connect(copies / path.name)))
    return database


def finished_trials(folder: Path) -> list[TrialRecord]:
    """Return the trials that have ended, in the order of NNI's numbers, whatever the tuner was.

    A trial that was lost with a killed manager, and run again under the same parameter id, counts once. One that did
    not go on at a rung has the result that it reported there, whatever it reported before NNI's manager ended it.

    Raises:
        AutoADError: If the database or the journal is gone or damaged.
    """
    stopped = _stopped_at(folder / "checkpoint" / "journal.jsonl")
    with _database(folder) as database:
        jobs = {
            job: (json.loads(data), sequence)
            for job, data, sequence in database.execute(
                "SELECT trialJobId, data, sequenceId FROM TrialJobEvent WHERE data <> '' ORDER BY timestamp"
            )
        }
        ended = {
            job
            for (job,) in database.execute(
                "SELECT trialJobId FROM TrialJobEvent WHERE event IN ('FAILED', 'SUCCEEDED')"
            )
        }
        results = database.execute("SELECT trialJobId, type, data FROM MetricData").fetchall()
        trials: dict[str, TrialRecord] = {}
        for job, kind, data in results:
            parameters, sequence = jobs.get(job, ({}, 0))
            rung = stopped.get(parameters.get("parameter_id"))
            if job in jobs and (kind == "FINAL" if rung is None else kind == "PERIODICAL"):
                report = json.loads(json.loads(data))  # NNI stores what the trial sent, itself JSON, as a JSON text
                if rung is not None and not (isinstance(report, dict) and report.pop("rung", None) == rung):
                    continue
                record = TrialRecord.from_report(int(sequence), parameters["parameters"], report)
                trials[_key(parameters)] = replace(record, known=_known(parameters))
        for job, (parameters, sequence) in jobs.items():
            if job in ended and _key(parameters) not in trials:
                detail = "It ended without a result."
                record = TrialRecord.crashed(int(sequence), parameters["parameters"], detail)
                trials[_key(parameters)] = replace(record, known=_known(parameters))
    return sorted(trials.values(), key=lambda record: record.number)


def _stopped_at(journal: Path) -> dict[Any, Any]:
    """Return the rung at which each trial was stopped early, by parameter id; a tuner of NNI leaves no journal."""
    events = read_lines(journal, mend=False)  # the search may still write
    return {event.get("id"): event.get("rung") for event in events if event.get("goes_on") is False}


def _key(parameters: dict[str, Any]) -> str:
    return json.dumps([parameters.get("parameter_id"), parameters["parameters"]], sort_keys=True)


def _known(parameters: dict[str, Any]) -> str:
    return str(parameters.get("known", ""))  # which the advisor adds
