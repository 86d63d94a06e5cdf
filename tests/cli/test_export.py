"""``autoad-nni export``: bundles of real small searches, in both spaces, of several models, in windows."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_samples import sample_of
from full_disk import largest_file
from PIL import Image
from run_command import Ended, command
from small_experiment import TRIAL, content, space, write

import autoad_nni as ad
from autoad_nni import storing
from autoad_nni.data import load_task
from autoad_nni.engines.nnictl import experiments
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import predict
from autoad_nni.runs.bundle import retraining
from autoad_nni.runs.bundle.export import export
from autoad_nni.runs.records import BestRecord
from autoad_nni.trial.interval import interval_of
from autoad_nni.trial.run import TrialResult, run_trial

FILES = ["card.md", "detector.json", "model.safetensors", "threshold.json"]
HARDER = TRIAL.replace("--limit 200", "--limit 400") + " --seed 1"


def feature_space(*names: str, **changes: Any) -> dict[str, Any]:
    """The choices of some known methods, on pixels, and no others."""
    samples = [sample_of(name, **changes) for name in names]
    choices = {label: list(dict.fromkeys(sample[label] for sample in samples)) for label in samples[0]}
    return {label: {"_type": "choice", "_value": values} for label, values in choices.items()}


SEARCHES: dict[str, dict[str, Any]] = {
    "one": content(maxTrialNumber=1),
    "several": content(trialCommand=HARDER),
    "windows": content(
        trialCommand=f"{HARDER} --patch 8 --image-size 16 --two-sided",
        tuner={**content()["tuner"], "classArgs": {"strategy": "random", "seed": 1}},
        maxTrialNumber=4,
    ),
    "features": content(
        trialCommand=f"{HARDER.replace('--seed 1', '--seed 2')} --space features",
        searchSpace=feature_space("patchcore", "padim"),
        tuner={**content()["tuner"], "classArgs": {"strategy": "random", "seed": 0, "space": "features"}},
        maxTrialNumber=6,
    ),
}


Searched = Callable[[str], Path]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Makes the run folder of one of the searches, once; tests only read it."""

    @cache
    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp("runs") / name
        ad.search(SEARCHES[name], output=folder)
        return folder

    return make


@pytest.fixture(params=SEARCHES)
def run(request: pytest.FixtureRequest, searched: Searched) -> Path:
    return searched(request.param)


@pytest.fixture
def one(searched: Searched) -> Path:
    return searched("one")


@pytest.fixture
def several(searched: Searched) -> Path:
    return searched("several")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def assert_refused(ended: Ended, *parts: str) -> None:
    assert ended.code == 2 and ended.out == "", ended
    assert ended.err.startswith("autoad-nni: ") and ended.err.count("\n") == 1, ended.err
    assert all(part in ended.err for part in parts), ended.err


@pytest.mark.slow
def test_a_bundle_scores_as_the_run_does_to_the_last_bit(run: Path, tmp_path: Path) -> None:
    ended = command("export", run, "--output", tmp_path / "bundle")
    assert (ended.code, ended.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"], "nothing is left beside it"
    before, after = ad.load(run), ad.load(tmp_path / "bundle")
    best = BestRecord.read(run)
    assert isinstance(before.scorer, Ensemble) == (run.name != "one"), "or the test says little"
    images = load_task(best.request.task).test.images
    expected, found = before.predict(images), after.predict(images)
    assert torch.equal(found.score, expected.score) and torch.equal(found.anomaly_map, expected.anomaly_map)
    assert after.calibration == before.calibration == best.calibration and best.calibration is not None
    assert after.image_shape == before.image_shape
    assert after.record.members == before.record.members
    assert f"threshold {best.calibration.default().value:.6g} for a false-alarm rate of at most " in ended.out


@pytest.mark.parametrize("name", ["several", "features"])
@pytest.mark.slow
def test_a_bundle_needs_neither_nni_nor_what_a_search_needs(searched: Searched, tmp_path: Path, name: str) -> None:
    run = searched(name)
    export(run, tmp_path / "bundle")
    shape = ad.load(run).image_shape
    code = f"""
import sys
blocked = {{"nni", "typer", "rich", "pandas", "sklearn", "scipy", "skimage", "yaml", "tensorboard", "websockets",
            "psutil", "filelock", "threadpoolctl", "pkg_resources", "autoad_nni_strategies",
            "autoad_nni_search_spaces"}}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Block())
import autoad_nni as ad, torch
model = ad.load({str(tmp_path / "bundle")!r})
images = torch.linspace(0, 1, 3 * {shape[0] * shape[1] * shape[2]}).view(3, *{tuple(shape)!r})
print(model.predict(images).score.tolist(), model.calibration.default().value, blocked & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    model = ad.load(run)
    assert model.calibration is not None
    scores = model.predict(torch.linspace(0, 1, 3 * shape[0] * shape[1] * shape[2]).view(3, *shape)).score.tolist()
    assert done.stdout == f"{scores} {model.calibration.default().value} set()\n", done.stderr


def test_the_files_say_what_is_needed_elsewhere(several: Path, tmp_path: Path) -> None:
    export(several, tmp_path / "bundle")
    best, detector = BestRecord.read(several), read(tmp_path / "bundle" / "detector.json")
    assert detector["format"] == 1 and detector["image_shape"] == [1, 8, 8] and detector["space"] == "autoencoder"
    assert [member["sample"] for member in detector["members"]] == [dict(member.sample) for member in best.members]
    assert [member["reading"] for member in detector["members"]] == [member.reading for member in best.members]
    assert detector["members"][0]["plugins"]["hypothesis reconstruction"] == f"autoad-nni {ad.__version__}"
    assert detector["extractors"] == [] and detector["preprocessing"]["width"] == 8
    threshold = read(tmp_path / "bundle" / "threshold.json")
    assert best.calibration is not None
    expected, f1 = best.calibration.thresholds()
    assert (threshold["threshold"]["value"], threshold["threshold"]["rate"]) == (expected.value, expected.rate)
    assert threshold["f1"]["value"] == f1.value
    assert threshold["calibration"] == best.calibration.to_json()


def test_the_card_has_the_figures_of_the_search(several: Path, tmp_path: Path) -> None:
    export(several, tmp_path / "bundle")
    card, best = (tmp_path / "bundle" / "card.md").read_text(), BestRecord.read(several)
    assert best.validation and best.test and best.interval and best.calibration
    low, high = best.interval
    task = load_task(best.request.task)
    prediction = predict(ad.load(several).scorer, task.test.images)
    on_test = interval_of("auroc", prediction, task.test)
    assert on_test is not None
    assert (
        f"| auroc | {best.validation['auroc']:.4f} ({low:.3f} to {high:.3f}) | {best.test['auroc']:.4f} "
        f"({on_test[0]:.3f} to {on_test[1]:.3f}) |" in card
    )
    assert f"Training: {len(task.train)} good; validation: 80 good, 4 anomalous; test: 80 good, 4 anomalous." in card
    assert f"**{best.calibration.default().value:.6g}**" in card
    assert "8 trials, 8 of them ended well" in card and "Strategy autoad, seed 0;" in card
    assert f"autoad-nni trial {' '.join(best.request.to_words())}" in card
    assert all(f"| {member.number} | - | reconstruction |" in card for member in best.members)
    assert not any(word in card for word in ("None", "nan", "inf,"))


def test_the_rate_is_that_which_is_asked_for(one: Path, tmp_path: Path) -> None:
    assert command("export", one, "--output", tmp_path / "b", "--false-alarm-rate", "0.1").code == 0
    calibration = ad.load(tmp_path / "b").calibration
    assert calibration is not None and calibration.rate == 0.1
    assert read(tmp_path / "b" / "threshold.json")["threshold"]["value"] == calibration.normal[22], "the 23rd of 24"
    assert "--false-alarm-rate 0.1" in (tmp_path / "b" / "card.md").read_text()
    for words, n in (([], 24), (["--retrain"], 40)):
        ended = command("export", one, "--output", tmp_path / "c", "--false-alarm-rate", "0.01", *words)
        assert_refused(ended, f"--false-alarm-rate is 0.01, which takes scores of 99 normal images; there are {n}")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def flipped(path: Path, bit: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)


@pytest.mark.parametrize("name", [name for name in FILES if name != "card.md"])
def test_a_damaged_file_is_refused(one: Path, tmp_path: Path, name: str) -> None:
    """Any bit, any length, and no file at all."""
    export(one, tmp_path / "whole")
    whole = (tmp_path / "whole" / name).read_bytes()
    drawn = random.Random(0)
    path = tmp_path / "whole" / name
    for kind in ["bit"] * 40 + ["cut"] * 10 + ["gone"]:
        path.write_bytes(whole)
        if kind == "bit":
            flipped(path, drawn.randrange(8 * len(whole)))
        elif kind == "cut":
            path.write_bytes(whole[: drawn.randrange(len(whole) - 1)])
        else:
            path.unlink()
            if name == "detector.json":
                continue  # no bundle then
        with pytest.raises(ad.AutoADError, match=r"Copy the bundle again, or export it anew\.$") as caught:
            ad.load(tmp_path / "whole")
        assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path} ")
    path.write_bytes(whole)
    ad.load(tmp_path / "whole")


def test_a_bundle_of_another_version_is_refused(one: Path, tmp_path: Path) -> None:
    export(one, tmp_path / "bundle")
    path = tmp_path / "bundle" / "detector.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(ad.AutoADError, match=r"cannot be read: its format is 9, not 1\. "):
        ad.load(tmp_path / "bundle")


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.slow
def test_a_bundle_appears_as_a_whole(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """What is there whenever something has reached the disk is what a kill would leave; Ctrl-C leaves nothing."""
    output, seen, fsync = tmp_path / "bundle", [], os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        seen.append(sorted(path.name for path in output.iterdir()) if output.exists() else [])
        if len(seen) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(storing.os, "fsync", noted)
    with pytest.raises(KeyboardInterrupt):
        export(one, output)
    assert seen == [[]] * at and list(tmp_path.iterdir()) == []
    at = 0
    export(one, output)
    assert seen[-1] == FILES and all(files in ([], FILES) for files in seen)


def test_a_full_disk_leaves_nothing(one: Path, tmp_path: Path) -> None:
    with largest_file(1000):
        ended = command("export", one, "--output", tmp_path / "bundle")
    assert_refused(ended, f"{tmp_path}/", "cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_stays(one: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert_refused(command("export", one, "--output", tmp_path / "mine"), "holds files")
    assert_refused(command("export", one, "--output", tmp_path / "file"), "is a file")
    assert_refused(command("export", one, "--output", tmp_path / "file" / "in"), "cannot be written: Not a directory")
    (tmp_path / "empty").mkdir()
    assert command("export", one, "--output", tmp_path / "empty").code == 0
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == FILES
    assert_refused(command("export", tmp_path / "empty", "--output", tmp_path / "b"), "is a bundle")
    assert (tmp_path / "mine" / "notes").read_text() == "mine"


def test_sources_that_hold_no_winner(one: Path, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    assert_refused(command("export", tmp_path, "--output", output), "has no best.json")
    assert_refused(command("export", tmp_path / "no", "--output", output), "there is no folder")
    assert_refused(command("export", "nosuchid", "--output", output), "nor does NNI know an experiment of that id")
    run = Path(shutil.copytree(one, tmp_path / "run"))
    replace(BestRecord.read(run), calibration=None).write(run)
    assert_refused(command("export", run, "--output", output), "has not ended", "--resume")
    shutil.copy(one / "best.json", run / "best.json")
    flipped(run / "best.safetensors", 5)
    assert_refused(command("export", run, "--output", output), "best.safetensors cannot be read")
    assert not output.exists()


def test_an_experiment_of_nni_by_its_id(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What launch leaves in its folder is what search leaves; only where that is comes from NNI's list."""
    shutil.copytree(one, tmp_path / "logs" / "Ab3dEf9h")
    known = {"Ab3dEf9h": {"logDir": str(tmp_path / "logs"), "port": 8080, "pid": None}}
    monkeypatch.setattr(experiments, "known_experiments", lambda: known)
    assert command("export", "Ab3dEf9h", "--output", tmp_path / "bundle").code == 0
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(ad.load(tmp_path / "bundle").predict(images).score, ad.load(one).predict(images).score)


@pytest.mark.slow
def test_weights_of_an_extractor_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of random numbers from a file, which then is elsewhere."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    file, other = tmp_path / "weights.pth", tmp_path / "other.pth"
    for path in (file, other):
        torch.save(resnet18(weights=None).state_dict(), path)
    experiment = content(
        trialCommand=f"{TRIAL} --image-size 32 --space features --weights {file}",
        searchSpace=feature_space("padim", extractor="resnet18", projection="16"),
        tuner={**content()["tuner"], "classArgs": {"strategy": "random", "seed": 0, "space": "features"}},
        maxTrialNumber=1,
    )
    ad.search(experiment, output=tmp_path / "run")
    export(tmp_path / "run", tmp_path / "bundle")
    assert sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir()) < file.stat().st_size / 10
    [extractor] = read(tmp_path / "bundle" / "detector.json")["extractors"]
    assert extractor["name"] == extractor["weights"] == "resnet18" and len(extractor["sha256"]) == 64
    assert str(file) in extractor["where"]
    images = torch.rand(2, 1, 32, 32)
    expected = ad.load(tmp_path / "bundle").predict(images).score
    assert torch.equal(ad.load(tmp_path / "run").predict(images).score, expected)
    moved = file.rename(tmp_path / "moved.pth")
    with pytest.raises(ad.AutoADError, match=rf"^weights={file} is no file\. Expected weights of resnet18\."):
        ad.load(tmp_path / "bundle")
    with pytest.raises(ad.AutoADError, match=r"^The weights resnet18 are .* Give their file in weights=FILE"):
        ad.load(tmp_path / "bundle", weights=other)
    assert torch.equal(ad.load(tmp_path / "bundle", weights=moved).predict(images).score, expected)
    again = command("export", tmp_path / "run", "--output", tmp_path / "again", "--weights", moved)
    assert again.code == 0, again.err
    assert torch.equal(ad.load(tmp_path / "again").predict(images).score, expected)


def keys(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_trained_again_on_all_good_images_that_the_threshold_does_not_need(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials: list[tuple[Any, ad.Task, TrialResult]] = []

    def noted(sample: Any, task: ad.Task, *args: Any, **more: Any) -> TrialResult:
        trials.append((sample, task, run_trial(sample, task, *args, **more)))
        return trials[-1][2]

    monkeypatch.setattr(retraining, "run_trial", noted)
    ended = command("export", run, "--output", tmp_path / "bundle", "--retrain")
    assert ended.code == 0, ended.err
    best, task = BestRecord.read(run), load_task(BestRecord.read(run).request.task)
    normal = keys(torch.cat([task.train, task.validation.normal, task.test.normal]))
    assert [sample for sample, *_ in trials] == [member.sample for member in best.members]
    for member, (_, again, result) in zip(best.members, trials, strict=True):
        assert sorted([*keys(again.train), *keys(again.validation.normal)]) == sorted(normal)
        assert len(again.validation.normal) == len(task.validation.normal)
        assert keys(again.validation.normal) != keys(task.validation.normal), "drawn anew"
        assert result.record.reading == member.reading and result.detector is not None
    model, kept_out = ad.load(tmp_path / "bundle"), trials[0][1].validation
    assert model.record.members == ad.load(run).record.members
    scores = model.predict(kept_out.images).score.tolist()
    is_normal = (kept_out.labels == 0).tolist()
    assert model.calibration is not None
    assert model.calibration.normal == pytest.approx(
        sorted(score for score, normal in zip(scores, is_normal, strict=True) if normal), rel=1e-5, abs=1e-6
    )
    assert len(model.calibration.defects) == int(task.validation.labels.sum())
    assert not torch.equal(model.predict(task.test.images).score, ad.load(run).predict(task.test.images).score)
    card = (tmp_path / "bundle" / "card.md").read_text()
    assert f"Trained again on {len(trials[0][1].train)} of all good images" in card
    assert "not of those in this bundle" in card


@pytest.mark.slow
def test_images_that_have_changed_are_not_trained_on_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind, count in (("good", 20), ("bad", 4)):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 100 if kind == "good" else 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / kind / f"{i}.png")
    trial = f"autoad-nni trial --data folder --root {tmp_path / 'set'} --epochs 1 --threads 1"
    file = write(tmp_path / "x.yml", trialCommand=trial, maxTrialNumber=1, searchSpace=space(layer1_kernel=[1]))
    assert command("search", file, "--output", tmp_path / "run").code == 0
    words = ("export", tmp_path / "run", "--retrain", "--output")
    assert command(*words, tmp_path / "same").code == 0
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "set" / "good" / "3.png")
    assert_refused(command(*words, tmp_path / "changed"), "are not those of the search: they have changed")
    shutil.rmtree(tmp_path / "set")
    assert_refused(command(*words, tmp_path / "gone"), "set")
    assert command("export", tmp_path / "run", "--output", tmp_path / "card").code == 0, "but exported they are"
    assert "The numbers of training and test images are not known" in (tmp_path / "card" / "card.md").read_text()
    assert not (tmp_path / "changed").exists() and not (tmp_path / "gone").exists()


@pytest.mark.slow
def test_the_same_decisions_in_onnx(several: Path, tmp_path: Path) -> None:
    import onnxruntime

    ended = command("export", several, "--output", tmp_path / "bundle", "--format", "onnx", "--false-alarm-rate", "0.1")
    assert (ended.code, ended.err) == (0, "writing model.onnx, which can take minutes\n")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == sorted([*FILES, "model.onnx"])
    onnx = (tmp_path / "bundle" / "model.onnx").read_bytes()
    assert read(tmp_path / "bundle" / "detector.json")["sha256"]["model.onnx"] == sha256(onnx).hexdigest()
    model = ad.load(tmp_path / "bundle")
    assert model.calibration is not None
    images = (load_task(BestRecord.read(several).request.task).test.images * 255).round().to(torch.uint8)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    score, defective = session.run(["score", "defective"], {"images": images.numpy()})
    expected, threshold = model.predict(images).score.double().numpy(), model.calibration.default().value
    assert np.allclose(score, expected, rtol=1e-5, atol=1e-5)
    clear = abs(expected - threshold) > 1e-4 * (1 + abs(threshold))
    assert clear.mean() > 0.9 and (defective == (expected > threshold))[clear].all()
    assert 0 < defective.sum() < len(images), "or the test says little"


def test_what_cannot_be_written_as_onnx_is_refused_first(one: Path, tmp_path: Path) -> None:
    ended = command("export", one, "--output", tmp_path / "bundle", "--format", "pickle")
    assert_refused(ended, "--format is 'pickle'. Expected onnx. Give --format onnx")
    assert list(tmp_path.iterdir()) == []
