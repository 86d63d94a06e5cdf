from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autoad_nni.data import ImageShape, SourceOptions, TaskOptions, load_task
from autoad_nni.data.cache import ImageCache
from autoad_nni.data.plan import plan_task
from autoad_nni.data.sources.solar_cells import SolarCells

needs_the_package = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None, reason="elpv-dataset is not installed"
)


@pytest.fixture
def cells() -> SolarCells:
    if importlib.util.find_spec("elpv_dataset") is None:
        pytest.skip("elpv-dataset is not installed")
    return SolarCells(SourceOptions())


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, fails: Any) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # as if it were not there
    with fails("data=solar_cells", "elpv-dataset", "non-commercial", "pip install 'autoad-nni[solar]'"):
        plan_task(TaskOptions(data="solar_cells"))


def test_only_the_certain_polycrystalline_cells_are_there(cells: SolarCells) -> None:
    """Against the package's own table, read in its own way."""
    table = np.genfromtxt(
        cells.where / "labels.csv", dtype=["|S19", "<f8", "|S4"], names=["path", "probability", "type"]
    )
    catalogue = cells.catalogue(cells.image_shape)
    for defect, probability, n in (("", 0.0, 920), ("defective", 1.0, 402)):
        known = [i for i, each in enumerate(catalogue.defects or ()) if each == defect]
        wanted = table["path"][(table["type"] == b"poly") & (table["probability"] == probability)]
        assert len(known) == n
        assert cells.names(np.array(known)) == [path.decode() for path in wanted]
    assert catalogue.n_images == 1322


@needs_the_package
def test_they_are_split_like_a_folder_with_defects_of_its_own() -> None:
    plan = plan_task(TaskOptions(data="solar_cells"))
    assert plan.image_shape == ImageShape(1, 224, 224)
    assert plan.abnormal == (plan.normal,)
    assert [len(part) for part in (plan.train, plan.validation.normal, plan.test.normal)] == [552, 184, 184]
    assert [len(part.abnormal[0]) for part in (plan.validation, plan.test)] == [201, 201]
    parts = [plan.train, plan.validation.normal, plan.test.normal, *plan.validation.abnormal, *plan.test.abnormal]
    assert sorted(np.concatenate(parts)) == list(range(1322))


@needs_the_package
def test_a_task_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path))
    task = load_task(TaskOptions(data="solar_cells", image_size=32, limit=20))
    assert task.name == "solar_cells vs defects"
    assert task.train.shape == (12, 1, 32, 32) and task.validation.masks is None
    assert 0.2 < float(task.train.mean()) < 0.8
    assert int(task.validation.labels.sum()) == len(task.validation.labels) - 4 == 201
    assert task.validation.names[-1].startswith("images/cell")
    assert len(list(tmp_path.rglob("images/*"))) == 12 + 2 * 205, "all are in the cache"


def test_an_image_is_that_of_the_file(cells: SolarCells) -> None:
    index = np.array([900, 7])
    images = cells.read(index, ImageShape(1, 300, 300))
    for image, name in zip(images, cells.names(index), strict=True):
        with Image.open(cells.where / name) as file:
            assert np.array_equal(image[0].numpy(), np.asarray(file, np.float32) / 255)


def test_a_cached_image_is_used(cells: SolarCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path))
    index, shape = np.array([3]), ImageShape(1, 16, 16)
    content = (cells.where / cells.names(index)[0]).read_bytes()
    image = cells.read(index, shape)
    ImageCache().put(content, shape, 1 - image[0])
    assert np.array_equal(cells.read(index, shape), 1 - image)


@needs_the_package
def test_other_anomalies_beside_their_defects_are_refused(fails: Any) -> None:
    with fails("data=solar_cells has defects of its own and abnormal names photos."):
        load_task(TaskOptions(data="solar_cells", abnormal=("photos",)))
    with fails("abnormal names solar_cells. Expected a set other than solar_cells."):
        load_task(TaskOptions(data="digits", abnormal=("solar_cells",)))


def test_no_code_of_the_package_is_run(cells: SolarCells) -> None:
    cells.read(np.array([0]), ImageShape(1, 8, 8))
    assert "elpv_dataset" not in sys.modules
