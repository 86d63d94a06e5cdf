"""Which trials go on at a rung: the rule against its words, and its memory in the journal."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import advisor_arguments
from autoad_nni.searches.halving import Halving, is_among_best, shares_of
from autoad_nni.searches.journal import Journal

SAMPLE = {"distance": "l1"}


def naive(rewards: list[float], reduction: int) -> bool:
    """Whether the last reward stands among the first places of the list of all, the best first."""
    places = sorted(rewards, reverse=True)[: max(1, len(rewards) // reduction)]
    return rewards[-1] in places


@pytest.mark.parametrize("reduction", [2, 3, 4, 9])
@pytest.mark.parametrize("digits", [1, 6])  # of one digit, many are equal
def test_as_many_go_on_as_the_words_say(reduction: int, digits: int) -> None:
    draw = random.Random(reduction)
    rewards = [round(draw.random(), digits) for _ in range(200)]
    for i in range(200):
        assert is_among_best(rewards[i], rewards[:i], reduction) == naive(rewards[: i + 1], reduction)


def test_golden_rule() -> None:
    assert is_among_best(0.0, [], 4)  # the first one is the best so far
    assert not is_among_best(0.4, [0.5], 4)
    assert is_among_best(0.5, [0.5], 4)
    # The third of eight, of which two go on.
    assert not is_among_best(0.45, [0.5, 0.4, 0.3, 0.2, 0.1, 0.6, 0.0], 4)
    assert is_among_best(0.55, [0.5, 0.4, 0.3, 0.2, 0.1, 0.6, 0.0], 4)


def test_about_one_of_so_many_goes_on() -> None:
    draw = random.Random(0)
    rewards = [draw.random() for _ in range(400)]
    going = sum(is_among_best(rewards[i], rewards[:i], 4) for i in range(400))
    assert 90 <= going <= 115


def test_rungs_are_at_powers_of_the_reduction() -> None:
    assert shares_of(2, 2) == (0.25, 0.5)
    assert shares_of(3, 2) == pytest.approx((1 / 9, 1 / 3))
    assert shares_of(4, 1) == (0.25,)


def journal(path: Path, n_trials: int = 0) -> Journal:
    made = Journal(path, {"strategy": "random"})
    for number in range(n_trials):
        made.submitted(number, SAMPLE)
    return made


def visits(n_trials: int) -> list[tuple[int, int, float]]:
    """Trials that come to their rungs in some order."""
    draw = random.Random(1)
    coming = [(trial, rung) for trial in range(n_trials) for rung in (0, 1)]
    draw.shuffle(coming)
    return [(trial, rung, draw.random()) for trial, rung in coming]


def test_a_halving_that_goes_on_decides_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    order = visits(20)
    straight = Halving(journal(tmp_path / "a.jsonl", 20), reduction=3, rungs=2)
    expected = [straight.goes_on(*visit) for visit in order]
    resumed = Halving(journal(tmp_path / "b.jsonl", 20), reduction=3, rungs=2)
    found = []
    for i, visit in enumerate(order):
        if i % 7 == 6:
            resumed = Halving(journal(tmp_path / "b.jsonl"), reduction=3, rungs=2)
        found.append(resumed.goes_on(*visit))
    assert found == expected
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    assert True in expected and False in expected
    assert all(resumed.has_stopped(trial) == (not all(ok)) for trial, ok in by_trial(order, expected).items())


def by_trial(order: list[tuple[int, int, float]], answers: list[bool]) -> dict[int, list[bool]]:
    found: dict[int, list[bool]] = {}
    for (trial, _, _), answer in zip(order, answers, strict=True):
        found.setdefault(trial, []).append(answer)
    return found


def test_a_trial_that_runs_again_gets_the_same_answer_and_counts_once(tmp_path: Path) -> None:
    made = journal(tmp_path / "j.jsonl", 3)
    halving = Halving(made, reduction=2, rungs=1)
    assert halving.goes_on(0, 0, 0.5) and not halving.goes_on(1, 0, 0.4)
    again = Halving(journal(tmp_path / "j.jsonl"), reduction=2, rungs=1)
    assert not again.goes_on(1, 0, 0.9)  # with shared weights it can reach another reward
    assert not again.goes_on(2, 0, 0.45)  # of three, one goes on
    rungs = [event for line in (tmp_path / "j.jsonl").read_text().splitlines() if "rung" in (event := json.loads(line))]
    assert [(event["id"], event["rung"], event["reward"], event["goes_on"]) for event in rungs] == [
        (0, 0, 0.5, True),
        (1, 0, 0.4, False),
        (2, 0, 0.45, False),
    ]


def test_a_known_method_goes_on_and_others_are_compared_with_it(tmp_path: Path) -> None:
    halving = Halving(journal(tmp_path / "j.jsonl", 3), reduction=4, rungs=1)
    assert halving.goes_on(0, 0, 0.9)
    assert halving.goes_on(1, 0, 0.1, known=True)
    assert not halving.goes_on(2, 0, 0.8)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "rung", "id": 1, "rung": 0, "reward": 0.5, "goes_on": True},  # not submitted
        {"event": "rung", "id": 0, "rung": -1, "reward": 0.5, "goes_on": True},
        {"event": "rung", "id": 0, "rung": 0, "reward": "0.5", "goes_on": True},
        {"event": "rung", "id": 0, "rung": 0, "reward": 0.5, "goes_on": 1},
    ],
)
def test_a_rung_that_was_changed_by_hand_is_refused(tmp_path: Path, event: dict[str, Any]) -> None:
    path = tmp_path / "j.jsonl"
    journal(path, 1)
    with path.open("a") as file:
        file.write(json.dumps(event) + "\n")
    with pytest.raises(AutoADError, match="line 3"):
        journal(path)


def test_arguments() -> None:
    assert advisor_arguments({}, "x.yml")["halving"] is None
    assert advisor_arguments({"halving": False}, "x.yml")["halving"] is None
    assert advisor_arguments({"halving": {"reduction": 3}}, "x.yml")["halving"]["reduction"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, r"halving is 1\. Expected true, false or a mapping"),
        ({"reductions": 3}, r"halving is \{'reductions': 3\}"),
        ({"reduction": 1}, r"halving\.reduction is 1\. Expected a whole number from 2 to 100"),
        ({"reduction": 2.5}, r"halving\.reduction is 2\.5"),
        ({"rungs": 0}, r"halving\.rungs is 0\. Expected a whole number from 1 to 10"),
        ({"rungs": True}, r"halving\.rungs is True"),
    ],
)
def test_unfit_arguments_are_named(value: Any, message: str) -> None:
    with pytest.raises(AutoADError, match=message):
        advisor_arguments({"halving": value}, "x.yml")
