"""What is said of a winner that is not to be relied on as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoad_nni.metrics.threshold import Calibration
from autoad_nni.runs.caveats import caveats
from autoad_nni.runs.records import BestRecord, KnownResult
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.verdicts import Verdict

TRIAL = TrialRecord(number=3, sample={}, verdict=Verdict.OK, reward=0.75, validation={"auroc": 0.75})
KNOWN = replace(TRIAL, number=1, reward=0.7, known="patchcore")
GOOD = BestRecord(
    trial=TRIAL,
    members=(TRIAL,),
    validation={"auroc": 0.75},
    test={"auroc": 0.8},
    known=KnownResult(KNOWN, {"auroc": 0.8}),
    calibration=Calibration(normal=range(1, 20), defects=[18.5, 30.0]),
    request=TrialRequest.from_options(data="folder", root="/data/screws"),
    image_shape=(3, 64, 64),
    search={},
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"test": None},
        {"known": None},
        {"known": KnownResult(KNOWN, None)},
        {"calibration": None},
        {"calibration": Calibration(normal=range(1, 20))},
        dict.fromkeys(["validation", "test", "known", "calibration"]),  # the search has not ended
    ],
)
def test_nothing_is_said_without_a_reason(changes: dict[str, object]) -> None:
    assert caveats(replace(GOOD, **changes)) == []


def test_a_winner_behind_the_best_known_method_on_test() -> None:
    [line] = caveats(replace(GOOD, test={"auroc": 0.79}))
    assert line == (
        "warning: on test the winner is behind the best known method, patchcore (auroc 0.7900 against 0.8000): these "
        "images show no gain of the search"
    )


@pytest.mark.parametrize(
    ("defects", "found"),
    [
        ([18.5, 18.75], "any of the 2 defects of validation: give predict --f1, whose threshold finds 2"),
        ([18.5], "the only defect of validation: give predict --f1, whose threshold finds 1"),
        ([19.0], "the only defect of validation: give predict --f1, whose threshold finds 1"),
    ],
)
def test_a_threshold_that_finds_no_defect(defects: list[float], found: str) -> None:
    [line] = caveats(replace(GOOD, calibration=Calibration(normal=range(1, 20), defects=defects)))
    assert line == f"warning: the threshold 19 does not find {found}, or search again with more good images"


@pytest.mark.parametrize(("reward", "said"), [(0.64, True), (0.65, False)])
def test_planted_defects_that_hardly_any_model_tells(reward: float, said: bool) -> None:
    request = TrialRequest.from_options(data="folder", root="/data/screws", anomalies="planted")
    lines = caveats(replace(GOOD, request=request, validation={"auroc": reward}))
    assert (
        lines
        == [
            "warning: hardly any planted defect is told from good images (planted auroc 0.6400), so that the choice of "
            "the winner was next to chance: add images with real defects"
        ][:said]
    )


def test_real_defects_that_hardly_any_model_tells_are_a_figure_like_any_other() -> None:
    assert caveats(replace(GOOD, validation={"auroc": 0.6})) == []
