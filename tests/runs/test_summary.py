from __future__ import annotations

import pytest

from autoad_nni.runs.summary import TrialSummary


def summary() -> TrialSummary:
    counted = TrialSummary()
    for hypothesis, distance, metrics in (
        ("cluster", "l1", {"default": 0.5, "verdict": "ok"}),
        ("cluster", "l2", {"default": 0.0, "verdict": "collapsed"}),
        ("density", "l2", {"default": 0.75, "verdict": "ok"}),
        ("density", "l1", {"default": 0.7, "verdict": "ok"}),
        ("density", "l1", None),
    ):
        counted.add({"hypothesis": hypothesis, "distance": distance, "layer1_kernel": 3}, metrics)
    return counted


def test_every_trial_counts_and_the_best_is_kept() -> None:
    assert summary().verdicts == {"ok": 3, "collapsed": 1, "crashed": 1}
    assert summary().to_json() == {
        "hypothesis": {
            "cluster": {"trials": 2, "ok": 1, "best": 0.5},
            "density": {"trials": 3, "ok": 2, "best": 0.75},
        },
        "distance": {"l1": {"trials": 3, "ok": 2, "best": 0.7}, "l2": {"trials": 2, "ok": 1, "best": 0.75}},
    }


def test_a_space_without_these_labels_is_counted_by_verdict_only() -> None:
    counted = TrialSummary()
    counted.add({"depth": 3}, {"default": 0.5})
    assert counted.verdicts == {"ok": 1} and counted.to_json() == {}
    assert counted.lines()[0] == "1 trial: 1 ok"


def test_one_trial_is_no_trials() -> None:
    counted = TrialSummary()
    assert counted.headline() == "0 trials: none ended"
    counted.add({}, None)
    assert counted.headline() == "1 trial: 1 crashed"
    counted.add({}, {"default": 0.5})
    assert counted.headline() == "2 trials: 1 crashed, 1 ok"


def test_a_value_without_a_good_trial_shows_a_dash() -> None:
    counted = TrialSummary()
    counted.add({"hypothesis": "cluster"}, {"default": 0.0, "verdict": "collapsed"})
    assert counted.lines()[2].split() == ["hypothesis", "cluster", "1", "0", "-"]


@pytest.mark.parametrize(
    ("verdicts", "said", "advice"),
    [
        (["over_time"], "1 trial: 1 over_time", ", or raise --max-seconds in trialCommand and start anew"),
        (
            ["over_memory", "over_macs", "collapsed"],
            "3 trials: 1 collapsed, 1 over_macs, 1 over_memory",
            ", or raise --max-macs and --max-memory in trialCommand and start anew",
        ),
        (["collapsed", "collapsed"], "2 trials: 2 collapsed", ""),
        ([], "0 trials: none ended", ""),
    ],
)
def test_what_to_raise_when_no_trial_ended_well(verdicts: list[str], said: str, advice: str) -> None:
    counted = TrialSummary()
    for verdict in verdicts:
        counted.add({}, {"default": 0.0, "verdict": verdict})
    assert counted.no_good_trial("Give more trials") == (
        f"no trial ended well of {said}. Expected one with the verdict ok. Give more trials{advice}."
    )
