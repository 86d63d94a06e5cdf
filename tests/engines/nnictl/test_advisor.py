"""The advisor and its engine, driven with the commands that NNI sends; no server of NNI, no trial."""

from __future__ import annotations

import base64
import json
import os
import pickle
from pathlib import Path
from typing import Any

import nni
import pytest
from engines.nnictl.experiment import SPACE
from engines.nnictl.recorded_manager import RecordedManager, advised

CHOICES = {label: {"_type": "choice", "_value": values} for label, values in SPACE.items()}
ARGUMENTS = {"strategy": "autoad", "seed": 1, "strategy_args": {"batch_size": 8, "candidates": 8}}


def begin(manager: RecordedManager) -> None:
    manager.send("IN", CHOICES)
    assert manager.receive() == ("ID", "")


def rewards(checkpoint: Path) -> dict[int, float]:
    events = [json.loads(line) for line in (checkpoint / "journal.jsonl").read_text().splitlines()]
    return {event["id"]: event["record"]["reward"] for event in events if event["event"] == "end"}


@pytest.mark.slow
def test_trials_that_end_while_the_record_is_replayed_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNI runs the open trials again at once, while the advisor still imports torch and replays its journal."""
    with advised(tmp_path / "checkpoint", monkeypatch, **ARGUMENTS) as manager:
        begin(manager)
        manager.send("GE", 8)
        first = manager.trials(8)
        for trial_id in first:
            manager.end(trial_id, trial_id / 100)
        manager.send("GE", 8)
        second = manager.trials(8)
    assert sorted(rewards(tmp_path / "checkpoint")) == list(range(8))
    with advised(tmp_path / "checkpoint", monkeypatch, **ARGUMENTS) as manager:
        begin(manager)
        for trial_id in second:
            manager.end(trial_id, trial_id / 100)
            manager.send("GE", 1)
        done = [{"parameter": first[i], "value": json.dumps({"default": i / 100})} for i in first]
        manager.send("FD", done)
        manager.send("AD", [{"parameter_id": i, "parameters": second[i]} for i in second])
        manager.send("GE", 8)
        assert sorted(manager.trials(8)) == list(range(16, 24)), "the search goes on"
    assert rewards(tmp_path / "checkpoint") == {i: i / 100 for i in range(16)}


@pytest.mark.slow
def test_trials_that_nni_runs_again_take_the_places_of_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time, a search that was resumed proposes no sample before the last one has its result either."""
    checkpoint = tmp_path / "checkpoint"
    with advised(checkpoint, monkeypatch, **ARGUMENTS) as manager:
        begin(manager)
        manager.send("GE", 1)
        open_trial = manager.trials(1)
    with advised(checkpoint, monkeypatch, **ARGUMENTS) as manager:
        begin(manager)
        manager.send("AD", [{"parameter_id": 0, "parameters": open_trial[0]}])
        manager.send("GE", 1)
        with pytest.raises(TimeoutError):
            manager.receive(timeout_s=3)
        manager.end(0, 0.5)
        manager.send("GE", 1)
        assert list(manager.trials(1)) == [1]
    events = [json.loads(line) for line in (checkpoint / "journal.jsonl").read_text().splitlines()]
    assert [(event["event"], event.get("id")) for event in events[1:]] == [("submit", 0), ("end", 0), ("submit", 1)]


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_nothing_that_nni_sends_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    code = {"__nni_type__": "bytes:" + base64.b64encode(pickle.dumps(Code(made))).decode()}
    nni.load(json.dumps({"x": code}))
    assert made.exists(), "or this test could not fail"
    made.rmdir()
    with advised(tmp_path / "checkpoint", monkeypatch, strategy="random") as manager:
        begin(manager)
        manager.send("PI", code)
        manager.send("AD", [{"parameter_id": None, "parameters": code, "more": code}])
        manager.send("FD", [{"parameter": {"x": code}, "value": json.dumps(code)}])
        manager.send("GE", 1)
        assert list(manager.trials(1)) == [0]
        parameters = json.dumps({"parameter_id": 0, "parameters": code})
        metric = {"parameter_id": 0, "trial_job_id": "job", "type": "PERIODICAL", "sequence": 0}
        manager.send("ME", {**metric, "value": json.dumps({"default": 0.5, "x": code})})
        manager.send("ME", {**metric, "type": "FINAL", "value": json.dumps({"default": 0.5, "x": code})})
        manager.send("EN", {"trial_job_id": "job", "event": "SUCCEEDED", "hyper_params": parameters})
        manager.send("GE", 1)
        assert list(manager.trials(1)) == [1]
        manager._connection.send(json.dumps({"type": "SS", "content": json.dumps(code), "x": code}))
        assert manager.receive()[0] == "ER"
    assert rewards(tmp_path / "checkpoint") == {0: 0.5}
    assert not made.exists()
