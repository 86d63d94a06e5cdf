"""``autoad-nni trial`` on images with masks of defects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from run_command import Ended, command
from small_experiment import SAMPLE

from autoad_nni.trial.evaluate import IMAGE_METRICS, MAP_METRICS, REWARDS

SIDE, PATCH = 32, 16


def write(path: Path, number: int, *, defect: bool = False) -> None:
    rng = np.random.default_rng(number)
    pixels, mask = rng.integers(80, 140, (SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    if defect:
        top, left = rng.integers(0, SIDE - 8, 2)
        area = slice(top, top + 6), slice(left, left + 8)
        pixels[area] += np.uint8(10 * (number % 7))
        mask[area] = 255
        place = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature MVTec-AD of one category."""
    root = tmp_path_factory.mktemp("mvtec")
    for i in range(12):
        write(root / "tile" / "train" / "good" / f"{i:03}.png", i)
    for i in range(8):
        write(root / "tile" / "test" / "good" / f"{i:03}.png", 20 + i)
        write(root / "tile" / "test" / ("crack" if i % 2 else "oil") / f"{i:03}.png", 40 + i, defect=True)
    return root


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.json"
    path.write_text(json.dumps({**SAMPLE, "layer1_pooling_kernel": 3}))
    return path


def trial(root: Path, sample: Path, *more: object, data: str = "folder") -> Ended:
    words = ("--data", data, "--root", root, "--category", "tile", "--epochs", 2, "--threads", 1, "--sample", sample)
    return command("trial", *words, *more)


def metrics_of(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    metrics: dict[str, Any] = json.loads(ended.out)
    assert metrics.pop("seconds") >= 0
    assert (metrics.pop("ms") is None) == (metrics["verdict"] != "ok")
    return metrics


@pytest.mark.parametrize("words", [(), ("--patch", PATCH)], ids=["whole", "patches"])
def test_the_metrics_of_maps_for_validation_and_test(root: Path, sample: Path, words: tuple[object, ...]) -> None:
    ended = trial(root, sample, *words, "--reward", "aupro", "--test")
    metrics = metrics_of(ended)
    assert metrics["verdict"] == "ok" and metrics["reward"] == metrics["validation"]["aupro"]
    validation, test = metrics["validation"], metrics["test"]
    assert list(validation) == list(test) == list(REWARDS)
    assert all(0 <= part[name] <= 1 for part in (validation, test) for name in REWARDS)
    assert test != validation
    assert metrics["macs"] == (PATCH if words else SIDE) ** 2 * 27 + (6 if words else 11) ** 2 * 27
    epochs = [json.loads(line) for line in ended.err.splitlines()]
    assert [set(epoch) for epoch in epochs] == [{"default", "loss", *REWARDS}] * 2
    assert all(epoch["default"] == epoch["aupro"] for epoch in epochs)
    assert {name: epochs[-1][name] for name in REWARDS} == validation
    # The same trial again, from the cache of images.
    assert metrics_of(trial(root, sample, *words, "--reward", "aupro", "--test")) == metrics


def test_the_category_of_a_set_in_the_layout_and_mvtec_are_one(root: Path, sample: Path) -> None:
    folder, mvtec = (metrics_of(trial(root, sample, "--test", data=data)) for data in ("folder", "mvtec"))
    plugins = folder.pop("plugins"), mvtec.pop("plugins")
    assert folder == mvtec
    assert "data set folder" in plugins[0] and "data set mvtec" in plugins[1]


def test_smoothing_and_reward_are_taken_over(root: Path, sample: Path) -> None:
    default, own, sharp = (
        metrics_of(trial(root, sample, *words))
        for words in ((), ("--smoothing", SIDE / 56), ("--smoothing", 0, "--reward", "rpro"))
    )
    assert default == own
    smoothed, exact = default["validation"], sharp["validation"]
    assert exact["pixel_auroc"] != smoothed["pixel_auroc"] and exact["auroc"] == smoothed["auroc"]
    assert sharp["reward"] == exact["rpro"] and default["reward"] == smoothed["auroc"]


def test_a_model_that_needs_too_much_memory_is_refused(root: Path, tmp_path: Path) -> None:
    wide = {**SAMPLE, "layer1_channels": 256, "layer1_pooling_kernel": 1}
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    ended = trial(root, tmp_path / "wide.json", "--max-memory", 8, "--test")
    metrics = metrics_of(ended)
    assert (metrics["verdict"], metrics["reward"]) == ("over_memory", 0.0)
    assert "the limit is 8 MB" in metrics["detail"]
    assert ended.err == "" and "test" not in metrics and metrics["validation"] == {}


def fault(ended: Ended) -> str:
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1, ended
    return ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--patch", 33), "--patch is 33, the images are 32 x 32. Expected 8 pixels up to the shorter side."),
        (("--patch", 7), "--patch is 7, the images are 32 x 32."),
        (("--image-size", 16, "--patch", 17), "--patch is 17, the images are 16 x 16."),
        (("--smoothing", -1), "--smoothing is -1.0. Expected 0 to 224 pixels"),
        (("--reward", "pro"), "--reward is 'pro'. Expected one of auroc, aupr_in, aupr_out, pixel_auroc, aupro, rpro,"),
        (("--max-memory", 0), "--max-memory is 0. Expected more than 0."),
        (("--patch", "big"), "--patch"),
    ],
)
def test_options_out_of_range(root: Path, sample: Path, words: tuple[object, ...], message: str) -> None:
    assert message in fault(trial(root, sample, *words))


def test_a_reward_from_masks_without_masks(root: Path, sample: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "tile", tmp_path / "tile", ignore=shutil.ignore_patterns("ground_truth"))
    for reward in MAP_METRICS:
        message = fault(trial(tmp_path, sample, "--reward", reward))
        assert f"--reward is {reward}, and folder/tile vs defects has no masks of defects." in message
        assert "Expected a ground_truth folder" in message and "give --reward auroc" in message
    metrics = metrics_of(trial(tmp_path, sample, "--test"))
    assert set(metrics["test"]) == set(metrics["validation"]) == set(IMAGE_METRICS)


def test_wrong_masks_and_a_missing_set_are_one_line(root: Path, sample: Path, tmp_path: Path) -> None:
    message = fault(trial(tmp_path / "none", sample, data="mvtec"))
    assert str(tmp_path / "none" / "tile" / "train" / "good") in message and "mvtec.com" in message
    shutil.copytree(root / "tile", tmp_path / "tile")
    mask = tmp_path / "tile" / "ground_truth" / "oil" / "002_mask.png"
    mask.unlink()
    assert f"There is no mask {mask}." in fault(trial(tmp_path, sample))
