"""Every file that we read, damaged at random: only AutoADError may come out, in bounded time and memory.

``AUTOAD_NNI_FUZZ=700 pytest tests/faults/test_fuzz.py`` feeds each reader 700 inputs, all of them over 10,000.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sqlite3
import struct
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from cli.small_experiment import SAMPLE, content
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damaged_bytes, damaged_json
from PIL import Image
from scipy.io import savemat  # type: ignore[import-untyped]
from torch import nn

import autoad_nni as ad
from autoad_nni.data import ImageShape, TaskOptions
from autoad_nni.data.cache import CacheFolder, ImageCache
from autoad_nni.data.check.reading import read_image as facts_of
from autoad_nni.data.check.reading import read_mask_facts
from autoad_nni.data.decode import full_image_shape, read_image, read_masks
from autoad_nni.data.sources import _idx, cifar10, svhn
from autoad_nni.data.textures.writing import ensure_textures, write_textures
from autoad_nni.engines.nnictl.database import finished_trials, has_begun, stored_trial_command
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector
from autoad_nni.models.features import load_extractor
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.models.weights import WeightsFile, load_weights
from autoad_nni.runs.bundle.files import _digest
from autoad_nni.runs.one_trial import read_sample, recorded_trial
from autoad_nni.runs.report.page import write_report
from autoad_nni.runs.run import Run
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.trial_table import as_csv, as_lines
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.journal import Journal
from autoad_nni.searches.snapshot import read_snapshot, write_snapshot
from autoad_nni.searches.spaces import declare, narrow
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial.features import extract
from autoad_nni.trial.plugins import check_plugins

pytestmark = pytest.mark.faults

N_INPUTS = int(os.environ.get("AUTOAD_NNI_FUZZ", "12"))
_MAX_S = 30.0
_MAX_MORE_BYTES = 2 * 2**30

Read = Callable[[], object]
"""Reads a damaged file; AutoADError, or what a whole file gives."""


def fuzz(path: Path, damaged: st.SearchStrategy[bytes], read: Read) -> None:
    """Read a file in many damaged forms."""
    whole = path.read_bytes()

    @settings(
        max_examples=N_INPUTS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged)
    def each(content: bytes) -> None:
        path.write_bytes(content)
        began = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except AutoADError as error:
            assert "\n" not in str(error), error
        assert time.monotonic() - began < _MAX_S

    limit = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _MAX_MORE_BYTES, limit[1]))
    try:
        each()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
        path.write_bytes(whole)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def damaged_object(path: Path) -> st.SearchStrategy[bytes]:
    """Its bytes damaged, or its JSON."""
    raw = path.read_bytes()
    return st.one_of(damaged_bytes(raw), damaged_json(json.loads(raw)).map(as_bytes))


def damaged_lines(path: Path) -> st.SearchStrategy[bytes]:
    """Its bytes damaged, or the JSON of its lines."""
    raw = path.read_bytes()
    lines = damaged_json([json.loads(line) for line in raw.splitlines()])
    lines = lines.map(lambda found: found if isinstance(found, list) else [found])
    return st.one_of(damaged_bytes(raw), lines.map(lambda found: b"".join(as_bytes(line) + b"\n" for line in found)))


def show(run: Path) -> None:
    """All that reads a run folder and trains nothing."""
    found = Run(run)
    str(found)
    as_csv(found.rows)
    as_lines(found.rows, 80)
    write_report(run, run.parent / "report.html")


def load(folder: Path) -> None:
    model = ad.load(folder)
    model.predict(torch.zeros(1, *model.image_shape))
    if model.calibration is not None:
        model.calibration.thresholds()


def test_history(run: Path) -> None:
    def read() -> None:
        recorded_trial(run, 0)
        show(run)

    fuzz(run / "history.jsonl", damaged_lines(run / "history.jsonl"), read)


def test_best(run: Path) -> None:
    def read() -> None:
        read_sample(run / "best.json")
        load(run)
        show(run)

    fuzz(run / "best.json", damaged_object(run / "best.json"), read)


def test_started(run: Path) -> None:
    whole = RunStart.read(run)
    assert whole is not None

    def read() -> None:
        show(run)
        found = RunStart.read(run)
        assert found is not None
        found.check_same(whole, run)

    fuzz(run / "started.json", damaged_object(run / "started.json"), read)


def test_scores(run: Path) -> None:
    fuzz(run / "scores.json", damaged_object(run / "scores.json"), lambda: show(run))


def test_weights_of_the_winner(run: Path) -> None:
    fuzz(run / "best.safetensors", damaged_bytes((run / "best.safetensors").read_bytes()), lambda: load(run))


def signed(bundle: Path, changed: dict[str, Any]) -> bytes:
    """detector.json of a hand that knows how to make its digest."""
    changed = {key: value for key, value in changed.items() if key != "digest"}
    return as_bytes({**changed, "digest": _digest(changed)})


@pytest.mark.parametrize("name", ["detector.json", "threshold.json", "model.safetensors"])
@pytest.mark.parametrize("digest", ["old digest", "new digest"])
def test_bundle(run: Path, name: str, digest: str) -> None:
    bundle = run / "bundle"
    path = bundle / name
    damaged = damaged_object(path) if path.suffix == ".json" else damaged_bytes(path.read_bytes())
    detector = json.loads((bundle / "detector.json").read_text())
    if digest == "new digest" and name == "detector.json":
        damaged = damaged_json(detector).map(lambda found: signed(bundle, found) if isinstance(found, dict) else b"1")

    def read() -> None:
        if digest == "new digest" and name != "detector.json":
            sums = {**detector["sha256"], name: hashlib.sha256(path.read_bytes()).hexdigest()}
            (bundle / "detector.json").write_bytes(signed(bundle, {**detector, "sha256": sums}))
        load(bundle)

    fuzz(path, damaged, read)


def test_journal(run: Path) -> None:
    path = run / "state" / "journal.jsonl"
    head = json.loads(path.read_bytes().splitlines()[0])
    identity = {key: value for key, value in head.items() if key not in ("event", "format")}
    fuzz(path, damaged_lines(path), lambda: Journal(path, identity))


def test_snapshot(run: Path) -> None:
    path = run / "state" / "journal.jsonl"
    head = json.loads(path.read_bytes().splitlines()[0])
    journal = Journal(path, {key: value for key, value in head.items() if key not in ("event", "format")})
    write_snapshot(journal, {"step": 3, "weights": [torch.ones(4), torch.zeros(2, 2)]}, iterations_before=0)
    snapshot = path.with_name("strategy.safetensors")
    whole = read_snapshot(journal)
    assert whole is not None and whole.state["step"] == 3

    def read() -> None:
        found = read_snapshot(journal)
        assert found is None or found.state["step"] == 3

    fuzz(snapshot, damaged_bytes(snapshot.read_bytes()), read)


def test_resume(searched: Path, tmp_path: Path) -> None:
    """A few of them, as each is a search."""
    folder = shutil.copytree(searched, tmp_path / "run")
    path = folder / "state" / "journal.jsonl"

    def read() -> None:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "copy")
        ad.search(content(maxTrialNumber=2), output=tmp_path / "copy", resume=True)

    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    damaged = damaged_json(lines[1:]).map(lambda found: b"".join(as_bytes(each) + b"\n" for each in [lines[0], *found])
                                          if isinstance(found, list) else b"")  # fmt: skip
    global N_INPUTS
    whole, N_INPUTS = N_INPUTS, max(2, N_INPUTS // 100)
    try:
        fuzz(path, damaged, read)
    finally:
        N_INPUTS = whole


def check_experiment(path: Path) -> None:
    experiment = read_experiment(path)
    request = parse_request(experiment.trial_arguments, experiment.trial_folder)
    narrow(declare(request.space, experiment.search_space), experiment.search_space)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
YAML_TRICKS = (
    b"&a [*a]",
    b"tuner: &a {className: *a}",
    b"{? [1] : 2}",
    b"!!python/object:os.system x",
    b"- " * 5000,
    b"{" * 5000,
    b"2026-99-99",
    b"!!timestamp x",
    b"!!int ''",
    b"!!float x",
    b"!!binary x",
    b"<<: 3",
    LAUGHS.encode(),
    f"{LAUGHS}tuner: *a11".encode(),
    f"{LAUGHS}tuner: {{name: TPE}}\nsearchSpace: *a11".encode(),
)


def test_experiment(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yml"
    path.write_text(yaml.safe_dump(content()))
    changed = damaged_json(content()).map(lambda found: yaml.safe_dump(found, allow_unicode=False).encode())
    tricks = st.sampled_from(YAML_TRICKS)
    damaged = st.one_of(damaged_bytes(path.read_bytes()), changed, tricks)
    fuzz(path, damaged, lambda: check_experiment(path))


def test_search_space(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(content()["searchSpace"]))
    whole = {**content(), "searchSpaceFile": "space.json"}
    del whole["searchSpace"]
    (tmp_path / "experiment.yml").write_text(yaml.safe_dump(whole))
    fuzz(path, damaged_object(path), lambda: check_experiment(tmp_path / "experiment.yml"))


def test_sample(tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps({"trial": {"sample": SAMPLE, "plugins": {"loss l1": "autoad-nni 1"}, "known": ""}}))

    def read() -> None:
        recorded = read_sample(path)
        build_detector(recorded.sample, channels=1)
        check_plugins(recorded.plugins)

    plain = st.one_of(damaged_object(path), damaged_json(SAMPLE).map(as_bytes))
    fuzz(path, plain, read)


def noise(mode: str) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (23, 17, 3), dtype=np.uint8)
    if mode == "F":
        return Image.fromarray(values[:, :, 0].astype(np.float32) / 255)
    if mode == "I;16":
        return Image.fromarray(values[:, :, 0].astype(np.uint16) * 200)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize(
    ("ending", "mode", "more"),
    [
        ("png", "RGB", {}),
        ("png", "P", {}),
        ("png", "I;16", {}),
        ("jpg", "RGB", {}),
        ("bmp", "L", {}),
        ("tif", "F", {}),
        ("tif", "RGB", {"compression": "tiff_lzw"}),
        ("tif", "L", {"compression": "jpeg"}),
        ("webp", "RGB", {}),
    ],
)
def test_image(tmp_path: Path, ending: str, mode: str, more: dict[str, str]) -> None:
    path = tmp_path / f"a.{ending}"
    image = noise(mode)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif, **more)

    def read() -> None:
        facts_of(path)
        full_image_shape(path)
        read_image(path, ImageShape(3, 8, 8))

    fuzz(path, damaged_bytes(path.read_bytes()), read)


def test_mask(tmp_path: Path) -> None:
    noise("L").save(tmp_path / "image.png")
    path = tmp_path / "mask.png"
    noise("L").point(lambda value: 255 * (value > 200)).save(path)

    def read() -> None:
        read_mask_facts(path)
        read_masks([tmp_path / "image.png"], [path], ImageShape(1, 8, 8))

    fuzz(path, damaged_bytes(path.read_bytes()), read)


@pytest.mark.parametrize("gz", [False, True])
def test_idx(tmp_path: Path, gz: bool) -> None:
    import gzip

    path = tmp_path / "images"
    whole = struct.pack(">HBBiii", 0, 8, 3, 4, 5, 6) + bytes(120)
    path.write_bytes(gzip.compress(whole, mtime=0) if gz else whole)
    fuzz(path, damaged_bytes(path.read_bytes()), lambda: _idx.read_images(path))


def test_cifar(tmp_path: Path) -> None:
    path = tmp_path / "batch.bin"
    path.write_bytes(bytes(3073 * 2))
    fuzz(path, damaged_bytes(path.read_bytes()), lambda: cifar10.Cifar10._map(path).sum())


def test_svhn(tmp_path: Path) -> None:
    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": np.zeros((32, 32, 3, 1), np.uint8), "y": np.ones((1, 1))}, do_compression=True)
    fuzz(path, damaged_bytes(path.read_bytes()), lambda: svhn._read(path))


def test_image_cache(tmp_path: Path) -> None:
    cache, shape = ImageCache(tmp_path, max_bytes=2**20), ImageShape(1, 8, 8)
    cache.put(b"content", shape, torch.ones(shape))
    (path,) = tmp_path.iterdir()

    def read() -> None:
        found = cache.get(b"content", shape)
        assert found is None or torch.equal(found, torch.ones(shape))

    fuzz(path, damaged_bytes(path.read_bytes()), read)


def test_feature_cache(tmp_path: Path) -> None:
    cache, images = CacheFolder("features", tmp_path, max_bytes=2**20), torch.rand(3, 1, 9, 9)
    extractor = load_extractor("pixels")
    whole = extract(extractor, images, (2,), name="pixels", cache=cache).maps[0].clone()
    (path,) = tmp_path.iterdir()

    def read() -> None:
        (found,) = extract(extractor, images, (2,), name="pixels", cache=cache).maps
        assert torch.equal(found, whole)

    fuzz(path, damaged_bytes(path.read_bytes()), read)


def test_shared_weights(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    SharedWeights(tmp_path, "0").store(model)
    (path,) = tmp_path.iterdir()
    fuzz(path, damaged_bytes(path.read_bytes()), lambda: SharedWeights(tmp_path, "1").load_into(model))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_of_an_extractor(tmp_path: Path, ending: str) -> None:
    from safetensors.torch import save_file

    module = nn.Linear(3, 2)
    path = tmp_path / f"weights.{ending}"
    save_file(module.state_dict(), path) if ending == "safetensors" else torch.save(module.state_dict(), path)
    source = WeightsFile("tiny", "weights", "https://example.org/tiny.pth")
    fuzz(path, damaged_bytes(path.read_bytes()), lambda: load_weights(module, source, path, download=False))


def test_recipe_of_the_textures(tmp_path: Path) -> None:
    write_textures(tmp_path / "set", n_train=10, n_good=2, n_per_defect=2)
    path = next((tmp_path / "set").glob("*.json"))
    arguments = {"n_train": 10, "n_good": 2, "n_per_defect": 2}
    fuzz(path, damaged_object(path), lambda: ensure_textures(tmp_path / "set", **arguments))


def write_database(path: Path) -> None:
    path.parent.mkdir()
    sample = {"parameter_id": 0, "parameters": SAMPLE, "parameter_source": "algorithm"}
    report = json.dumps(json.dumps({"default": 0.5, "auroc": 0.5, "verdict": "ok", "plugins": "loss l1: a 1"}))
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE ExperimentProfile (params TEXT, id TEXT, execDuration INTEGER, startTime INTEGER, endTime "
            "INTEGER, logDir TEXT, nextSequenceId INTEGER, revision INTEGER);"
            "CREATE TABLE TrialJobEvent (timestamp INTEGER, trialJobId TEXT, event TEXT, data TEXT, logPath TEXT, "
            "sequenceId INTEGER, message TEXT);"
            "CREATE TABLE MetricData (timestamp INTEGER, trialJobId TEXT, parameterId TEXT, type TEXT, sequence "
            "INTEGER, data TEXT);"
        )
        params = json.dumps({"trialCommand": "autoad-nni trial --data digits", "trialCodeDirectory": "."})
        database.execute("INSERT INTO ExperimentProfile VALUES (?, 'x', 0, 0, 0, '', 0, 0)", (params,))
        for job, event in (("a", "WAITING"), ("a", "SUCCEEDED"), ("b", "FAILED")):
            data = (0, job, event, json.dumps({**sample, "parameter_id": ord(job)}), "", ord(job), "")
            database.execute("INSERT INTO TrialJobEvent VALUES (?, ?, ?, ?, ?, ?, ?)", data)
        database.execute("INSERT INTO MetricData VALUES (0, 'a', '97', 'FINAL', 0, ?)", (report,))
        database.commit()


def test_nni_s_database(tmp_path: Path) -> None:
    path = tmp_path / "db" / "nni.sqlite"
    write_database(path)
    assert len(finished_trials(tmp_path)) == 2

    def read() -> None:
        finished_trials(tmp_path)
        stored_trial_command(tmp_path)
        has_begun(tmp_path)

    fuzz(path, damaged_bytes(path.read_bytes()), read)


def test_what_a_trial_reported_to_nni(tmp_path: Path) -> None:
    path = tmp_path / "db" / "nni.sqlite"
    write_database(path)
    row = tmp_path / "row.json"
    with closing(sqlite3.connect(path)) as database:
        (job,) = database.execute("SELECT data FROM TrialJobEvent").fetchone()
        (report,) = database.execute("SELECT data FROM MetricData").fetchone()
    row.write_text(json.dumps([json.loads(job), json.loads(json.loads(report))]))

    def read() -> None:
        found = json.loads(row.read_bytes())
        job, report = found if isinstance(found, list) and len(found) == 2 else (found, found)
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE TrialJobEvent SET data = ?", (json.dumps(job),))
            database.execute("UPDATE MetricData SET data = ?", (json.dumps(json.dumps(report)),))
            database.commit()
        for record in finished_trials(tmp_path):
            json.dumps(record.to_json(), allow_nan=False)

    fuzz(row, damaged_json(json.loads(row.read_bytes())).map(as_bytes), read)


def test_images_are_never_pickles() -> None:
    """CIFAR's Python version is made of them; nothing of ours reads one."""
    folder = Path(ad.__file__).parent
    for path in folder.rglob("*.py"):
        for word in ("pickle.load", "Unpickler(", "allow_pickle=True", "weights_only=False", "joblib", "unsafe_load"):
            assert word not in path.read_text(), path
    assert TaskOptions(data="cifar10", abnormal=("photos",)).data == "cifar10"
