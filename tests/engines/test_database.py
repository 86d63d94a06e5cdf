"""What ``launch`` reads out of NNI's database, on one with NNI's tables."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from autoad_nni.engines.nnictl.database import finished_trials, stored_trial_command
from autoad_nni.errors import AutoADError
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

JOBS = [  # job, parameter id, its events, its final result
    ("aa", 0, ["WAITING", "RUNNING", "SUCCEEDED"], {"default": 0.5, "auroc": 0.5, "verdict": "ok"}),
    ("bb", 1, ["WAITING", "RUNNING", "FAILED"], None),
    ("cc", 2, ["WAITING", "RUNNING", "SUCCEEDED"], None),
    ("dd", 3, ["WAITING", "RUNNING", "SUCCEEDED"], 0.75),
    ("ee", 4, ["WAITING", "RUNNING", "FAILED"], None),  # lost, and run again
    ("ff", 4, ["WAITING", "RUNNING", "SUCCEEDED"], {"default": 0.25}),
    ("gg", 5, ["WAITING", "RUNNING", "USER_CANCELED"], None),
    ("hh", 6, ["WAITING", "RUNNING"], None),
]
KNOWN = {"bb": "padim", "dd": "patchcore"}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    with closing(sqlite3.connect(tmp_path / "db" / "nni.sqlite")) as database:
        database.execute(
            "CREATE TABLE TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text, "
            "sequenceId integer, message text, environmentId text)"
        )
        database.execute(
            "CREATE TABLE MetricData (timestamp integer, trialJobId text, parameterId text, type text, "
            "sequence integer, data text)"
        )
        for number, (job, parameter_id, events, final) in enumerate(JOBS):
            record = {"parameter_id": parameter_id, "parameters": {"a": parameter_id}}
            if job in KNOWN:
                record["known"] = KNOWN[job]
            for i, event in enumerate(events):
                data = json.dumps(record) if event == "WAITING" else ""
                row = (i, job, event, data, "", number, "", "")
                database.execute("INSERT INTO TrialJobEvent VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            if final is not None:
                row = (9, job, str(parameter_id), "FINAL", 0, json.dumps(json.dumps(final)))
                database.execute("INSERT INTO MetricData VALUES (?, ?, ?, ?, ?, ?)", row)
        database.commit()
    return tmp_path


def test_crashed_trials_count_and_lost_ones_do_not(experiment: Path) -> None:
    crashed = "It ended without a result."
    assert finished_trials(experiment) == [
        TrialRecord(number=0, sample={"a": 0}, verdict=Verdict.OK, reward=0.5, validation={"auroc": 0.5}),
        TrialRecord.crashed(1, {"a": 1}, crashed, known="padim"),
        TrialRecord.crashed(2, {"a": 2}, crashed),
        TrialRecord(number=3, sample={"a": 3}, verdict=Verdict.OK, reward=0.75, known="patchcore"),
        TrialRecord(number=5, sample={"a": 4}, verdict=Verdict.OK, reward=0.25),
    ]


def test_an_experiment_that_never_began_and_a_folder_that_is_gone_are_one_line(experiment: Path) -> None:
    with closing(sqlite3.connect(experiment / "db" / "nni.sqlite")) as database:
        database.execute("CREATE TABLE ExperimentProfile (params text, revision integer)")
    with pytest.raises(AutoADError, match=r"never began\. Expected one that did\. Start a new one\.$"):
        stored_trial_command(experiment)
    with pytest.raises(AutoADError, match=r"^there is no .*nni\.sqlite\. Expected NNI's database"):
        stored_trial_command(experiment / "gone")
