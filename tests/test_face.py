"""The package's Python face: a search of a folder, a file or a mapping, its results, and the model on new images."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli.small_experiment import content, history, space
from PIL import Image
from skimage import data
from skimage.transform import resize

import autoad_nni as ad


def images_in(folder: Path, *, good: int = 40, defects: int = 8) -> Path:
    """Crops of a brick wall; defects have a bright spot."""
    brick = resize(data.brick(), (256, 256), anti_aliasing=True)
    rng = np.random.default_rng(0)
    for kind, count in (("good", good), ("spot", defects)):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            top, left = rng.integers(0, 256 - 32, 2)
            pixels = brick[top : top + 32, left : left + 32].copy()
            if kind == "spot":
                pixels[8:16, 10:20] = 1.0
            Image.fromarray((pixels * 255).astype(np.uint8)).save(folder / kind / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images_in(tmp_path_factory.mktemp("images") / "bricks")


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ad.Run:
    output = tmp_path_factory.mktemp("runs") / "bricks"
    return ad.search(folder, trials=3, output=output, seed=0, epochs=3, image_size=16, max_macs=10**6)


def test_a_folder_is_searched_without_any_yaml(run: ad.Run, folder: Path) -> None:
    assert run.best is not None
    assert set(run.best.test or {}) == {"auroc", "aupr_in", "aupr_out"}
    assert run.best.trial.reward == max(record.reward for record in run.records)
    assert run.best.validation is not None and run.best.reward == run.best.validation["auroc"]
    assert set(run.best.sample) >= {"hypothesis", "distance", "extractor", "stages"}, "the network is installed here"
    options = run.best.request.options()
    assert (options["data"], options["root"]) == ("folder", str(folder))
    assert (options["epochs"], options["image_size"], options["max_macs"]) == (3, 16, 10**6), "what was asked for"
    assert "max_seconds" in options, "and a limit where nothing was"


def test_every_trial_is_a_row_of_a_flat_table(run: ad.Run) -> None:
    table = run.trials
    assert list(table["number"]) == [0, 1, 2]
    assert {"verdict", "reward", "auroc", "seconds", "macs", "hypothesis", "extractor", "known"} <= set(table.columns)
    assert list(table["reward"]) == [record.reward for record in run.records]
    assert list(table.columns[:6]) == ["number", "verdict", "reward", "auroc", "aupr_in", "aupr_out"]
    assert all(np.isscalar(value) for value in table.iloc[0])
    assert repr(run) == f"Run({str(run.folder)!r}: 3 trials, best {run.best.reward:.4f})" if run.best else False


def test_the_model_scores_new_images_as_the_search_did(run: ad.Run) -> None:
    from autoad_nni.trial.evaluate import evaluate

    assert run.best is not None
    model = ad.load(run.folder)
    task = ad.load_task(run.best.request.task)
    assert evaluate(model.scorer, task.test) == run.best.test
    prediction = model.predict(task.test.images)
    assert prediction.score.shape == (len(task.test.images),)
    assert prediction.anomaly_map.shape == (len(task.test.images), 16, 16)
    assert torch.equal(model.predict(task.test.images.numpy()).score, prediction.score), "arrays too"


def test_arrays_that_torch_does_not_take_as_they_are(run: ad.Run) -> None:
    model = run.load()
    images = np.random.default_rng(0).random((2, 1, 16, 16), dtype=np.float32)
    expected = model.predict(images.copy()).score
    swapped, locked = images.astype(">f4"), images.copy()
    locked.setflags(write=False)
    flipped = np.ascontiguousarray(images[:, :, ::-1])[:, :, ::-1]
    for array in (swapped, locked, flipped):
        assert torch.equal(model.predict(array).score, expected)
    empty = model.predict(images[:0])
    assert (empty.score.shape, empty.anomaly_map.shape) == ((0,), (0, 16, 16))


def test_images_of_another_size_and_type_are_converted(run: ad.Run) -> None:
    model = run.load()
    large = torch.rand(3, 3, 40, 50)
    prediction = model.predict(large)
    assert prediction.anomaly_map.shape == (3, 16, 16)
    whole = (large * 255).round().to(torch.uint8)
    assert torch.allclose(model.predict(whole).score, model.predict(whole / 255).score, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(8, 8), r"^images has the shape \(8, 8\)\. Expected \(n, 1 or 3, height, width\)\."),
        (None, r"^images is a NoneType\. Expected a tensor or an array of numbers\."),
        (np.array([["a"]]), r"^images is a ndarray\. Expected a tensor or an array of numbers\."),
        (torch.zeros(2, 1, 0, 8), r"^images has the shape \(2, 1, 0, 8\)\."),
        (torch.zeros(1, 2, 8, 8), r"^images has the shape \(1, 2, 8, 8\)\."),
        (torch.full((1, 1, 8, 8), 255.0), r"^images has values from 255 to 255\. Expected 0 to 1, or uint8\."),
        (torch.full((1, 1, 8, 8), float("nan")), r"^images has values from nan to nan\."),
        (torch.zeros(1, 1, 8, 8, dtype=torch.int64), r"^images is of torch.int64\. Expected uint8, or floating"),
    ],
)
def test_images_that_no_model_takes(run: ad.Run, images: Any, message: str) -> None:
    with pytest.raises(ad.AutoADError, match=message):
        run.load().predict(images)


def test_a_mapping_is_searched_as_the_file_with_its_keys_is(tmp_path: Path) -> None:
    import yaml

    small = content(maxTrialNumber=2)
    (tmp_path / "x.yml").write_text(yaml.safe_dump(small))
    heard: list[tuple[int, float | None]] = []
    ad.search(small, output=tmp_path / "mapping", on_trial=lambda ended, best: heard.append((ended, best)))
    ad.search(tmp_path / "x.yml", output=str(tmp_path / "file"))
    assert history(tmp_path / "mapping") == history(tmp_path / "file")
    assert [ended for ended, _ in heard] == [1, 2]
    longer = ad.search(small, output=tmp_path / "mapping", trials=3, resume=True)
    assert len(longer.records) == 3


def test_a_search_without_a_good_trial_has_no_best(tmp_path: Path) -> None:
    wide = content(maxTrialNumber=1, searchSpace=space(layer1_kernel=[3]))
    wide["trialCommand"] += " --max-macs 1"
    run = ad.search(wide, output=tmp_path / "run")
    assert run.best is None and list(run.trials["verdict"]) == ["over_macs"]
    assert "no trial ended well" in repr(run)
    with pytest.raises(ad.AutoADError, match=r"run has no best\.json\. Expected the best model"):
        ad.load(tmp_path / "run")


def test_a_search_leaves_its_process_as_it_was(tmp_path: Path) -> None:
    logging.getLogger("nni").setLevel(logging.INFO)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    filters, threads = list(warnings.filters), torch.get_num_threads()
    expected = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    small = content(maxTrialNumber=1)
    small["trialCommand"] = "COLOUR=red " + small["trialCommand"].replace("--threads 1", f"--threads {threads + 1}")
    ad.search(small, output=tmp_path / "run")
    assert (torch.rand(1), random.random(), np.random.rand()) == expected
    assert torch.get_num_threads() == threads and logging.getLogger("nni").level == logging.INFO
    assert warnings.filters == filters and "COLOUR" not in os.environ


@pytest.mark.slow
def test_the_first_calls_of_a_process_leave_it_as_it_was_too(run: ad.Run) -> None:
    """What they import sets filters of warnings, log levels and random states of its own."""
    code = f"""
import logging, random, warnings, numpy as np, torch, autoad_nni as ad
def state():
    return list(warnings.filters), logging.getLogger("nni").level, random.getstate(), torch.get_rng_state().tolist(), \
        np.random.get_state()[1].tolist()
before = state()
ad.load({str(run.folder)!r})
assert state() == before, "load"
task = ad.load_task(ad.TaskOptions(data="digits", abnormal=("photos",), limit=60))
settings = ad.TrialSettings(space="features", training=ad.TrainingSettings(epochs=1))
ad.run_trial({dict(run.records[0].sample)!r}, task, settings)
assert state() == before, "run_trial"
try:
    ad.search({str(run.folder)!r}, output="nowhere", image_size=300)
except ad.AutoADError:
    assert state() == before, "search"
    print("as it was")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "as it was\n", done.stderr


def test_a_trial_runs_without_a_search() -> None:
    task = ad.load_task(ad.TaskOptions(data="digits", abnormal=("photos",), limit=100))
    sample = {label: values[0] for label, values in space_values().items()}
    settings = ad.TrialSettings(training=ad.TrainingSettings(epochs=1))
    before = torch.get_num_threads(), torch.get_rng_state()
    result = ad.run_trial(sample, task, settings)
    assert result.record.ok and result.record.sample == sample and result.detector is not None
    assert before[0] == torch.get_num_threads() and torch.equal(before[1], torch.get_rng_state())


def space_values() -> dict[str, list[Any]]:
    return {label: entry["_value"] for label, entry in space().items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 300}, r"^image_size is 300\. Expected 8 to 224 pixels\. Give image_size=64\.$"),
        ({"reward": "auc"}, r"^reward is 'auc'\. Expected one of auroc, "),
        ({"epochs": "3"}, r"^epochs is '3'\. Expected int\."),
        ({"epoch": 3}, r"^Unknown option 'epoch'\. Expected one of data, .* Did you mean epochs\?$"),
        ({"trials": 0}, r"^trials is 0\. Expected a whole number of 1 or more\. Give trials=30\.$"),
        ({"trials": True}, r"^trials is True\."),
        ({"output": None}, r"^output is None\. Expected the path of a folder\."),
        ({"seed": -1}, r"^seed is -1\."),
        ({"false_alarm_rate": "1 %"}, r"^false_alarm_rate is '1 %'\. Expected float\."),
        ({"false_alarm_rate": 1}, r"^false_alarm_rate is 1\. Expected more than 0 and less than 1\."),
        ({"false_alarm_rate": 1e-5}, r"^false_alarm_rate is 1e-05, which takes scores of 99999 normal images; there "),
    ],
)
def test_errors_name_the_argument(folder: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ad.AutoADError, match=message):
        ad.search(folder, **{"output": tmp_path / "run", **arguments})
    assert not (tmp_path / "run").exists()


def test_an_output_among_the_images_is_refused(folder: Path) -> None:
    with pytest.raises(ad.AutoADError, match=rf"^output {folder}/run lies among the images .* Give another output\.$"):
        ad.search(folder, output=folder / "run")


@pytest.mark.parametrize("source", [None, 3, ["folder"]])
def test_a_source_of_another_type_is_refused(tmp_path: Path, source: Any) -> None:
    with pytest.raises(
        ad.AutoADError, match=r"^source is .*\. Expected a folder of images, an experiment file or a map"
    ):
        ad.search(source, output=tmp_path / "run")
    with pytest.raises(ad.AutoADError, match=r"nowhere does not exist\. Expected a folder of images, or an experiment"):
        ad.search(tmp_path / "nowhere", output=tmp_path / "run")


def test_a_folder_without_a_search_is_no_run(folder: Path) -> None:
    with pytest.raises(ad.AutoADError, match=rf"^{folder} holds no search\."):
        ad.Run(folder)


def test_options_beside_an_experiment_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ad.AutoADError, match=r"^epochs is given beside an experiment\. .* Write it there\.$"):
        ad.search(content(), output=tmp_path / "run", epochs=3)


@pytest.mark.slow
def test_every_name_of_the_face_is_there_and_comes_when_it_is_used() -> None:
    code = "import sys, autoad_nni as ad; assert not {'torch', 'nni', 'numpy'} & set(sys.modules); "
    code += "print(sorted(name for name in ad.__all__ if getattr(ad, name, None) is None))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]" and done.stderr == ""
    with pytest.raises(AttributeError, match="has no attribute 'serach'"):
        _ = ad.serach


def test_a_model_is_loaded_and_used_without_nni(run: ad.Run) -> None:
    code = (
        "import sys, json, torch, autoad_nni as ad; images = torch.linspace(0, 1, 512).view(2, 1, 16, 16); "
        f"p = ad.load({str(run.folder)!r}).predict(images); "
        "print(json.dumps([p.score.tolist(), 'nni' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    scores, has_nni = json.loads(done.stdout)
    images = torch.linspace(0, 1, 512).view(2, 1, 16, 16)
    assert not has_nni and scores == pytest.approx(run.load().predict(images).score.tolist(), rel=1e-5)
