"""A folder of images from the command line: init, search and minutes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from run_command import Ended, command
from skimage import data
from small_experiment import TRIAL, content, history, write

import autoad_nni as ad
from autoad_nni.engines import in_process
from autoad_nni.engines.in_process import InProcessSearch
from autoad_nni.engines.search import open_experiment
from autoad_nni.runs.one_trial import run_in_folder
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.nni_config import check_nni_config, file_for_nni
from autoad_nni.trial.run import TrialResult

TRIALS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 good and 10 bad parts of a photograph of a brick wall, the bad ones with a white spot."""
    root, rng, brick = tmp_path_factory.mktemp("images") / "brick wall", np.random.default_rng(0), data.brick()
    for kind, count in (("good", 60), ("spot", 10)):
        (root / kind).mkdir(parents=True)
        for number in range(count):
            top, left = rng.integers(0, 512 - 64, 2)
            pixels = brick[top : top + 64, left : left + 64].copy()
            if kind == "spot":
                pixels[20:30, 30:44] = 255
            Image.fromarray(pixels).save(root / kind / f"{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def searched(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    run = tmp_path_factory.mktemp("runs") / "folder"
    return command("search", folder, "--output", run, "--trials", TRIALS), run


def written(folder: Path, path: Path, *words: Any) -> Path:
    ended = command("init", folder, *words)
    assert (ended.code, ended.err) == (0, "")
    path.write_text(ended.out, encoding="utf-8")
    return path


def test_a_search_says_what_it_chose_before_it_starts(searched: tuple[Ended, Path], folder: Path) -> None:
    ended, run = searched
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"searching {folder}"
    first = [line.split()[0] for line in lines[1:9]]
    assert first == ["images", "space", "size", "reward", "training", "limits", "warning:", "trial"]
    assert lines[8].startswith(f"trial 1/{TRIALS}  best auroc ")
    assert "putting the winner together, testing it, drawing pictures" in lines
    assert len(history(run)) == TRIALS


@pytest.mark.slow
def test_the_file_gives_the_same_trials(searched: tuple[Ended, Path], folder: Path, tmp_path: Path) -> None:
    file = written(folder, tmp_path / "my.yml", "--trials", TRIALS)
    ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 0 and history(tmp_path / "run") == history(searched[1])
    assert "searching" not in ended.out
    both = [json.loads((run / "best.json").read_text())["test"] for run in (tmp_path / "run", searched[1])]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    "words", [(), ("--minutes", 10), ("--minutes", 0.5, "--trials", 4, "--seed", 7), ("--max-ms", 12.5)]
)
def test_the_file_is_what_the_search_would_do(folder: Path, tmp_path: Path, words: tuple[Any, ...]) -> None:
    options = {word[2:].replace("-", "_"): value for word, value in zip(words[::2], words[1::2], strict=True)}
    chosen = open_experiment(folder, **options)
    file = read_experiment(written(folder, tmp_path / "my.yml", *words))
    assert file.content == chosen.content and not file.was_short
    check_nni_config(file)
    text = (tmp_path / "my.yml").read_text()
    for reason in chosen.reasons:
        assert f"#   {reason}\n" in text, reason


def test_init_of_what_is_no_folder(tmp_path: Path, folder: Path) -> None:
    for path, message in ((tmp_path / "none", "is not a folder"), (folder / "good", "has neither good nor train/good")):
        ended = command("init", path)
        assert (ended.code, ended.out) == (2, "") and message in ended.err and ended.err.count("\n") == 1


@pytest.fixture
def six_seconds_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a search stands still but for that, and is the one that its records are measured by."""
    now = [0.0]

    def run(*arguments: Any, **options: Any) -> TrialResult:
        assert arguments[3].settings.max_seconds == 1.2, "what was chosen first"
        unhurried = replace(arguments[3], settings=replace(arguments[3].settings, max_seconds=None))
        result = run_in_folder(*arguments[:3], unhurried, **options)
        now[0] += 6.0
        return replace(result, record=replace(result.record, seconds=6.0))

    monkeypatch.setattr(in_process, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(in_process, "run_in_folder", run)


def test_minutes_end_a_search(folder: Path, tmp_path: Path, six_seconds_a_trial: None) -> None:
    ended = command("search", folder, "--output", tmp_path / "run", "--minutes", 0.2)
    assert ended.code == 0, ended.err
    trials = ad.Run(tmp_path / "run").records
    assert len(trials) == 2
    assert "0.2 minutes, then the end (winner, test, pictures); a trial 1.2 seconds: so that 10 fit" in ended.out
    assert " left\n" in ended.out, "although no number of trials says how many are left"
    again = command("search", folder, "--output", tmp_path / "run", "--minutes", 0.3, "--resume")
    assert again.code == 0, again.err
    assert "2 trials ended before, in 0.2 minutes, going on to 0.3 minutes" in again.out
    more = ad.Run(tmp_path / "run").records
    assert [record.sample for record in more[:2]] == [record.sample for record in trials]
    assert len(more) == 3
    options = json.loads((tmp_path / "run" / "started.json").read_text())["request"]
    assert options["max_seconds"] == 1.2


def test_a_trial_that_the_end_stops_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "x.yml", maxTrialNumber=3, maxExperimentDuration="100s")
    with monkeypatch.context() as clock:
        # So little that no trial ends in it, as soon as one has ended.
        clock.setattr(InProcessSearch, "seconds_left", lambda run: 1e-9 if run.folder.best is not None else 50.0)
        ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 0 and len(history(tmp_path / "run")) == 1
    events = [json.loads(line) for line in (tmp_path / "run" / "state" / "journal.jsonl").read_text().splitlines()]
    assert [(event["event"], event["id"]) for event in events[-2:]] == [("submit", 1), ("stop", 1)]
    again = command("search", file, "--output", tmp_path / "run", "--resume")
    assert again.code == 0 and "1 trial ended before, in 0.0 minutes, going on to 3 or 1.67 minutes" in again.out
    assert command("search", file, "--output", tmp_path / "whole").code == 0
    assert history(tmp_path / "run") == history(tmp_path / "whole"), "it ran first"


def test_a_trial_that_is_longer_than_the_search_is_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = TRIAL.replace("--epochs 1", "--epochs 30000")
    file = write(tmp_path / "x.yml", maxTrialNumber=2, maxExperimentDuration="1s", trialCommand=long)
    monkeypatch.setattr(InProcessSearch, "seconds_left", lambda run: 0.2)
    ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 1 and "Add --resume with a larger --minutes" in ended.err
    assert [trial["verdict"] for trial in history(tmp_path / "run")] == ["over_time", "over_time"]
    assert "; the limit is 0." in history(tmp_path / "run")[0]["detail"]


def test_whichever_limit_comes_first(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", maxTrialNumber=2, maxExperimentDuration="1h")
    assert command("search", file, "--output", tmp_path / "run").code == 0
    assert len(history(tmp_path / "run")) == 2
    assert len(ad.search(content(), output=tmp_path / "other", minutes=60, trials=1).records) == 1


@pytest.mark.parametrize("minutes", [0, -1, "nan", "inf"])
def test_minutes_out_of_range(folder: Path, tmp_path: Path, minutes: Any) -> None:
    ended = command("search", folder, "--output", tmp_path / "run", "--minutes", minutes)
    assert ended.code == 2 and "--minutes" in ended.err and "Expected a number above 0" in ended.err
    assert not (tmp_path / "run").exists()


def test_nnictl_gets_the_long_form(tmp_path: Path) -> None:
    from nni.experiment.config import ExperimentConfig

    path = write(tmp_path / "short.yml", searchSpace={"space": "autoencoder", "layers": 1})
    file = read_experiment(path)
    with file_for_nni(file, path) as given:
        config = ExperimentConfig.load(given).canonical_copy()
        assert given.name == "short.yml" and config.search_space == file.search_space
        assert Path(config.trial_code_directory) == tmp_path and Path(config.tuner.code_directory) == tmp_path
    assert not given.exists() and yaml.safe_load(path.read_text())["searchSpace"]["space"] == "autoencoder"
    long = write(tmp_path / "long.yml")
    with file_for_nni(read_experiment(long), long) as given:
        assert given == long
