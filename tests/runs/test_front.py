"""The front of reward and time, and where it is shown."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from autoad_nni.runs.front import front_lines, front_of, pareto_front, write_front
from autoad_nni.runs.records import HISTORY
from autoad_nni.storing import replace_lines
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict


def trial(number: int, reward: float, ms: float | None, verdict: Verdict = Verdict.OK, known: str = "") -> TrialRecord:
    return TrialRecord(number=number, sample={}, verdict=verdict, reward=reward, ms=ms, known=known)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_a_front_holds_what_no_other_beats(trials: list[tuple[int, int]]) -> None:
    costs, rewards = zip(*trials, strict=True)
    front = {trials[i] for i in pareto_front(costs, rewards)}
    assert front == {
        (c, r) for c, r in trials if not any((oc <= c and r < o) or (oc < c and r <= o) for oc, o in trials)
    }
    assert [costs[i] for i in pareto_front(costs, rewards)] == sorted(c for c, _ in front)


def test_the_front_of_a_search_is_of_good_trials_whose_time_is_known() -> None:
    first, slow = trial(0, 0.75, 2.0), trial(1, 0.875, 30.0, known="patchcore")
    others = [
        trial(2, 0.5, 3.0),
        trial(3, 0.75, 2.0),  # as good as the first, and later
        trial(4, 0.0, 0.125, Verdict.OVER_MS),
        trial(5, 0.9, None),  # of a program that reports by itself
    ]
    assert front_of([slow, first, *others]) == [first, slow]
    assert front_lines([*others, slow, first], "aupro")[1:] == [
        "     3        2 ms  aupro 0.7500",
        "     1       30 ms  aupro 0.8750  patchcore",
    ]
    assert front_lines(others[2:], "auroc") == [] == front_lines([], "auroc")


def test_of_a_long_front_both_ends_are_printed_and_what_is_left_out_is_said() -> None:
    many = [trial(i, 0.5 + i / 100, 1.0 + i) for i in range(30)]
    lines = front_lines(many, "auroc")
    numbers = [int(line.split()[0]) for line in lines[1:-1]]
    assert numbers[0] == 0 and numbers[-1] == 29 and len(numbers) == 6 and numbers == sorted(set(numbers))
    assert lines[-1] == "and 24 more in front.json"
    assert len(front_lines(many[:6], "auroc")) == 7


def test_the_file_holds_the_records_of_the_front(tmp_path: Path) -> None:
    records = [trial(0, 0.9, 5.0), trial(1, 0.8, 6.0), trial(2, 0.7, 1.0)]
    replace_lines(tmp_path / HISTORY, [record.to_json() for record in records])
    write_front(tmp_path)
    written = [TrialRecord.from_json(each) for each in json.loads((tmp_path / "front.json").read_text())]
    assert written == [records[2], records[0]]
