"""What ``launch`` reads out of NNI's database, on one with NNI's tables."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from autoad_nni.engines.nnictl.database import finished_trials, has_begun, stored_trial_command
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
    ("ii", 7, ["WAITING", "RUNNING", "USER_CANCELED"], None),  # stopped at the second of two rungs
    ("jj", 8, ["WAITING", "RUNNING", "SUCCEEDED"], {"default": 0.9}),  # stopped at the first, but had come to its end
]
STOPPED = {"verdict": "stopped", "seconds": 2.0}
RUNGS = {  # job -> its intermediate results: an epoch's, and what it reported at rungs
    "aa": [0.5, {"default": 0.4, **STOPPED, "rung": 0}],
    "ii": [0.1, {"default": 0.2, **STOPPED, "rung": 0}, {"default": 0.3, **STOPPED, "rung": 1}],
    "jj": [{"default": 0.6, **STOPPED, "rung": 0}, {"default": 0.7, **STOPPED, "rung": 1}],
}
JOURNAL = [(0, 0, True), (7, 0, True), (7, 1, False), (8, 0, False)]
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
            for i, result in enumerate(RUNGS.get(job, [])):
                row = (8, job, str(parameter_id), "PERIODICAL", i, json.dumps(json.dumps(result)))
                database.execute("INSERT INTO MetricData VALUES (?, ?, ?, ?, ?, ?)", row)
            if final is not None:
                row = (9, job, str(parameter_id), "FINAL", 0, json.dumps(json.dumps(final)))
                database.execute("INSERT INTO MetricData VALUES (?, ?, ?, ?, ?, ?)", row)
        database.commit()
    (tmp_path / "checkpoint").mkdir()
    lines = [{"event": "rung", "id": number, "rung": rung, "goes_on": goes_on} for number, rung, goes_on in JOURNAL]
    (tmp_path / "checkpoint" / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tmp_path


def test_crashed_and_stopped_trials_count_and_lost_ones_do_not(experiment: Path) -> None:
    crashed = "It ended without a result."
    assert finished_trials(experiment) == [
        TrialRecord(number=0, sample={"a": 0}, verdict=Verdict.OK, reward=0.5, validation={"auroc": 0.5}),
        TrialRecord.crashed(1, {"a": 1}, crashed, known="padim"),
        TrialRecord.crashed(2, {"a": 2}, crashed),
        TrialRecord(number=3, sample={"a": 3}, verdict=Verdict.OK, reward=0.75, known="patchcore"),
        TrialRecord(number=5, sample={"a": 4}, verdict=Verdict.OK, reward=0.25),
        TrialRecord(number=8, sample={"a": 7}, verdict=Verdict.STOPPED, reward=0.3, seconds=2.0),
        TrialRecord(number=9, sample={"a": 8}, verdict=Verdict.STOPPED, reward=0.6, seconds=2.0),
    ]


def test_an_experiment_that_never_began_and_a_folder_that_is_gone_are_one_line(experiment: Path) -> None:
    with closing(sqlite3.connect(experiment / "db" / "nni.sqlite")) as database:
        database.execute("CREATE TABLE ExperimentProfile (params text, revision integer)")
    with pytest.raises(AutoADError, match=r"never began\. Expected one that did\. Start a new one\.$"):
        stored_trial_command(experiment)
    with pytest.raises(AutoADError, match=r"^there is no .*nni\.sqlite\. Expected NNI's database"):
        stored_trial_command(experiment / "gone")


CUT_SHORT = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA cache_size = 1")  # so that the commit's pages reach the file before its end
database.execute("UPDATE TrialJobEvent SET trialJobId = 'lost'")
database.executemany("INSERT INTO MetricData VALUES (1, 'x', 'x', 'FINAL', 0, ?)", [("x" * 4000,)] * 50)
os._exit(0)
"""


def test_a_commit_that_a_kill_cut_short_does_not_count(experiment: Path) -> None:
    expected = finished_trials(experiment)
    path = experiment / "db" / "nni.sqlite"
    before = path.read_bytes()
    subprocess.run([sys.executable, "-c", CUT_SHORT, str(path)], check=True)
    journal = path.with_name("nni.sqlite-journal")
    assert journal.exists() and path.read_bytes() != before, "or this is no such commit"
    left = path.read_bytes(), journal.read_bytes()
    with (
        pytest.raises(sqlite3.OperationalError, match="readonly"),
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database,
    ):
        database.execute("SELECT * FROM TrialJobEvent")
    assert finished_trials(experiment) == expected and has_begun(experiment)
    assert (path.read_bytes(), journal.read_bytes()) == left, "NNI's own files are left to NNI"


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 20_000)


def replaced(path: Path) -> None:
    path.write_text("no database")


def of_other_content(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE TrialJobEvent SET data = '[]' WHERE data <> ''")
        database.execute("CREATE TABLE ExperimentProfile (params text, revision integer)")
        database.execute("INSERT INTO ExperimentProfile VALUES ('[]', 1)")
        database.commit()


@pytest.mark.parametrize("damage", [emptied, cut, overwritten, replaced, of_other_content])
def test_a_damaged_database_is_one_line(experiment: Path, damage: Callable[[Path], None]) -> None:
    damage(experiment / "db" / "nni.sqlite")
    for read in (finished_trials, stored_trial_command):
        with pytest.raises(AutoADError, match=r"nni\.sqlite cannot be read: .* Restore its folder, or start") as caught:
            read(experiment)
        assert "\n" not in str(caught.value)
    assert has_begun(experiment), "what cannot be read is not removed"
