"""The experiments on defects with masks, as a user runs them; shorter, so that they end in seconds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.run_command import command
from mini_mvtec import write_mini_mvtec
from PIL import Image

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.metrics.pixel import aupro
from autoad_nni.runs.model import load
from autoad_nni.trial.evaluate import MAP_METRICS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def shortened(name: str, folder: Path, *, trials: int, epochs: int = 1) -> Path:
    text = (EXPERIMENTS / name).read_text()
    text, n_trials = re.subn(r"(?m)^maxTrialNumber: \d+$", f"maxTrialNumber: {trials}", text)
    text, n_epochs = re.subn(r"--epochs \d+", f"--epochs {epochs}", text)
    assert (n_trials, n_epochs) == (1, 1)
    path = folder / name
    path.write_text(text)
    return path


def test_mvtec_runs_on_a_miniature_set(tmp_path: Path) -> None:
    write_mini_mvtec(tmp_path / "data" / "mvtec")
    ended = command("search", shortened("mvtec.yml", tmp_path, trials=4), "--output", tmp_path / "run")
    assert ended.code == 0, ended.err
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["image_shape"] == [3, 224, 224]
    assert all(0 <= part[name] <= 1 for part in (best["trial"]["validation"], best["test"]) for name in MAP_METRICS)
    assert (
        best["trial"]["reward"] == best["trial"]["validation"]["aupro"] > 0.3
    )  # black and white squares on grey stripes

    assert ended.out.endswith(
        f"written to {tmp_path}/run/best.json\nhow it works on test images: {tmp_path}/run/pictures.png\n"
        f"report: {tmp_path}/run/report.html\n"
    )
    # One picture for each test image, and the sheet; a defect's overlay shows the contour of its mask.
    pictures = sorted((tmp_path / "run" / "pictures").rglob("*.png"))
    assert len(pictures) == 6 and sum(path.parent.name == "good" for path in pictures) == 2
    with Image.open(next(path for path in pictures if "broken" in path.parent.name)) as picture:
        assert picture.width == 4 * 224 + 3 * 4 and 224 < picture.height < 2 * 224  # with text and a bar
        assert (np.asarray(picture) == (64, 255, 64)).all(2).sum() > 4 * 40
    with Image.open(tmp_path / "run" / "pictures.png") as sheet:
        assert min(sheet.size) > 224

    # What was kept is the model that was scored.
    model = load(tmp_path / "run")
    task = load_task(TaskOptions(data="mvtec", root=tmp_path / "data" / "mvtec", category="bottle", image_size=224))
    assert task.test.masks is not None
    assert aupro(task.test.masks.numpy(), model.predict(task.test.images).anomaly_map.numpy()) == best["test"]["aupro"]


@pytest.mark.parametrize("name", ["mvtec.yml"])
def test_a_missing_set_is_named_with_where_to_get_it(tmp_path: Path, name: str) -> None:
    ended = command("search", shortened(name, tmp_path, trials=1), "--output", tmp_path / "run")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert str(tmp_path / "data" / "mvtec") in ended.err and not (tmp_path / "run").exists()
    (tmp_path / "data" / "mvtec").mkdir(parents=True)
    ended = command("search", shortened(name, tmp_path, trials=1), "--output", tmp_path / "run")
    assert ended.code == 2 and str(tmp_path / "data/mvtec/bottle/train/good") in ended.err and "mvtec.com" in ended.err


@pytest.mark.slow
def test_textures_leave_a_model_and_pictures(tmp_path: Path) -> None:
    """Under nnictl too: engines/nnictl, on a miniature set."""
    file, run = shortened("textures.yml", tmp_path, trials=2), tmp_path / "run"
    ended = command("search", file, "--output", run, "--seed", 1)  # its first trial ends well
    assert ended.code == 0, ended.err
    assert f"how it works on test images: {run}/pictures.png\n" in ended.out
    best = json.loads((run / "best.json").read_text())
    assert best["search"]["summary"]["trials"] == 2 and best["test"]["aupro"] > 0.15  # chance
    assert len(list((run / "pictures").rglob("*.png"))) == 36 and (run / "pictures.png").exists()
    assert load(run).predict(torch.rand(1, 1, 128, 128)).anomaly_map.shape == (1, 128, 128)
