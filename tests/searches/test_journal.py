from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni.errors import AutoADError
from autoad_nni.searches.journal import Journal
from autoad_nni.storing import append_line, read_lines, write_json
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

IDENTITY = {"strategy": "random", "seed": 3, "search_space": {"a": [1, 2]}}
ENDED = TrialRecord(number=0, sample={"a": 1}, verdict=Verdict.OK, reward=0.5, validation={"auroc": 0.5})
CRASHED = TrialRecord.crashed(1, {"a": 2}, "RuntimeError: out of memory")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two trials, the second without an end."""
    path = tmp_path / "state" / "journal.jsonl"
    writer = Journal(path, IDENTITY)
    writer.submitted(0, {"a": 1})
    writer.ended(ENDED)
    writer.submitted(1, {"a": 2})
    return path


def test_a_new_journal_makes_its_folder_and_records_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state" / "journal.jsonl"
    assert Journal(path, IDENTITY).recorded == []
    assert read_lines(path) == [{"event": "search", "format": 2, **IDENTITY}]


def test_a_journal_opened_again_gives_its_events_in_order(journal: Path) -> None:
    assert Journal(journal, IDENTITY).recorded == [
        {"event": "submit", "id": 0, "sample": {"a": 1}},
        {"event": "end", "id": 0, "record": ENDED.to_json()},
        {"event": "submit", "id": 1, "sample": {"a": 2}},
    ]


def test_a_crashed_trial_is_recorded_with_its_reason(journal: Path) -> None:
    Journal(journal, IDENTITY).ended(CRASHED)
    event = Journal(journal, IDENTITY).recorded[-1]
    assert event["id"] == 1 and TrialRecord.from_json(event["record"]) == CRASHED


def test_attempts_are_counted_but_for_those_that_were_stopped_on_purpose(journal: Path) -> None:
    writer = Journal(journal, IDENTITY)
    assert (writer.attempts(0), writer.attempts(1), writer.attempts(2)) == (1, 1, 0)
    writer.stopped(1)
    writer.begun_again(1)
    assert Journal(journal, IDENTITY).attempts(1) == 1
    writer.begun_again(1)
    assert writer.attempts(1) == Journal(journal, IDENTITY).attempts(1) == 2


def test_a_digest_is_that_of_the_first_events(journal: Path) -> None:
    writer = Journal(journal, IDENTITY)
    before = [writer.digest(n) for n in range(4)]
    assert len(set(before)) == 4 and writer.n_events == 3
    writer.ended(CRASHED)
    assert [writer.digest(n) for n in range(4)] == before and writer.n_events == 4
    assert writer.digest(4) not in before


def test_a_torn_last_line_is_cut_off_and_appending_goes_on(journal: Path) -> None:
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(b'{"event": "end", "id": 1, "metr')
    reopened = Journal(journal, IDENTITY)
    assert journal.read_bytes() == whole
    assert len(reopened.recorded) == 3
    reopened.ended(CRASHED)
    assert [event["event"] for event in Journal(journal, IDENTITY).recorded] == ["submit", "end", "submit", "end"]


def test_a_whole_line_without_its_newline_is_torn_too(tmp_path: Path) -> None:
    """Appending to it would glue two lines together."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}')
    assert read_lines(path) == [{"a": 1}]
    append_line(path, {"a": 3})
    assert read_lines(path) == [{"a": 1}, {"a": 3}]


def test_a_file_that_is_all_torn_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "sea')
    assert Journal(path, IDENTITY).recorded == []
    assert Journal(path, IDENTITY).recorded == []


def test_a_missing_file_reads_as_empty_and_is_not_made(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none.jsonl") == []
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5), st.data())
def test_lines_survive_any_cut_up_to_the_last_whole_one(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, object]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "lines.jsonl"
    ends = [0]
    for line in lines:
        append_line(path, line)
        ends.append(path.stat().st_size)
    path.touch()
    assert read_lines(path) == lines
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    assert read_lines(path) == lines[: sum(end <= cut for end in ends) - 1]


@pytest.mark.parametrize(
    ("key", "value", "got", "expected"),
    [
        ("seed", 4, "seed = 3", "has 4"),
        ("strategy", "tpe", 'strategy = "random"', 'has "tpe"'),
        ("search_space", {"a": [2, 1]}, "search_space, a = [1, 2]", "has [2, 1]"),
        ("search_space", {"b": [3]}, "search_space, b = null", "has [3]"),
        ("added", "x", "added = null", 'has "x"'),
    ],
)
def test_a_journal_of_another_search_is_refused_and_the_difference_named(
    journal: Path, key: str, value: object, got: str, expected: str
) -> None:
    before = journal.read_bytes()
    with pytest.raises(AutoADError) as caught:
        Journal(journal, {**IDENTITY, key: value})
    message = str(caught.value)
    assert message.startswith(f"{journal} was recorded with {got}, this search {expected}.")
    assert "put the old value back" in message and "\n" not in message
    assert journal.read_bytes() == before


def test_a_long_difference_is_abridged(journal: Path) -> None:
    with pytest.raises(AutoADError) as caught:
        Journal(journal, {**IDENTITY, "search_space": {"a": "x" * 1000}})
    assert len(str(caught.value)) < 600 and "..." in str(caught.value)


def test_of_many_options_the_one_that_differs_is_named(journal: Path, tmp_path: Path) -> None:
    options = ["--data", "folder", "--root", "/a/long/path/" * 9, "--max-seconds", "30", "--threads", "1"]
    path = tmp_path / "options.jsonl"
    Journal(path, {"trial_arguments": options})
    for changed, got, has in (
        (
            [*options[:5], "40", *options[6:]],
            ["--max-seconds", "30", "--threads"],
            ["--max-seconds", "40", "--threads"],
        ),
        (options[:-2], ["30", "--threads", "1"], ["30"]),
        ([*options, "--two-sided"], ["1"], ["1", "--two-sided"]),
    ):
        with pytest.raises(AutoADError) as caught:
            Journal(path, {"trial_arguments": changed})
        assert f"recorded with trial_arguments = {json.dumps(got)}, this search has {json.dumps(has)}. A search" in str(
            caught.value
        )


def test_the_order_of_keys_makes_no_other_search(journal: Path) -> None:
    assert len(Journal(journal, dict(reversed(IDENTITY.items()))).recorded) == 3


@pytest.mark.parametrize("garbage", [b"garbage", b"\xff\xfe\x00", b"", b"[1, 2]", b"3", b'{"torn": '])
def test_a_line_that_is_no_object_is_named_with_its_number(journal: Path, garbage: bytes) -> None:
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join([lines[0], garbage, *lines[1:], b""]))
    with pytest.raises(AutoADError, match=r"line 2 is no JSON object. Expected one JSON object a line. .* restore it"):
        Journal(journal, IDENTITY)


@pytest.mark.parametrize(
    "event",
    [
        {"foreign": 1},
        {"event": "submit", "id": 5, "sample": {"a": 1}},
        {"event": "submit", "id": 2},
        {"event": "end", "id": 0, "record": {}},
        {"event": "end", "id": 2, "record": {}},
        {"event": "end", "id": 1},
        {"event": "again", "id": 0},
        {"event": "stop", "id": 2},
        {"event": "submit", "id": 1, "sample": {"a": 2}},
    ],
)
def test_an_event_that_cannot_follow_is_named_with_its_number(journal: Path, event: dict[str, object]) -> None:
    append_line(journal, event)
    with pytest.raises(AutoADError) as caught:
        Journal(journal, IDENTITY)
    assert f"line 5 is {json.dumps(event)}. Expected the next trial's submission or an end." in str(caught.value)


def test_json_is_replaced_as_a_whole_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    write_json(path, {"reward": 0.5})
    write_json(path, {"reward": 0.75, "name": "ä"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"reward": 0.75, "name": "ä"}
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_json_stays_when_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    write_json(path, {"reward": 0.5})
    with pytest.raises(TypeError):
        write_json(path, {"reward": 0.75, "bad": object()})
    assert json.loads(path.read_text()) == {"reward": 0.5}


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """An open file is the old one to its end: it was replaced, not written over."""
    path = tmp_path / "best.json"
    write_json(path, {"reward": 0.5})
    with path.open() as reader:
        write_json(path, {"reward": 0.75})
        assert json.load(reader) == {"reward": 0.5}


def test_a_link_in_the_place_of_a_file_to_come_leads_nowhere(tmp_path: Path) -> None:
    path, mine = tmp_path / "best.json", tmp_path / "mine.txt"
    mine.write_text("mine")
    path.with_name(f".best.json.{os.getpid()}.unfinished").symlink_to(mine)
    write_json(path, {"reward": 0.5})
    assert mine.read_text() == "mine" and not path.is_symlink()
    assert json.loads(path.read_text()) == {"reward": 0.5} and len(list(tmp_path.iterdir())) == 2
