from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tiny_table import N_MODELS, VALUES, exhaustive, line, reward, write

from autoad_nni.errors import AutoADError
from benchmarks.strategies.answers import exact, load_answers
from benchmarks.strategies.tables import find_table, read_table

SAMPLE = exhaustive()[0]


def test_a_table_is_the_same_compressed_and_in_another_order(tmp_path: Path) -> None:
    plain = read_table(write(tmp_path / "small.jsonl", exhaustive()))
    (tmp_path / "small.jsonl.gz").write_bytes(gzip.compress(plain.path.read_bytes()))
    backwards = read_table(write(tmp_path / "backwards.jsonl", reversed(exhaustive())))
    packed_path = find_table(tmp_path, "small")
    assert packed_path is not None and packed_path.suffix == ".gz"
    packed = read_table(packed_path)
    assert (packed.name, packed.lines, packed.digest) == ("small", plain.lines, plain.digest)
    assert backwards.search_space == plain.search_space and backwards.digest != plain.digest


def test_an_exhaustive_table_answers_what_was_recorded(tmp_path: Path) -> None:
    answers = exact(read_table(write(tmp_path / "small.jsonl", exhaustive())))
    assert {label: set(values) for label, values in answers.search_space.items()} == {
        label: set(values) for label, values in VALUES.items()
    }
    assert all(answers.answer(dict(reversed(sample.items()))) == reward(sample) for sample in exhaustive())
    assert answers.description == f"exact: {N_MODELS} models, all trained (108 rejected); best 0.6500"


def test_an_incomplete_table_is_not_exact(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "small.jsonl", exhaustive()[:-1]))
    with pytest.raises(AutoADError, match=f"has {N_MODELS - 1} of {N_MODELS} models. Expected every combination"):
        exact(table)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("not json", "line 2 is 'not json'. Expected JSON with sample"),
        ("[]", r"line 2 is '\[\]'. Expected JSON"),
        ("", "line 2 is ''. Expected JSON"),
        ('{"sample": {}, "default": 0.5, "verdict": "ok", "macs": 1}', "line 2 is"),
        (line(SAMPLE, default="high"), "line 2 is .* Expected JSON"),
        (line(SAMPLE, default=float("nan")), "line 2 is"),
        (line({**SAMPLE, "distance": None}), "line 2 is"),
        (line(SAMPLE), "line 2 repeats the sample of line 1. Expected it once"),
        (line({**SAMPLE, "layer2_kernel": 3}), "line 2 has other labels than line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, second: str, reason: str) -> None:
    path = tmp_path / "small.jsonl"
    path.write_text(f"{line(SAMPLE)}\n{second}\n")
    with pytest.raises(AutoADError, match=reason) as caught:
        read_table(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("small.jsonl", b"", "is empty. Expected a line of JSON per model"),
        ("small.jsonl", b"\xff\xfe", "cannot be read: 'utf-8' codec"),
        ("small.jsonl.gz", b"{}", "cannot be read: Not a gzipped file"),
        ("small.jsonl.gz", gzip.compress(b"{}" * 100, mtime=0)[:-9], "cannot be read: Compressed file ended"),
    ],
)
def test_an_unreadable_table_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AutoADError, match=reason):
        load_answers(tmp_path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(AutoADError, match=r"cannot be read: No such file"):
        read_table(tmp_path / "none.jsonl")
    with pytest.raises(
        AutoADError, match=r"has no table. Expected NAME.jsonl.gz with NAME one of small, random, grown"
    ):
        load_answers(tmp_path)
