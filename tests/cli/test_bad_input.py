"""Whatever a user gets wrong: one line on stderr, exit code 2, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from run_command import Ended, command, run
from small_experiment import SAMPLE, TRIAL, content, space, tuner, write


def assert_one_line(ended: Ended, *parts: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.startswith("autoad-nni: ") and ended.err.endswith("\n") and ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err + ended.out
    for part in parts:
        assert part in ended.err


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 30 good images and 4 with a defect."""
    random = np.random.default_rng(0)
    for kind, count in (("good", 30), ("defect", 4)):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / kind / f"{i:02d}.png")
    return tmp_path / "images"


WRONG_SPACES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (space(layer1_colour=[1]), ("Unknown label 'layer1_colour'", "Expected: hypothesis, distance and layer1_")),
    (space(layer1_kernal=[1]), ("Did you mean 'layer1_kernel'?",)),
    (space(layer1_kernel=None), ("The label 'layer1_kernel' is missing.", "Add it.")),
    (space(layer3_kernel=[1]), ("The label", "is missing")),
    (space(layer1_kernel=[2]), ("unknown value 2 for layer1_kernel", "[1, 3, 5, 7]", "drop that value")),
    (space(layer1_kernel=[True]), ("unknown value True for layer1_kernel",)),
    (space(layer1_kernel=["3"]), ("unknown value '3' for layer1_kernel",)),
    (space(layer1_activation=["swish"]), ("unknown value 'swish' for layer1_activation",)),
    (space(layer1_activation=[]), ("leaves layer1_activation without a value",)),
    (space(layer1_activation=[["relu"]]), ("unknown value ['relu'] for layer1_activation",)),
    ({**space(), "distance": ["l1"]}, ("searchSpace has distance: ['l1']", "{_type: choice, _value: [...]}")),
    ({**space(), "distance": {"_type": "uniform", "_value": [0, 1]}}, ("Expected {_type: choice",)),
    ({**space(), 7: {"_type": "choice", "_value": [1]}}, ("Unknown label '7'",)),
    ({}, ("searchSpace is {}", "'autoad-nni space' writes one")),
]


@pytest.mark.parametrize(("search_space", "parts"), WRONG_SPACES)
def test_search_spaces(tmp_path: Path, search_space: dict[str, Any], parts: tuple[str, ...]) -> None:
    ended = command("search", write(tmp_path / "x.yml", searchSpace=search_space), "--output", tmp_path / "run")
    assert_one_line(ended, *parts)
    assert not (tmp_path / "run").exists()


WRONG_KEYS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"tuner": tuner(strategy="autoda")}, ("Unknown strategy 'autoda'", "Installed: autoad, ", "'autoad'?")),
    ({"tuner": tuner(strategy=5)}, ("tuner.classArgs.strategy is 5", "Expected a name")),
    ({"tuner": tuner(space="autoencodr")}, ("autoencodr", "autoencoder")),
    ({"tuner": tuner(strategy_args={"batch_size": 0})}, ("strategy_args {'batch_size': 0}", "batch_size is 0")),
    ({"tuner": tuner(strategy_args={"batchsize": 5})}, ("batchsize", "Correct tuner.classArgs.")),
    ({"tuner": tuner(strategy_args=[5])}, ("tuner.classArgs.strategy_args is [5]", "Expected a mapping")),
    ({"tuner": tuner(strategy="random", strategy_args={"dedupe": True})}, ("dedupe",)),
    ({"tuner": tuner(seed="x")}, ("tuner.classArgs.seed is 'x'", "whole number")),
    ({"tuner": tuner(sed=1)}, ("Expected keys out of strategy, strategy_args, seed, space",)),
    ({"tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}},
     ("the tuner 'TPE' runs under nnictl only", "Use 'autoad-nni launch', or the advisor with strategy: tpe")),
    ({"tuner": None}, ("tuner is missing", "Expected a mapping with className or name")),
    ({"trialCommand": "no-such-command trial --data digits"}, ("'no-such-command', which is not found on PATH",)),
    ({"trialCommand": "python train.py"}, ("Expected 'autoad-nni trial' with its options",)),
    ({"trialCommand": None}, ("trialCommand is None",)),
    ({"trialCommand": f"{TRIAL} 'open"}, ("Close the quotes",)),
    ({"trialCommand": f"{TRIAL} --test"}, ("trialCommand has --test, which is for a trial by hand", "Remove it.")),
    ({"trialCommand": f"{TRIAL} --sample best.json"}, ("trialCommand has --sample, which is for a trial by hand",)),
    ({"trialCommand": f"{TRIAL} --help"}, ("trialCommand has --help", "Remove it.")),
    ({"maxTrialNumber": 0}, ("maxTrialNumber is 0", "1 or more")),
    ({"maxTrialNumber": None}, ("the search has no end", "Add one, or give --trials 30 or --minutes 10.")),
    ({"maxExperimentDuration": "soon"}, ("maxExperimentDuration is 'soon'", "Write for instance 2h.")),
    ({"searchSpace": None, "searchSpaceFile": "none.json"}, ("there is no searchSpaceFile",)),
    ({"bogus": 3}, ("NNI refuses it: ExperimentConfig does not have field(s) bogus.", "Correct that key")),
    ({"trialConcurrency": "many"}, ("type of trialConcurrency ('many') is not",)),
    ({"trialConcurrency": None}, ("trialConcurrency is not set",)),
    ({"trialConcurrency": 0}, ("a value is out of range, for instance trialConcurrency",)),
    ({"trialCodeDirectory": "nowhere"}, ("trialCodeDirectory", "is not a directory")),
    ({"trainingService": None}, ("trainingService, tuner or assessor is missing",)),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "parts"), WRONG_KEYS)
def test_experiment_files(tmp_path: Path, changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    ended = command("search", write(tmp_path / "x.yml", **changes), "--output", tmp_path / "run")
    assert_one_line(ended, *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"- trialCommand\n- tuner\n", "holds a list. Expected a mapping"),
        (b"nothing but text", "holds a str. Expected a mapping"),
        (b"", "is empty. Expected a mapping"),
        (b"tuner: {name", "is not YAML"),
        (b"trialCodeDirectory:\n" + yaml.safe_dump(content()).encode(), "type of trialCodeDirectory (None) is not"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "is not YAML"),
    ],
)
def test_files_that_are_no_experiment(tmp_path: Path, raw: bytes, part: str) -> None:
    (tmp_path / "x.yml").write_bytes(raw)
    assert_one_line(command("search", tmp_path / "x.yml", "--output", tmp_path / "run"), part)
    assert not (tmp_path / "run").exists()


TRIAL_OPTIONS: list[tuple[str, tuple[str, ...]]] = [
    ("--data digit --abnormal photos", ("Unknown data set 'digit'", "Did you mean 'digits'?")),
    ("--data digits --abnormal photoss", ("Unknown data set 'photoss'", "Did you mean 'photos'?")),
    ("--data digits --abnormal digits", ("--abnormal names digits, which is the normal set",)),
    ("--data digits", ("labels have one class only", "Give --anomalies planted", "--abnormal NAME")),
    ("--data digits --anomalies plant", ("--anomalies is 'plant'", "Expected planted", "Give --anomalies planted")),
    ("--data digits --anomalies planted --abnormal photos", ("--abnormal names photos", "Leave out one of the two")),
    ("--data digits --abnormal photos --reward auc", ("--reward is 'auc'", "auroc, aupr_in, aupr_out")),
    ("--data digits --abnormal photos --preset papr", ("--preset is 'papr'", "default, paper")),
    ("--data digits --abnormal photos --device tpu", ("--device is 'tpu'", "auto, cpu, cuda")),
    ("--data digits --abnormal photos --epochs 0", ("--epochs is 0", "1 or more")),
    ("--data digits --abnormal photos --max-macs 0", ("--max-macs is 0", "more than 0")),
    ("--data digits --abnormal photos --max-seconds -1", ("--max-seconds is -1", "more than 0")),
    ("--data digits --abnormal photos --threads 0", ("--threads is 0", "more than 0")),
    ("--data digits --abnormal photos --image-size 5", ("--image-size is 5", "8 to 224")),
    ("--data digits --abnormal photos --limit 3", ("--limit is 3", "10 normal images or more")),
    ("--data digits --abnormal photos --seed -1", ("--seed is -1", "0 or more")),
    (f"--data digits --abnormal photos --seed {2**63}", (f"--seed is {2**63}", "2^63 - 1")),
    ("--data digits --abnormal photos --epoch 3", ("--epoch", "--epochs")),
    ("--data digits --abnormal photos --epochs many", ("--epochs", "int", "'many'")),
    ("--data digits --abnormal photos --epochs", ("--epochs", "argument")),
    ("--data digits --abnormal photos stray", ("stray",)),
    ("--abnormal photos", ("--data is missing",)),
    ("--data folder", ("--data folder without --root",)),
    ("--data folder --root missing/images", ("missing/images is not a folder",)),
    ("--data digits --abnormal photos --space autoencodr", ("autoencodr",)),
]


@pytest.mark.parametrize(("options", "parts"), TRIAL_OPTIONS)
def test_options_of_a_trial_in_the_experiment_file(tmp_path: Path, options: str, parts: tuple[str, ...]) -> None:
    file = write(tmp_path / "x.yml", trialCommand=f"autoad-nni trial {options}")
    assert_one_line(command("search", file, "--output", tmp_path / "run"), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "parts"), TRIAL_OPTIONS)
def test_options_of_a_trial_by_hand(tmp_path: Path, options: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "sample.json").write_text(json.dumps(SAMPLE))
    ended = command("trial", "--sample", tmp_path / "sample.json", *options.split())
    assert_one_line(ended, *parts)
    assert ended.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_ends_a_search_at_once(tmp_path: Path) -> None:
    """Not as so many crashed trials."""
    file = write(tmp_path / "x.yml", trialCommand=f"{TRIAL} --device cuda")
    ended = command("search", file, "--output", tmp_path / "run")
    assert_one_line(ended, "torch finds no CUDA device", "Give --device auto or --device cpu.")
    assert not (tmp_path / "run").exists()


def test_the_space_of_the_trials_is_that_of_the_strategy(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", trialCommand=f"{TRIAL} --space other")
    ended = command("search", file, "--output", tmp_path / "run")
    assert_one_line(ended, "trialCommand has --space other, tuner.classArgs has space autoencoder.")


def folder_fault(images: Path, tmp_path: Path) -> Ended:
    file = write(
        tmp_path / "x.yml", trialCommand=f"autoad-nni trial --data folder --root {images} --epochs 1 --threads 1"
    )
    ended = command("search", file, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    return ended


@pytest.mark.parametrize("name", ["good/00.png", "good/07.png", "defect/03.png"])
@pytest.mark.parametrize("damage", [lambda raw: b"no image", lambda raw: raw[: len(raw) // 2], lambda raw: b""])
def test_unreadable_images(images: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (images / name).write_bytes(damage((images / name).read_bytes()))
    assert_one_line(folder_fault(images, tmp_path), f"cannot read the image {images / name}", "Replace or remove it.")


def test_large_photographs_are_no_attack(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from 90 megapixels on; here from 40 pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path / "cache"))
    words = f"trial --data folder --root {images} --epochs 1 --threads 1".split()
    (tmp_path / "sample.json").write_text(json.dumps(SAMPLE))
    assert command(*words, "--sample", tmp_path / "sample.json").code == 0


def test_a_folder_without_defects_and_without_abnormal(images: Path, tmp_path: Path) -> None:
    for path in (images / "defect").iterdir():
        path.unlink()
    (images / "defect").rmdir()
    assert_one_line(folder_fault(images, tmp_path), "one class only", "Give --anomalies planted", "--abnormal NAME")


def test_a_folder_of_another_layout(tmp_path: Path) -> None:
    (tmp_path / "images" / "bottles").mkdir(parents=True)
    assert_one_line(folder_fault(tmp_path / "images", tmp_path), "neither good nor train/good", "Expected good/")
    (tmp_path / "images" / "bottles").rename(tmp_path / "images" / "ok")
    assert_one_line(folder_fault(tmp_path / "images", tmp_path), "ok seems to be meant for", "good. Expected that name")


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (None, ("There is no sample file", "Check the path.")),
        (b"{", ("is not JSON", "Expected an object: label to value.")),
        (b"\xff\x00", ("is not JSON",)),
        (b"[1, 2]", ("holds a list", "Expected a JSON object: label to value.")),
        (b'{"sample": 3}', ("holds a int",)),
        (b"{}", ("is missing",)),
        (json.dumps({**SAMPLE, "layer1_colour": 1}).encode(), ("Unknown label 'layer1_colour'",)),
        (json.dumps({**SAMPLE, "layer1_kernel": 2}).encode(), ("layer1_kernel is 2. Expected one of: 1, 3, 5, 7.",)),
        (json.dumps({**SAMPLE, "layer1_kernel": [3]}).encode(), ("layer1_kernel is [3].",)),
        (json.dumps({**SAMPLE, "distance": "l3"}).encode(), ("Unknown distance 'l3'",)),
        (json.dumps({k: v for k, v in SAMPLE.items() if k != "distance"}).encode(), ("'distance' is missing",)),
    ],
)
def test_sample_files(tmp_path: Path, raw: bytes | None, parts: tuple[str, ...]) -> None:
    if raw is not None:
        (tmp_path / "sample.json").write_bytes(raw)
    ended = command("trial", *TRIAL.split()[2:], "--sample", tmp_path / "sample.json")
    assert_one_line(ended, *parts)
    assert ended.out == ""


def test_a_trial_without_a_sample_and_without_nni() -> None:
    assert_one_line(command("trial", *TRIAL.split()[2:]), "There is no sample to run", "autoad-nni space --random")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["search"], "Missing argument"),
        (["search", "none.yml"], "Missing option '--output'"),
        (
            ["search", "none.yml", "--output", "run"],
            "none.yml does not exist. Expected a folder of images, or an experiment file",
        ),
        (["search", "none.yml", "--output", "run", "--trials", "0"], "--trials"),
        (["search", "none.yml", "--output", "run", "--seed", "-1"], "--seed"),
        (["serach"], "No such command 'serach'"),
        (["--verison"], "No such option"),
        (["space", "autoencodr"], "Did you mean 'autoencoder'?"),
        (["space", "--layers", "0"], "--layers"),
        (["space", "--random", "--seed", "-1"], "--seed"),
        (["plugins", "lsit"], "No such command 'lsit'"),
        (["launch"], "Give one of: an experiment file, --resume ID, --view ID."),
        (["launch", "none.yml"], "none.yml does not exist. Expected an experiment file"),
    ],
)
def test_words_of_the_command_line(words: list[str], part: str) -> None:
    assert_one_line(command(*words), part, words[-1] if words[-1][-1].isdigit() else "")


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    file = write(tmp_path / "x.yml")
    assert_one_line(command("search", file, "--output", tmp_path / "run"), "is a file. Expected a folder.")
    assert_one_line(command("search", file, "--output", tmp_path / "run" / "deeper"), "cannot be made", "Give another")
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_an_output_with_other_files(tmp_path: Path, resume: list[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    ended = command("search", write(tmp_path / "x.yml"), "--output", tmp_path / "run", *resume)
    assert_one_line(ended, "holds other files. Expected a new or empty folder.")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_the_real_command_says_the_same(tmp_path: Path) -> None:
    changed = content(searchSpace=space(layer1_kernel=[2]))
    (tmp_path / "x.yml").write_text(yaml.safe_dump(changed))
    words = ("search", tmp_path / "x.yml", "--output", tmp_path / "run")
    ended = run(*words)
    assert_one_line(ended, "unknown value 2 for layer1_kernel")
    assert ended == command(*words)
    assert not (tmp_path / "run").exists()


def test_results_among_the_images_are_refused(tmp_path: Path) -> None:
    """The next search would read this one's pictures as images."""
    images = tmp_path / "screws"
    (images / "good").mkdir(parents=True)
    file = write(tmp_path / "x.yml", trialCommand=f"autoad-nni trial --data folder --root {images} --threads 1")
    ended = command("search", file, "--output", images / "runs" / "1")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "lies among the images of" in ended.err and ended.err.endswith("Give another --output.\n")
    assert [path.name for path in images.iterdir()] == ["good"]
