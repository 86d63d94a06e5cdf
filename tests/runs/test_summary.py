from __future__ import annotations

from dataclasses import replace

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.runs.summary import TrialSummary, claim, threshold_lines
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict


def trial(verdict: str = "ok", reward: float = 0.0, **sample: object) -> TrialRecord:
    return TrialRecord(number=0, sample=sample, verdict=Verdict(verdict), reward=reward)


def summary() -> TrialSummary:
    counted = TrialSummary("auroc")
    for hypothesis, distance, verdict, reward in (
        ("cluster", "l1", "ok", 0.5),
        ("cluster", "l2", "collapsed", 0.0),
        ("density", "l2", "ok", 0.75),
        ("density", "l1", "ok", 0.7),
        ("density", "l1", "crashed", 0.0),
    ):
        counted.add(trial(verdict, reward, hypothesis=hypothesis, distance=distance, layer1_kernel=3))
    return counted


def test_every_trial_counts_and_the_best_is_kept() -> None:
    assert summary().verdicts == {"ok": 3, "collapsed": 1, "crashed": 1}
    assert summary().to_json() == {
        "trials": 5,
        "verdicts": {"ok": 3, "collapsed": 1, "crashed": 1},
        "choices": {
            "hypothesis": {
                "cluster": {"trials": 2, "ok": 1, "best": 0.5},
                "density": {"trials": 3, "ok": 2, "best": 0.75},
            },
            "distance": {"l1": {"trials": 3, "ok": 2, "best": 0.7}, "l2": {"trials": 2, "ok": 1, "best": 0.75}},
        },
    }


def test_the_table_names_the_metric() -> None:
    counted = TrialSummary("pixel_auroc")
    counted.add(trial("ok", 0.5, hypothesis="cluster"))
    assert counted.lines()[1].split() == ["trials", "ok", "best", "pixel_auroc"]


def test_a_space_without_these_labels_is_counted_by_verdict_only() -> None:
    counted = TrialSummary("auroc")
    counted.add(trial("ok", 0.5, depth=3))
    assert counted.verdicts == {"ok": 1} and counted.to_json()["choices"] == {}
    assert counted.lines()[0] == "1 trial: 1 ok"


def test_one_trial_is_no_trials() -> None:
    counted = TrialSummary("auroc")
    assert counted.headline() == "0 trials: none ended"
    counted.add(trial("crashed"))
    assert counted.headline() == "1 trial: 1 crashed"
    counted.add(trial("ok", 0.5))
    assert counted.headline() == "2 trials: 1 crashed, 1 ok"


def test_known_methods_are_rows_below_the_others() -> None:
    counted = summary()
    for name, verdict, reward in (("patchcore", "ok", 0.8123), ("padim", "crashed", 0.0), ("patchcore", "ok", 0.7)):
        counted.add(replace(trial(verdict, reward, hypothesis="density", distance="l1"), known=name))
    assert [line.split() for line in counted.lines()[-2:]] == [
        ["known", "padim", "1", "0", "-"],
        ["known", "patchcore", "2", "2", "0.8123"],
    ]
    assert counted.to_json()["choices"]["known"]["patchcore"] == {"trials": 2, "ok": 2, "best": 0.8123}
    assert counted.to_json()["choices"]["hypothesis"]["density"]["trials"] == 6, "they count there, too"


def test_a_value_without_a_good_trial_shows_a_dash() -> None:
    counted = TrialSummary("auroc")
    counted.add(trial("collapsed", hypothesis="cluster"))
    assert counted.lines()[2].split() == ["hypothesis", "cluster", "1", "0", "-"]


@pytest.mark.parametrize(
    ("verdicts", "said", "advice"),
    [
        (["over_time"], "1 trial: 1 over_time", ", or raise max_seconds in trialCommand and start anew"),
        (
            ["over_memory", "over_macs", "collapsed", "over_ms"],
            "4 trials: 1 collapsed, 1 over_macs, 1 over_memory, 1 over_ms",
            ", or raise max_macs and max_ms and max_memory in trialCommand and start anew",
        ),
        (["collapsed", "collapsed"], "2 trials: 2 collapsed", ""),
        ([], "0 trials: none ended", ""),
    ],
)
def test_what_to_raise_when_no_trial_ended_well(verdicts: list[str], said: str, advice: str) -> None:
    counted = TrialSummary("auroc")
    for verdict in verdicts:
        counted.add(trial(verdict))
    assert str(AutoADError(counted.no_good_trial("Give more trials"))) == (
        f"no trial ended well of {said}. Expected one with the verdict ok. Give more trials{advice}."
    )


def test_a_rate_that_was_asked_for_is_not_called_the_least() -> None:
    scores = [float(i) for i in range(19)]
    assert claim(Calibration(normal=scores)) == "at most 5 % false alarms, the least that 19 good images allow"
    assert claim(Calibration(normal=scores, rate=0.05)) == "at most 5 % false alarms, from 19 good images"
    assert claim(Calibration(normal=range(250))) == "at most 1 % false alarms, from 250 good images"


def test_without_defects_there_is_one_line_on_thresholds() -> None:
    lines = threshold_lines(Calibration(normal=range(150)))
    assert lines == ["threshold 149: at most 1 % false alarms, from 150 good images"]
