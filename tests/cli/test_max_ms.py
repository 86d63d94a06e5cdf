"""A search that keeps to a time of one image."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from run_command import Ended, command
from small_experiment import SAMPLE, SPACE, space, write

import autoad_nni as ad
from autoad_nni.runs.front import front_of
from autoad_nni.runs.records import BestRecord, read_history

TRIAL = "autoad-nni trial --data digits --abnormal photos --limit 100 --image-size 64 --epochs 1 --threads 1"
SMALL, LARGE = 3, 256


def ms_of(channels: int, folder: Path) -> float:
    """The time of a model with so many channels, measured by hand."""
    path = folder / "sample.json"
    path.write_text(json.dumps({**SAMPLE, "layer1_channels": channels}))
    ended = command("trial", *TRIAL.split()[2:], "--sample", path)
    assert ended.code == 0, ended
    return float(json.loads(ended.out)["ms"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Nothing else that costs time may vary: pooling makes a model of many channels as quick as one of few.
    alike = {label: values[:1] for label, values in SPACE.items()}
    alike |= {label: SPACE[label] for label in ("distance", "layer1_activation")}
    searched = space(**alike | {"layer1_channels": [SMALL, LARGE], "layer1_kernel": [3]})
    folder = tmp_path_factory.mktemp("experiment")
    return write(folder / "small.yml", trialCommand=TRIAL, searchSpace=searched, maxTrialNumber=4)


@pytest.fixture(scope="module")
def limit(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Far from both, each the least of three measurements: what else the machine does only lengthens them."""
    folder = tmp_path_factory.mktemp("by_hand")
    small, large = (min(ms_of(channels, folder) for _ in range(3)) for channels in (SMALL, LARGE))
    assert 3 * small < large
    return round(math.sqrt(small * large), 2)


@pytest.fixture(scope="module")
def searched(file: Path, limit: float, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    run = tmp_path_factory.mktemp("runs") / "limited"
    return command("search", file, "--output", run, "--max-ms", limit), run


@pytest.mark.slow
def test_slow_models_are_refused_and_the_winner_keeps_to_it(searched: tuple[Ended, Path], limit: float) -> None:
    ended, run = searched
    assert (ended.code, ended.err) == (0, "")
    records, best = read_history(run), BestRecord.read(run)
    assert {record.sample["layer1_channels"] for record in records} == {SMALL, LARGE}
    for record in records:
        assert record.verdict.value == ("over_ms" if record.sample["layer1_channels"] == LARGE else "ok")
        assert record.ms is not None and (record.ms <= limit) == record.ok
    assert best.ms is not None and best.ms <= limit
    assert best.request.options()["max_ms"] == limit
    front = json.loads((run / "front.json").read_text())
    assert front == [record.to_json() for record in front_of(records)] != []
    assert f"time of one image: {best.ms:.3g} ms (processor time, on one thread)\n" in ended.out
    for record in front:
        assert f"\n{record['number']:>6}{record['ms']:>9.3g} ms  auroc {record['reward']:.4f}" in ended.out
    page = (run / "report.html").read_text()
    assert "AUROC against ms" in page or len(front) == sum(record.ok for record in records) == 1
    table = ad.Run(run).trials
    assert list(table["ms"]) == [record.ms for record in records]
    assert list(table["number"][table["front"].astype(bool)]) == sorted(record["number"] for record in front)


@pytest.mark.slow
def test_what_was_measured_is_kept_when_a_search_goes_on(
    searched: tuple[Ended, Path], file: Path, limit: float, tmp_path: Path
) -> None:
    run = shutil.copytree(searched[1], tmp_path / "run")
    before = (run / "history.jsonl").read_bytes()
    ended = command("search", file, "--output", run, "--max-ms", 2 * limit, "--resume")
    assert ended.code == 2 and "max_ms" in ended.err.replace("max-ms", "max_ms")
    ended = command("search", file, "--output", run, "--max-ms", limit, "--resume", "--trials", 5)
    assert ended.code == 0, ended
    assert (run / "history.jsonl").read_bytes().startswith(before) and len(read_history(run)) == 5


@pytest.mark.parametrize("words", [(), pytest.param(("--workers", "1"), marks=pytest.mark.slow)])
def test_where_no_model_is_quick_enough_the_option_to_raise_is_named(
    file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ended = command("search", file, "--output", tmp_path / "run", "--max-ms", 1e-6, "--trials", 2, *words)
    assert ended.code == 1 and "no trial ended well of 2 trials: 2 over_ms." in ended.err
    assert "or raise --max-ms in trialCommand and start anew" in ended.err
    assert json.loads((tmp_path / "run" / "front.json").read_text()) == []


@pytest.mark.parametrize("value", [0, -1, "nan"])
def test_a_limit_out_of_range_is_refused(file: Path, tmp_path: Path, value: Any) -> None:
    ended = command("search", file, "--output", tmp_path / "run", "--max-ms", value)
    assert ended.code == 2 and "--max-ms is " in ended.err and "Expected more than 0" in ended.err
    assert not (tmp_path / "run").exists()
