from __future__ import annotations

import json
import math
import time
from fractions import Fraction

import numpy as np
import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration, Confusion, Threshold, least_rate, rank_of


def refused(n: int, rate: float) -> bool:
    try:
        rank_of(n, rate)
    except AutoADError:
        return True
    return False


def test_a_rate_is_refused_exactly_where_there_are_too_few_images() -> None:
    """n < 1/rate - 1, in exact numbers: floating point errs at some of these."""
    for denominator in range(2, 400):
        for numerator in (1, 2, 3):
            if numerator < denominator:
                exact = Fraction(numerator, denominator)
                least = math.ceil(1 / exact - 1)
                assert not refused(least, numerator / denominator)
                assert least == 1 or refused(least - 1, numerator / denominator)


def test_the_least_rate_is_accepted_and_what_is_below_it_is_not() -> None:
    for n in range(1, 3000):
        least = least_rate(n)
        assert rank_of(n, least) == n and 1 / (n + 1) <= least < 1.01 / (n + 1) + 1e-12
        assert float(f"{least:.3g}") == least, "three digits, as the message says it"
        assert refused(n, 0.99 / (n + 1))


@pytest.mark.parametrize(
    ("n", "rate", "rank"),
    [(9, 0.1, 9), (19, 0.1, 18), (29, 0.1, 27), (99, 0.01, 99), (199, 0.01, 198), (200, 0.05, 191)],
)
def test_golden_ranks(n: int, rate: float, rank: int) -> None:
    """(n + 1) * 0.9 is 27.000000000000004 for n = 29, were it computed in floating point as 1 - 0.1."""
    assert rank_of(n, rate) == rank


def test_the_message_names_the_rate_that_the_images_give() -> None:
    with pytest.raises(AutoADError) as caught:
        Calibration(normal=range(20), rate=0.01)
    assert str(caught.value) == (
        "false_alarm_rate is 0.01, which takes scores of 99 normal images; there are 20. Expected 0.0477 or more. Give "
        "false_alarm_rate=0.0477, or more good images."
    )
    assert Calibration(normal=range(20), rate=0.0477).default().value == 19


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5.0, math.nan, math.inf, 1e-9, 1 - 1e-12])
def test_a_rate_that_is_none_is_one_line(rate: float) -> None:
    with pytest.raises(AutoADError, match=r"^false_alarm_rate is .*\. Expected more than 0 and less than 1\. Give"):
        Calibration(normal=range(10**4)).at(rate)


@pytest.mark.parametrize(("n", "rate"), [(9, 0.1), (50, 0.1), (39, 0.05), (99, 0.01), (150, 0.01)])
@pytest.mark.parametrize("digits", [None, 1])
def test_the_next_normal_image_exceeds_it_as_often_as_is_claimed(n: int, rate: float, digits: int | None) -> None:
    """Over draws of both, whatever the distribution; without ties by no more than 1/(n + 1) less often."""
    rng, n_draws = np.random.default_rng(n), 20_000
    drawn = rng.standard_cauchy((n_draws, n + 1))
    scores = drawn if digits is None else np.round(drawn, digits)
    thresholds = np.sort(scores[:, :n], axis=1)[:, rank_of(n, rate) - 1]
    assert thresholds[0] == Calibration(normal=scores[0, :n].tolist()).at(rate).value
    realised, scatter = float((scores[:, n] > thresholds).mean()), 4 * math.sqrt(rate * (1 - rate) / n_draws)
    assert realised <= rate + scatter
    if digits is None:
        expected = 1 - rank_of(n, rate) / (n + 1)
        assert rate - 1 / (n + 1) < expected <= rate + 1e-9 and realised == pytest.approx(expected, abs=scatter)


def test_a_lower_rate_never_lowers_the_threshold() -> None:
    rng = np.random.default_rng(0)
    for n in (12, 100, 333):
        calibration = Calibration(normal=rng.normal(size=n).round(1).tolist())
        rates = np.linspace(calibration.least_rate, 0.999, 500)
        values = [calibration.at(rate).value for rate in rates]
        assert values == sorted(values, reverse=True) and values[0] == calibration.normal[-1]
        alarms = [calibration.at(rate).confusion.false_alarms / n for rate in rates]
        assert all(alarm <= rate for alarm, rate in zip(alarms, rates, strict=True))


def test_the_default_is_the_rate_that_was_asked_for_or_1_percent_or_the_least() -> None:
    assert Calibration(normal=range(199)).default().rate == 0.01
    assert Calibration(normal=range(60)).default().rate == 0.0164 >= 1 / 61
    assert Calibration(normal=range(199), rate=0.05).default() == Calibration(normal=range(199)).at(0.05)


def test_of_equal_scores_none_is_above_the_threshold() -> None:
    calibration = Calibration(normal=[1.0] * 18 + [2.0] * 2, defects=[2.0, 2.0, 3.0])
    assert calibration.at(0.1).value == 2.0
    assert calibration.at(0.1).confusion == Confusion(found_defects=1, missed_defects=2, false_alarms=0, passed=20)
    assert calibration.at(0.2).value == 1.0
    assert calibration.at(0.2).confusion == Confusion(found_defects=3, missed_defects=0, false_alarms=2, passed=18)
    float32 = Calibration(normal=np.array([0.1], np.float32).tolist())
    assert float32.at(0.5).value > 0.1, "the number itself, not the one that it looks like"


def naive_best_f1(normal: list[float], defects: list[float]) -> tuple[float, float]:
    """F1 and value: every place between two scores, and below all, one after the other."""
    scores = sorted({*normal, *defects})
    best = (-1.0, 0.0)
    for value in [scores[0] - 1, *((low + high) / 2 for low, high in zip(scores, scores[1:]))]:  # noqa: B905, RUF007
        found = sum(score > value for score in defects)
        alarms = sum(score > value for score in normal)
        precision, recall = found / max(found + alarms, 1), found / len(defects)
        f1 = 2 * precision * recall / (precision + recall) if found else 0.0
        best = max(best, (round(f1, 12), value))
    return best


@pytest.mark.parametrize("digits", [0, 1, 15])
def test_the_best_f1_is_that_of_a_naive_twin(digits: int) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        normal = rng.normal(size=rng.integers(1, 30)).round(digits).tolist()
        defects = (rng.normal(size=rng.integers(1, 12)) + rng.integers(-1, 4)).round(digits).tolist()
        found = Calibration(normal=normal, defects=defects).best_f1()
        f1, value = naive_best_f1(normal, defects)
        assert found is not None and found.rule == "f1" and found.rate is None
        assert found.value == pytest.approx(value) and found.confusion.f1 == pytest.approx(f1)
        confusion = found.confusion
        assert confusion.found_defects == sum(score > found.value for score in defects)
        assert confusion.false_alarms == sum(score > found.value for score in normal)
        assert confusion.found_defects + confusion.missed_defects == len(defects)
        assert confusion.false_alarms + confusion.passed == len(normal)


def test_the_best_f1_of_many_images_takes_no_time() -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration(normal=rng.normal(size=100_000).tolist(), defects=rng.normal(1, 1, 100_000).tolist())
    started = time.process_time()
    assert calibration.best_f1() is not None
    assert time.process_time() - started < 60, "quadratic, it would be an hour"


def test_without_defects_there_is_no_f1() -> None:
    calibration = Calibration(normal=[1.0, 2.0, 3.0])
    assert calibration.best_f1() is None and calibration.thresholds() == [calibration.default()]
    assert calibration.default().confusion.f1 == 0.0


def test_it_survives_json() -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration(normal=rng.normal(size=30).tolist(), defects=rng.normal(size=5).tolist(), rate=0.1)
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration and again.thresholds() == calibration.thresholds()
    assert isinstance(again.thresholds()[0], Threshold)


@pytest.mark.parametrize(
    "damage",
    [
        {"normal": []},
        {"normal": ["high"]},
        {"normal": None},
        {"defects": [None]},
        {"normal": [math.nan]},
        {"defects": [math.inf]},
        {"rate": "1 %"},
        {"rate": 0.001},
    ],
)
def test_damaged_json_is_refused(damage: dict[str, object]) -> None:
    content = Calibration(normal=[1.0, 2.0], defects=[3.0]).to_json()
    with pytest.raises((KeyError, TypeError, ValueError, AutoADError)):
        Calibration.from_json({**content, **damage})
    with pytest.raises(KeyError):
        Calibration.from_json({"normal": [1.0]})
