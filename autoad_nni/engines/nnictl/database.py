"""Reads the trials of an ended experiment from NNI's database."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError

__all__ = ["FinishedTrial", "finished_trials", "has_begun", "stored_trial_command"]


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that ended.

    Attributes:
        number: NNI's number of the trial in the experiment.
        sample: Value by label.
        metrics: What the trial reported; None when it crashed.
    """

    number: int
    sample: dict[str, Any]
    metrics: dict[str, Any] | None

    @property
    def reward(self) -> float | None:
        """The reward of a trial with the verdict ok."""
        if self.metrics is None or self.metrics.get("verdict", "ok") != "ok":
            return None
        return float(self.metrics["default"])


def stored_trial_command(folder: Path) -> tuple[str, Path]:
    """Return an experiment's ``trialCommand`` and the folder it starts in.

    Raises:
        AutoADError: If the database is gone, or the experiment never began.
    """
    with closing(_open_database(folder)) as database:
        row = database.execute("SELECT params FROM ExperimentProfile ORDER BY revision DESC").fetchone()
    if row is None:
        raise AutoADError(f"the experiment in {folder} never began. Expected one that did. Start a new one.")
    content = json.loads(row[0])
    return content["trialCommand"], Path(content["trialCodeDirectory"])


def has_begun(folder: Path) -> bool:
    """Return whether a strategy or a trial has begun in an experiment's folder; also if that cannot be read."""
    if (folder / "checkpoint" / "journal.jsonl").exists():
        return True
    if not (folder / "db" / "nni.sqlite").exists():
        return False
    try:
        with closing(_open_database(folder)) as database:
            (events,) = database.execute("SELECT COUNT(*) FROM TrialJobEvent").fetchone()
    except sqlite3.Error:
        return True
    return bool(events)


def _open_database(folder: Path) -> sqlite3.Connection:
    path = folder / "db" / "nni.sqlite"
    if not path.exists():
        raise AutoADError(f"there is no {path}. Expected NNI's database of the experiment. Restore its folder.")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def finished_trials(folder: Path) -> list[FinishedTrial]:
    """Return the trials that ended, best first, crashed ones last, whatever the tuner was.

    A trial that was lost with a killed manager, and run again under the same parameter id, counts once.
    """
    with closing(_open_database(folder)) as database:
        records = {
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
        finals = database.execute("SELECT trialJobId, data FROM MetricData WHERE type = 'FINAL'").fetchall()
    trials: dict[str, FinishedTrial] = {}
    for job, data in finals:
        value = json.loads(json.loads(data))  # NNI stores what the trial sent, itself JSON, as a JSON text
        metrics = value if isinstance(value, dict) else {"default": value}
        if job in records:
            trials[_record_key(records[job][0])] = _finished(records[job], metrics)
    for job, record in records.items():
        if job in ended:
            trials.setdefault(_record_key(record[0]), _finished(record, None))
    return sorted(trials.values(), key=_reward, reverse=True)


def _reward(trial: FinishedTrial) -> float:
    return -math.inf if trial.metrics is None else float(trial.metrics["default"])


def _finished(record: tuple[dict[str, Any], Any], metrics: dict[str, Any] | None) -> FinishedTrial:
    return FinishedTrial(int(record[1]), record[0]["parameters"], metrics)


def _record_key(record: dict[str, Any]) -> str:
    return json.dumps([record.get("parameter_id"), record["parameters"]], sort_keys=True)
