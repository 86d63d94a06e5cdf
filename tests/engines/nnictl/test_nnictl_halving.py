"""Trials that are stopped early under nnictl: NNI's manager ends them, the journal says which and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from engines.nnictl.experiment import ADVISOR, Experiment, rewards_by_sample, search_in_process, write_experiment

from autoad_nni.engines.nnictl.database import finished_trials
from autoad_nni.searches.halving import is_among_best

pytestmark = pytest.mark.timeout(600)

N_TRIALS = 3
OPTIONS = "trial --data digits --abnormal photos --limit 200 --epochs 1 --steps 40 --threads 1"
WAITING = f"{sys.executable} {Path(__file__).with_name('waiting_trial.py')}"


def file(folder: Path, program: str) -> Path:
    tuner = {"strategy": "random", "seed": 3, "halving": {"reduction": 2, "rungs": 1}}
    return write_experiment(
        folder,
        trialCommand=f"{program} {OPTIONS}",
        maxTrialNumber=N_TRIALS,
        trialConcurrency=1,
        tuner={"className": ADVISOR, "codeDirectory": ".", "classArgs": tuner},
    )


def test_gives_what_the_search_in_this_process_gives_and_ends_trials_in_the_middle(tmp_path: Path) -> None:
    with Experiment(tmp_path, file(tmp_path, WAITING)) as experiment:
        assert experiment.wait_for_end(timeout_s=500) == {"status": "DONE", "errors": []}
        events = experiment.journal()
        jobs = {json.loads(job["hyperParameters"][0])["parameter_id"]: job for job in experiment.jobs()}
    assert rewards_by_sample(events) == search_in_process(file(tmp_path, "autoad-nni"), tmp_path / "run")
    seen: list[float] = []
    for event in (event for event in events if event["event"] == "rung"):
        assert event["goes_on"] == is_among_best(event["reward"], seen, 2)
        seen.append(event["reward"])
    stopped = {event["id"] for event in events if event.get("goes_on") is False}
    assert 0 < len(stopped) < N_TRIALS == len(seen)
    records = {event["id"]: event["record"] for event in events if event["event"] == "end"}
    for number, record in records.items():
        assert record["verdict"] == ("stopped" if number in stopped else "ok")
        assert record["macs"] > 0 and record["plugins"] and record["seconds"] > 0
        # NNI has EARLY_STOPPED too, but notes that it ended a trial only after it has given it a status.
        assert jobs[number]["status"] == ("USER_CANCELED" if number in stopped else "SUCCEEDED")
        assert ("finalMetricData" in jobs[number]) == (number not in stopped)
    assert {record.number: record.to_json() for record in finished_trials(experiment.folder)} == records
