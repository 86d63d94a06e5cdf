from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni.errors import AutoADError
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

RECORD = TrialRecord(
    number=3,
    sample={"hypothesis": "density", "layer1_kernel": 3},
    verdict=Verdict.OK,
    reward=0.75,
    validation={"auroc": 0.75, "aupr_in": 0.5},
    macs=5400,
    parameters=61,
    seconds=1.5,
    ms=2.25,
    plugins={"hypothesis density": "autoad-nni 0.1.0", "distance l1": "third-party 2"},
)
NUMBERS = st.floats(-1e100, 1e100)
RECORDS = st.builds(
    TrialRecord,
    number=st.integers(0, 10**6),
    sample=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), max_size=3),
    verdict=st.sampled_from(Verdict),
    reward=NUMBERS,
    validation=st.dictionaries(st.text(), NUMBERS, max_size=3),
    macs=st.none() | st.integers(0),
    parameters=st.none() | st.integers(0),
    seconds=st.floats(0, 1e100),
    ms=st.none() | st.floats(0, 1e100),
    plugins=st.dictionaries(st.text(), st.text(), max_size=2),
    detail=st.text(),
    known=st.text(),
    fingerprint=st.text(),
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(RECORDS)
def test_a_record_survives_json(record: TrialRecord) -> None:
    assert TrialRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, verdict=Verdict.OVER_MACS, reward=0.0, validation={}, detail="5,400; the limit is 1."),
        TrialRecord(number=3, sample=RECORD.sample, verdict=Verdict.OK, reward=0.5),
        replace(RECORD, known="patchcore"),
    ],
)
def test_a_record_survives_the_flat_report_to_nni(record: TrialRecord) -> None:
    report = json.loads(json.dumps(record.to_report()))
    assert all(not isinstance(value, dict | list) for value in report.values()), "the web UI shows no nested values"
    assert report["default"] == record.reward
    assert TrialRecord.from_report(3, record.sample, report) == record


def test_the_report_of_another_program_is_a_record_too() -> None:
    assert TrialRecord.from_report(1, {"a": 2}, 0.5) == TrialRecord(
        number=1, sample={"a": 2}, verdict=Verdict.OK, reward=0.5
    )
    own = TrialRecord.from_report(
        1, {}, {"default": 1, "loss": 0.25, "note": "warm", "verdict": "fine", "macs": "many"}
    )
    assert own == TrialRecord(number=1, sample={}, verdict=Verdict.OK, reward=1.0, validation={"loss": 0.25})


@pytest.mark.parametrize("report", [math.nan, math.inf, {"default": -math.inf}, {"auroc": 0.5}, "0.5", None, True])
def test_a_report_without_a_finite_reward_is_a_crash(report: Any) -> None:
    record = TrialRecord.from_report(1, {"a": 2}, report)
    assert record.verdict is Verdict.CRASHED and not record.ok and record.reward == 0.0
    assert "which is not a finite number" in record.detail


@pytest.mark.parametrize(
    "change",
    [
        {"number": "3"},
        {"sample": [1]},
        {"verdict": "fine"},
        {"reward": None},
        {"reward": True},
        {"validation": {"auroc": "high"}},
        {"macs": "many"},
        {"seconds": None},
        {"ms": -1.0},
        {"ms": "short"},
        {"plugins": ["a"]},
        {"detail": None},
        {"known": None},
        {"more": 1},
    ],
)
def test_what_is_no_record_is_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(AutoADError, match=r"^a record of a trial is .* restore it\.$") as caught:
        TrialRecord.from_json({**RECORD.to_json(), **change})
    assert "\n" not in str(caught.value)


def test_a_record_from_before_times_were_measured_is_read() -> None:
    content = RECORD.to_json()
    del content["ms"]
    assert TrialRecord.from_json(content) == replace(RECORD, ms=None)


@pytest.mark.parametrize("field", sorted(RECORD.to_json().keys() - {"ms"}))
def test_a_record_that_lacks_a_field_is_one_line(field: str) -> None:
    content = {name: value for name, value in RECORD.to_json().items() if name != field}
    with pytest.raises(AutoADError, match=r"^a record of a trial is .* restore it\.$"):
        TrialRecord.from_json(content)


def test_the_report_shows_a_known_method_and_nothing_for_other_samples() -> None:
    assert "known" not in RECORD.to_report()
    assert replace(RECORD, known="patchcore").to_report()["known"] == "patchcore"


@pytest.mark.parametrize("content", [None, 3, [], {}, {"number": 3}])
def test_what_is_not_even_an_object_is_one_line(content: Any) -> None:
    with pytest.raises(AutoADError, match=r"Expected an object with detail, fingerprint, known, macs, ms, number"):
        TrialRecord.from_json(content)
