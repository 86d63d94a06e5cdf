"""Tasks whose anomalies are planted defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.data.plan import plan_task
from autoad_nni.data.planting import settings

Write = Callable[..., None]


def walls(root: Path, n: int, *, place: str = "good", first: int = 0) -> Path:
    """Parts of a photograph of a brick wall."""
    (root / place).mkdir(parents=True, exist_ok=True)
    brick = data.brick()
    for i in range(first, first + n):
        top, left = np.random.default_rng(i).integers(0, 512 - 48, 2)
        Image.fromarray(brick[top : top + 48, left : left + 48]).save(root / place / f"{i:03d}.png")
    return root


def load(root: Path, **options: Any) -> Task:
    return load_task(TaskOptions(**{"data": "folder", "root": root, "anomalies": "planted", **options}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walls(tmp_path_factory.mktemp("walls"), 60)


def test_good_images_are_split_as_ever_and_a_third_of_those_held_out_have_defects(folder: Path) -> None:
    task = load(folder)
    assert task.name == "folder vs planted defects" and task.data_sets == ("folder",)
    assert len(task.train) == 36
    for part in (task.validation, task.test):
        assert part.labels.tolist() == [0] * 8 + [1] * 32
        good, planted = part.names[:8], part.names[8:]
        carriers = {name.split("/", 2)[2] for name in planted}
        assert len(carriers) == 4 and carriers.isdisjoint(good), "an image is good or has a defect, never both"
        assert part.origins is not None
        named = {name.split("/", 2)[2] if name.startswith("planted") else name for name in part.names}
        made_of = {(name.split("/", 2)[-1], int(i)) for name, i in zip(part.names, part.origins, strict=True)}
        assert len(made_of) == len(named) == len(set(part.origins.tolist())) == 12, "copies share a number, others none"
        assert len(set(planted)) == 32 and all(name.startswith("planted/") for name in planted)
    seen = [*task.validation.names, *task.test.names]
    originals = {name.split("/", 2)[2] if name.startswith("planted") else name for name in seen}
    assert len(originals) == 24


def test_defects_are_where_the_masks_are(folder: Path) -> None:
    task = load(folder)
    pixels = {path.stem: np.array(Image.open(path)) for path in (folder / "good").iterdir()}
    for part in (task.validation, task.test):
        assert part.masks is not None and part.masks.shape == (40, 48, 48) and not part.masks[:8].any()
        for name, image, mask in zip(part.names[8:], part.images[8:], part.masks[8:], strict=True):
            before = torch.from_numpy(pixels[Path(name).stem]).float() / 255
            assert torch.equal(image[0][~mask], before[~mask]) and not torch.equal(image[0], before)
            assert mask.any()
    copies = task.validation.images[8::4]
    assert len({image.numpy().tobytes() for image in copies}) == len(copies), "each copy has another defect"


def test_about_half_are_wrong_as_a_whole_and_these_are_not_located(folder: Path) -> None:
    for part in (load(folder).validation, load(folder).test):
        assert part.masks is not None
        whole = part.masks.flatten(1).all(1)
        assert 8 <= int(whole.sum()) <= 24 and not whole[part.labels == 0].any()
        assert torch.equal(part.located(), ~whole)
        all_whole = replace(part, masks=part.labels.bool()[:, None, None].expand_as(part.masks))
        assert all_whole.located().all(), "nothing would be left"
        assert replace(part, masks=None).located().all()


def test_the_seed_determines_all(folder: Path) -> None:
    assert load(folder).digest() == load(folder).digest()
    assert load(folder, seed=1).digest() != load(folder).digest()


def test_an_image_has_the_same_defect_whatever_the_others_are(folder: Path) -> None:
    plan = plan_task(TaskOptions(data="folder", root=folder, anomalies="planted"))
    (source,), (carriers,) = plan.abnormal, plan.validation.abnormal
    alone = source.read(carriers[3:4], plan.image_shape)
    assert torch.equal(alone[0], source.read(carriers, plan.image_shape)[3])
    masks = source.masks(carriers[3:4], plan.image_shape)
    assert masks is not None and masks.any()


def test_held_out_images_of_the_mvtec_layout(tmp_path: Path, fails: Any) -> None:
    walls(tmp_path, 20, place="train/good")
    walls(tmp_path, 12, place="test/good", first=20)
    task = load(tmp_path)
    assert len(task.train) == 20 and task.validation.labels.tolist() == [0] * 4 + [1] * 16
    for path in sorted((tmp_path / "test" / "good").iterdir())[6:]:
        path.unlink()
    with fails("has 3 good images for validation", "Expected 4 or more", "leave out test/good"):
        load(tmp_path)


def test_many_images_get_one_defect_each_and_not_all_of_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task(TaskOptions(data="digits", anomalies="planted", limit=900))
    assert task.validation.labels.bincount().tolist() == [120, 60]
    monkeypatch.setattr("autoad_nni.data.plan.MOST", 50)
    task = load_task(TaskOptions(data="digits", anomalies="planted", limit=900))
    assert task.validation.labels.bincount().tolist() == [130, 100], "two copies, as 50 are fewer than 60"


def test_the_least_number_of_images(tmp_path: Path, fails: Any) -> None:
    walls(tmp_path, settings.LEAST_GOOD - 1)
    with fails("has 19 normal images", "Expected 20 or more", "Add images"):
        load(tmp_path)
    task = load(walls(tmp_path, 1, first=30))
    assert task.validation.labels.tolist() == [0] * 2 + [1] * 16


def test_copies_of_one_picture_are_refused(folder: Path, tmp_path: Path, fails: Any) -> None:
    picture = next((folder / "good").iterdir())
    (tmp_path / "good").mkdir()
    for i in range(40):
        (tmp_path / "good" / f"{i}.png").write_bytes(picture.read_bytes())
    with fails("24 good images", "are one picture", "Expected pictures that differ", "Add others"):
        load(tmp_path)


def test_colour_images_and_other_shapes(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    cat = data.chelsea()
    for i in range(24):
        top, left = np.random.default_rng(i).integers(0, 200, 2)
        Image.fromarray(cat[top : top + 60, left : left + 90]).save(tmp_path / "good" / f"{i}.png")
    task = load(tmp_path)
    assert task.train.shape[1:] == (3, 60, 90)
    assert task.test.masks is not None and task.test.masks.shape[1:] == (60, 90)


def test_what_cannot_be(folder: Path, tmp_path: Path, fails: Any) -> None:
    with fails("anomalies is 'plant'", "Expected planted", "Give anomalies=planted"):
        load(folder, anomalies="plant")
    with fails("abnormal names digits", "one kind of anomaly"):
        load(folder, abnormal=("digits",))
    walls(tmp_path, 30)
    walls(tmp_path, 4, place="dent")
    with fails("has defects of its own, 4, and anomalies=planted", "Leave out anomalies"):
        load(tmp_path)
