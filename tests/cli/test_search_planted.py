"""A folder of good images only, from the command line: defects are planted, and all figures say so."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_command import Ended, command
from skimage import data

import autoad_nni as ad

TRIALS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 parts of a photograph of a brick wall."""
    root, rng, brick = tmp_path_factory.mktemp("images") / "walls", np.random.default_rng(0), data.brick()
    (root / "good").mkdir(parents=True)
    for number in range(60):
        top, left = rng.integers(0, 512 - 64, 2)
        Image.fromarray(brick[top : top + 64, left : left + 64]).save(root / "good" / f"{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def searched(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    run = tmp_path_factory.mktemp("runs") / "planted"
    return command("search", folder, "--output", run, "--trials", TRIALS), run


@pytest.mark.slow
def test_every_figure_of_a_search_is_said_to_be_of_planted_defects(searched: tuple[Ended, Path]) -> None:
    ended, _ = searched
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[1].startswith("images   60 good, none with a defect")
    assert lines[2].startswith("defects  planted into good images that are held out: there are no real ones.")
    # Whatever line has a figure of the reward, says it.
    for line in lines:
        if "auroc" in line and not line.startswith("reward "):
            assert "planted" in line, line
    assert any(line.startswith(f"trial 1/{TRIALS}  best planted auroc ") for line in lines)
    (best,) = (line for line in lines if line.startswith("best: "))
    assert ", planted auroc 0." in best and best.endswith(", 32 planted defects of 40 images)")
    (on_test,) = (line for line in lines if line.startswith("on test"))
    assert on_test.startswith("on test, planted defects (read once, for this model): auroc ") and "aupro" in on_test
    assert "these figures are of planted defects: they compare models, and real defects may score otherwise" in lines
    assert sum(line.startswith("threshold ") and "of 32 planted defects" in line for line in lines) == 2


def test_what_is_written_says_it_too(searched: tuple[Ended, Path]) -> None:
    _, run = searched
    best = json.loads((run / "best.json").read_text())
    assert best["anomalies"] == "planted defects" and best["request"]["anomalies"] == "planted"
    assert best["calibration"]["planted"] is True and best["n_validation"] == [32, 40]
    read = ad.Run(run).best
    assert read is not None and read.to_json() == best
    assert "best planted 0." in repr(ad.Run(run))
    plugins = json.loads((run / "started.json").read_text())["plugins"]
    assert "defect generator scratch" in plugins
    report = (run / "report.html").read_text()
    assert "All figures, those of test too, are of defects that were planted into good images" in report
    assert "planted AUROC, test" in report and "32 planted defects of 40 images" in report
    assert len(list((run / "pictures").rglob("*.png"))) == 40
    events = b"".join(path.read_bytes() for path in (run / "tensorboard").rglob("events*"))
    assert b"validation_planted/auroc" in events and b"validation/auroc" not in events
    assert command("trials", run).out.endswith("Rewards and metrics are of planted defects.\n")


@pytest.mark.slow
def test_it_goes_on_and_refuses_other_images(searched: tuple[Ended, Path], folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(searched[1], run)
    more = command("search", folder, "--output", run, "--trials", TRIALS + 1, "--resume")
    assert more.code == 0 and f"{TRIALS} trials ended before, going on to {TRIALS + 1}" in more.out, more.err
    whole = command("search", folder, "--output", tmp_path / "whole", "--trials", TRIALS + 1)
    assert whole.code == 0
    both = [json.loads((path / "best.json").read_text()) for path in (run, tmp_path / "whole")]
    assert both[0]["test"] == both[1]["test"] and both[0]["validation"] == both[1]["validation"]
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "dent").mkdir()
    for name in ("00.png", "01.png"):
        (other / "good" / name).rename(other / "dent" / name)
    refused = command("search", other, "--output", run, "--trials", TRIALS + 2, "--resume")
    assert refused.code == 2 and "has defects of its own, 2, and --anomalies planted" in refused.err


def test_the_model_predicts_and_is_exported(searched: tuple[Ended, Path], folder: Path, tmp_path: Path) -> None:
    run = searched[1]
    ended = command("predict", run, folder / "good", "--output", tmp_path / "found", "--f1")
    assert ended.code == 0 and "highest F1 on 7 good images and 32 with a planted defect" in ended.out, ended.err
    with (tmp_path / "found" / "predictions.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 60
    ended = command("export", run, "--output", tmp_path / "bundle", "--retrain")
    assert ended.code == 0, ended.err
    card = (tmp_path / "bundle" / "card.md").read_text()
    assert "good images and defects planted into some of them" in card
    assert "Training: 36 good; validation: 8 good, 32 planted defects; test: 8 good, 32 planted defects." in card
    assert "**All figures, those of test too, are of defects that were planted into good images.**" in card
    assert "| | validation, planted defects | test, planted defects |" in card
    assert "with the highest F1 on planted defects" in card
    assert "Trained again on 44 good images; 8 others were kept out, for the threshold." in card
    again = command("predict", tmp_path / "bundle", folder / "good" / "00.png", "--output", tmp_path / "one", "--f1")
    assert again.code == 0 and "32 with a planted defect" in again.out


def test_a_trial_by_hand(folder: Path) -> None:
    words = ("--data", "folder", "--root", folder, "--space", "features", "--sample", "pca", "--steps", 20)
    refused = command("trial", *words)
    assert refused.code == 2 and "Give --anomalies planted" in refused.err
    ended = command("trial", *words, "--anomalies", "planted", "--reward", "aupro", "--test")
    assert ended.code == 0, ended.err
    content = json.loads(ended.out)
    assert content["anomalies"] == "planted defects" and 0 < content["test"]["aupro"] <= 1
    assert content["reward"] == content["validation"]["aupro"]


def test_too_few_good_images_are_one_line(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few" / "good"
    few.mkdir(parents=True)
    for path in sorted((folder / "good").iterdir())[:19]:
        shutil.copy(path, few)
    ended = command("search", few.parent, "--output", tmp_path / "run")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"autoad-nni: {few.parent} has 19 normal images. Expected 20 or more, to train on most of them and to plant "
        "defects into some of the others. Add images.\n"
    )
