from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.runs.records import BestRecord, KnownResult, read_history
from autoad_nni.storing import append_line
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.verdicts import Verdict

TRIAL = TrialRecord(
    number=3, sample={"distance": "l1"}, verdict=Verdict.OK, reward=0.75, validation={"auroc": 0.75}, seconds=1.5
)
OTHER = replace(TRIAL, number=1, reward=0.7, known="patchcore")
BEST = BestRecord(
    trial=TRIAL,
    members=(TRIAL, OTHER),
    validation={"auroc": 0.8},
    interval=(0.6, 0.9),
    n_validation=(12, 96),
    known=KnownResult(OTHER, {"auroc": 0.45}),
    calibration=Calibration(normal=[0.5, 0.1, 0.3], defects=[0.2, 0.7], rate=0.25),
    request=TrialRequest.from_options(data="folder", root="/data/screws", image_size=64, patch=16),
    image_shape=(3, 64, 64),
    test={"auroc": 0.5},
    ms=4.5,
    search={"strategy": "autoad", "seed": 0, "summary": {"trials": 4}},
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"test": None, "test_detail": "non_finite: 1 of 3 scores"},
        {"known": KnownResult(OTHER, None)},
        {"calibration": Calibration(normal=[0.5])},
        {
            **dict.fromkeys(["validation", "interval", "n_validation", "test", "known", "calibration"]),
            "members": (TRIAL,),
        },
    ],
)
def test_the_best_model_survives_its_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    record = replace(BEST, **changes)
    record.write(tmp_path)
    assert BestRecord.read(tmp_path) == record
    assert record.sample == {"distance": "l1"}


def test_a_file_from_before_times_were_measured_is_read(tmp_path: Path) -> None:
    content = BEST.to_json()
    for each in (content, content["trial"], *content["members"], content["known"]["trial"]):
        del each["ms"]
    (tmp_path / "best.json").write_text(json.dumps(content))
    assert BestRecord.read(tmp_path) == replace(BEST, ms=None)


def test_thresholds_stand_in_the_file_for_readers() -> None:
    by_rate, by_f1 = BEST.to_json()["thresholds"]
    assert (by_rate["value"], by_rate["rule"], by_rate["rate"]) == (0.5, "false_alarm_rate", 0.25)
    assert by_rate["confusion"] == {"found_defects": 1, "missed_defects": 1, "false_alarms": 0, "passed": 3}
    assert (by_f1["value"], by_f1["rule"], by_f1["rate"]) == (0.6, "f1", None)
    assert replace(BEST, calibration=None).to_json()["thresholds"] is None


def test_the_reward_is_the_winner_s_once_the_search_has_ended() -> None:
    assert (BEST.reward, replace(BEST, validation=None).reward) == (0.8, 0.75)


def test_a_folder_without_a_best_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(AutoADError, match=rf"^{tmp_path} has no best\.json\. Expected the best model of a search"):
        BestRecord.read(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "",
        lambda content: "[]",
        lambda content: "{",
        lambda content: json.dumps({**content, "format": 1}),
        lambda content: json.dumps({**content, "members": []}),
        lambda content: json.dumps({**content, "members": 3}),
        lambda content: json.dumps({**content, "members": [3]}),
        lambda content: json.dumps({**content, "interval": [0.5]}),
        lambda content: json.dumps({**content, "n_validation": ["some", 96]}),
        lambda content: json.dumps({**content, "known": {"trial": content["trial"]}}),
        lambda content: json.dumps({**content, "calibration": {**content["calibration"], "normal": []}}),
        lambda content: json.dumps({**content, "calibration": {**content["calibration"], "rate": 0.01}}),
        lambda content: json.dumps({**content, "calibration": [0.5]}),
        lambda content: json.dumps({**content, "image_shape": [3, 64]}),
        lambda content: json.dumps({**content, "image_shape": [3, 64, "wide"]}),
        lambda content: json.dumps({**content, "request": {**content["request"], "epoch": 3}}),
        lambda content: json.dumps({**content, "request": {}}),
        lambda content: json.dumps({**content, "test": [0.5]}),
        lambda content: json.dumps({**content, "test": {"auroc": None}}),
        lambda content: json.dumps({**content, "trial": {**content["trial"], "reward": "high"}}),
        lambda content: json.dumps({name: value for name, value in content.items() if name != "search"}),
        lambda content: json.dumps({**content, "search": 3}),
    ],
)
def test_a_file_changed_by_hand_is_one_line(tmp_path: Path, damage: Callable[[dict[str, Any]], str]) -> None:
    (tmp_path / "best.json").write_text(damage(BEST.to_json()))
    with pytest.raises(AutoADError, match=rf"^{tmp_path}/best.json cannot be read: .* Expected what a searc") as caught:
        BestRecord.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_history_is_read_without_the_line_that_a_kill_left(tmp_path: Path) -> None:
    crashed = TrialRecord.crashed(4, {"distance": "l2"}, "RuntimeError: boom")
    for record in (TRIAL, crashed):
        append_line(tmp_path / "history.jsonl", record.to_json())
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"number": 5, "sam')
    before = (tmp_path / "history.jsonl").read_bytes()
    assert read_history(tmp_path) == [TRIAL, crashed]
    assert (tmp_path / "history.jsonl").read_bytes() == before, "another process may be writing it"
    assert read_history(tmp_path / "nowhere") == []
