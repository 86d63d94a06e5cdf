"""All trials of a search as one table, on the screen and as CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from full_disk import largest_file
from run_command import command

import autoad_nni as ad
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

RECORDS = [
    TrialRecord(number=0, sample={"distance": "l1", "reward": 7, "kernels": [1, 3]}, verdict=Verdict.OVER_TIME,
        seconds=120.5, macs=5400, parameters=61, detail='It took "too" long,\nor so \x1b[31m.'),
    TrialRecord(number=1, sample={"distance": "l2", "reward": 7, "kernels": [1, 3], "deep": True}, verdict=Verdict.OK,
        reward=0.75, validation={"auroc": 0.75, "aupro": 0.5}, seconds=1.5, known="padim", reading="whole",
        ms=12.5),
    TrialRecord(number=2, sample={"distance": "l1", "reward": 7, "kernels": [3]}, verdict=Verdict.OK, reward=0.875,
        validation={"auroc": 0.875, "aupro": 0.25}, seconds=12.25, macs=1_234_567, parameters=61, reading="whole",
        ms=0.25),
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    lines = [json.dumps(record.to_json()) for record in RECORDS]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
    return folder


COLUMNS = [
    "number", "verdict", "reward", "auroc", "aupro", "ms", "front", "seconds", "macs", "parameters", "known",
    "reading", "distance", "sample.reward", "kernels", "deep", "detail",
]  # fmt: skip


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_every_label_metric_and_cost_of_every_trial(run: Path, tmp_path: Path) -> None:
    ended = command("trials", run, "--csv", tmp_path / "trials.csv")
    assert (ended.code, ended.out, ended.err) == (0, f"3 trials written to {tmp_path}/trials.csv\n", "")
    rows = rows_of((tmp_path / "trials.csv").read_text())
    assert list(rows[0]) == COLUMNS
    for row, record in zip(rows, RECORDS, strict=True):
        assert int(row["number"]) == record.number and float(row["reward"]) == record.reward
        assert row["verdict"] == record.verdict.value and float(row["seconds"]) == record.seconds
        assert row["ms"] == ("" if record.ms is None else str(record.ms))
        for name in ("auroc", "aupro"):
            assert row[name] == str(record.validation.get(name, ""))
        assert row["macs"] == ("" if record.macs is None else str(record.macs))
        assert (row["known"], row["reading"]) == (record.known, record.reading)
        assert row["distance"] == record.sample["distance"] and row["sample.reward"] == "7"
        assert json.loads(row["kernels"]) == record.sample["kernels"]
    assert [row["deep"] for row in rows] == ["", "True", ""]
    assert [row["front"] for row in rows] == ["", "False", "True"], "the faster one is the better one, too"
    assert rows[0]["detail"] == 'It took "too" long,\\nor so \\x1b[31m.', "no escape code"
    printed = command("trials", run, "--csv", "-")
    assert printed == (0, (tmp_path / "trials.csv").read_text(), "")


def test_pandas_shows_the_same_table(run: Path) -> None:
    table = ad.Run(run).trials
    assert list(table.columns) == COLUMNS and list(table["reward"]) == [0.0, 0.75, 0.875]


def test_the_screen_has_the_best_first_and_names_what_does_not_fit(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "68")
    lines = command("trials", run).out.splitlines()
    assert lines == [
        "number  reward  verdict    known      ms  front  seconds       macs",
        "     2  0.8750  ok                0.2500  True      12.2  1,234,567",
        "     1  0.7500  ok         padim    12.5  False   1.5000",
        "     0  0.0000  over_time                          120.5      5,400",
        "Left out, as they do not fit: parameters, reading, distance, kernels, deep, sample.reward, auroc, aupro",
    ]
    monkeypatch.setenv("COLUMNS", "200")
    lines = command("trials", run).out.splitlines()
    assert len(lines) == 4 and all(f" {name}" in f" {lines[0]}" for name in COLUMNS[:-1])
    assert max(map(len, lines)) <= 200


def test_a_search_without_trials_and_what_is_no_search(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "history.jsonl").touch()
    assert command("trials", tmp_path / "run") == (0, "no trial has ended\n", "")
    assert command("trials", tmp_path / "run", "--csv", "-").out.startswith("number,")
    (tmp_path / "other").mkdir()
    ended = command("trials", tmp_path / "other")
    assert ended.code == 2 and "holds no search" in ended.err


def test_a_file_is_written_whole_and_a_pipe_is_never_replaced(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("old")
    with largest_file(100):
        ended = command("trials", run, "--csv", path)
    assert ended.code == 2 and "cannot be written: File too large" in ended.err and path.read_text() == "old"
    assert command("trials", run, "--csv", path).code == 0 and path.read_text().startswith("number,")
    assert command("trials", run, "--csv", tmp_path / "no" / "trials.csv").code == 2
    assert command("trials", run, "--csv", tmp_path).code == 2
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[Any] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    assert command("trials", run, "--csv", pipe).code == 0
    reader.join(10)
    assert read == [path.read_text()] and pipe.is_fifo()
