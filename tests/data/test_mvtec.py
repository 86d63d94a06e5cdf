from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autoad_nni.data import ImageShape, LabelledImages, Task, TaskOptions, load_task
from autoad_nni.data.plan import plan_task
from autoad_nni.data.sources.folder import Folder
from autoad_nni.data.sources.mvtec import CATEGORIES
from autoad_nni.data.textures import write_textures

DEFECTS = {"bent": 6, "color": 5, "scratch_head": 7}
N_TRAIN, N_GOOD = 12, 8
DEFECT_VALUE = 250
SIDE = 16


def draw(path: Path, number: int, *, defect: bool) -> None:
    """Writes an image of one dark value, its number; a defect is a bright rectangle somewhere, and has a mask."""
    rng = np.random.default_rng(number)
    height, width = (64, 64) if number % 3 else (48, 80)
    pixels, mask = np.full((height, width), number, np.uint8), np.zeros((height, width), np.uint8)
    if defect:
        top, left = rng.integers(0, (height // 2, width // 2))
        area = slice(top, top + height // 4), slice(left, left + width // 3)
        pixels[area], mask[area] = DEFECT_VALUE, 255 if number % 2 else 1
    path.parent.mkdir(parents=True, exist_ok=True)
    # Every fourth is RGB, so that all are read as RGB.
    Image.fromarray(pixels if number % 4 else np.stack([pixels] * 3, 2)).save(path)
    if defect:
        place = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask if number % 5 else np.stack([mask] * 3, 2)).save(place)


def write_category(folder: Path) -> None:
    """A miniature category, exactly as MVTec-AD is unpacked."""
    number = iter(range(1, 200))
    for i in range(N_TRAIN):
        draw(folder / "train" / "good" / f"{i:03}.png", next(number), defect=False)
    for i in range(N_GOOD):
        draw(folder / "test" / "good" / f"{i:03}.png", next(number), defect=False)
    for kind, n in DEFECTS.items():
        for i in range(n):
            draw(folder / "test" / kind / f"{i:03}.png", next(number), defect=True)
    (folder / "license.txt").write_text("CC BY-NC-SA 4.0")
    (folder / "readme.txt").write_text("MVTec-AD")


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mvtec_ad")
    for category in ("screw", "tile"):
        write_category(root / category)
    return root


def load(root: Path, data: str = "mvtec", category: str | None = "screw", seed: int = 0, **options: Any) -> Task:
    return load_task(TaskOptions(data=data, root=root, category=category, image_size=SIDE, seed=seed, **options))


def kinds(part: LabelledImages) -> Counter[str]:
    return Counter(name.split("/")[1] for name in part.names)


def test_a_category_is_split_by_kind_of_defect(mvtec: Path) -> None:
    task = load(mvtec)
    assert task.name == "mvtec/screw vs defects"
    assert task.train.shape == (N_TRAIN, 3, SIDE, SIDE)
    parts = (task.validation, task.test)
    for part in parts:
        assert part.images.shape == (len(part.labels), 3, SIDE, SIDE)
        assert kinds(part)["good"] == N_GOOD // 2
        assert all(abs(kinds(part)[kind] - n / 2) <= 0.5 for kind, n in DEFECTS.items())
        assert part.labels.tolist() == [int(not name.startswith("test/good/")) for name in part.names]
    names = [name for part in parts for name in part.names]
    assert sorted(names) == sorted(
        [f"test/{kind}/{i:03}.png" for kind, n in {"good": N_GOOD, **DEFECTS}.items() for i in range(n)]
    )


def test_the_seed_decides_the_halves_and_nothing_else(mvtec: Path) -> None:
    first, again, other = load(mvtec), load(mvtec), load(mvtec, seed=1)
    assert first.digest() == again.digest() and first.validation.names == again.validation.names
    assert set(first.validation.names) != set(other.validation.names)
    assert kinds(first.validation)["good"] == kinds(other.validation)["good"]
    assert sorted(first.train.flatten(1).mean(1).tolist()) == sorted(other.train.flatten(1).mean(1).tolist())


@pytest.mark.parametrize("seed", [0, 1])
def test_images_masks_labels_and_names_belong_together(mvtec: Path, seed: int) -> None:
    task = load(mvtec, seed=seed)
    places = set()
    for part in (task.validation, task.test):
        assert part.masks is not None and len(part.names) == len(part.images) == len(part.masks)
        for image, label, mask, name in zip(part.images, part.labels, part.masks, part.names, strict=True):
            with Image.open(mvtec / "screw" / name) as file:
                number = np.asarray(file.convert("L")).min()
            assert image.min().item() == pytest.approx(number / 255, abs=1e-6), "the image of this name"
            assert bool(mask.any()) == bool(label)
            if label:
                middle = (number / 255 + DEFECT_VALUE / 255) / 2
                # Pixels of the resized image that the edge of the defect crosses are in between.
                assert ((image[0] > middle) == mask).float().mean() > 0.85
                assert image[0][mask].mean() > 0.8 > 0.4 > image[0][~mask].mean()
                places.add(tuple(mask.nonzero().float().mean(0).tolist()))
    assert len(places) > 12, "or masks that are mixed up would pass"


def test_own_folders_in_the_layout_read_alike(mvtec: Path) -> None:
    assert load(mvtec, "folder").digest() == load(mvtec, "mvtec").digest()
    assert load(mvtec / "screw", "folder", None).digest() == load(mvtec, "mvtec").digest()


def test_masks_can_be_missing_all_of_them(tmp_path: Path) -> None:
    write_category(tmp_path / "screw")
    (tmp_path / "screw" / "ground_truth").rename(tmp_path / "elsewhere")
    assert load(tmp_path, "folder").validation.masks is None


def test_the_plain_layout_has_masks_beside_good(tmp_path: Path, mvtec: Path) -> None:
    for kind in DEFECTS:
        (tmp_path / kind).symlink_to(mvtec / "screw" / "test" / kind)
    (tmp_path / "good").symlink_to(mvtec / "screw" / "train" / "good")
    (tmp_path / "ground_truth").symlink_to(mvtec / "screw" / "ground_truth")
    task = load(tmp_path, "folder", None)
    assert {name.split("/")[0] for name in task.test.names} == {"good", *DEFECTS}
    for part in (task.validation, task.test):
        assert part.masks is not None
        for image, mask in zip(part.images, part.masks, strict=True):
            assert not mask.any() or image[0][mask].mean() > 0.8 > 0.4 > image[0][~mask].mean()


def test_all_15_categories_are_known() -> None:
    assert len(CATEGORIES) == 15 and list(CATEGORIES) == sorted(CATEGORIES)
    assert {"carpet", "grid", "leather", "tile", "wood"} < set(CATEGORIES), "the textures among them"


WHERE = "mvtec.com/company/research/datasets/mvtec-ad"


def test_errors_say_which_folder_is_expected_and_where_the_set_comes_from(
    tmp_path: Path, mvtec: Path, fails: Any
) -> None:
    with fails("data=mvtec without root", WHERE, "Give root=DIR"):
        load_task(TaskOptions(data="mvtec", category="screw"))
    with fails(f"There is no folder {tmp_path / 'bottle/train/good'}", WHERE, "correct root"):
        load(tmp_path, category="bottle")
    with fails(f"There is no folder {tmp_path / 'none/bottle/train/good'}", WHERE, "correct root"):
        load(tmp_path / "none", category="bottle")


@pytest.mark.parametrize(
    ("category", "got"),
    [
        (None, "data=mvtec without category. "),
        ("screws", "data=mvtec with category 'screws'. "),
        ("Screw", "data=mvtec with category 'Screw'. "),
        ("", "data=mvtec with category ''. "),
    ],
)
def test_a_category_that_is_none(mvtec: Path, fails: Any, category: str | None, got: str) -> None:
    with fails(got, *CATEGORIES, "data=folder"):
        load(mvtec, category=category)


@pytest.mark.parametrize("part", ["train/good", "test/good", "ground_truth"])
def test_a_category_that_lacks_a_part(tmp_path: Path, fails: Any, part: str) -> None:
    write_category(tmp_path / "screw")
    (tmp_path / "screw" / part).rename(tmp_path / "gone")
    with fails(f"There is no folder {tmp_path / 'screw' / part}", "as it is unpacked", WHERE):
        load(tmp_path)


def test_mvtec_cannot_be_abnormal(mvtec: Path, fails: Any) -> None:
    with fails("abnormal names mvtec", "Give it with data"):
        load_task(TaskOptions(data="digits", abnormal=("mvtec",), root=mvtec, category="screw"))


SMALL = {"side": 64, "n_train": 10, "n_good": 4, "n_per_defect": 2}


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("textures") / "set"
    write_textures(root, **SMALL)
    return root


@pytest.mark.parametrize("seed", range(4))
def test_the_halves_of_a_photograph_go_to_validation_and_test(textures: Path, seed: int) -> None:
    task = load(textures, "textures", "grass", seed)
    assert task.name == "textures/grass vs defects" and len(task.train) == 10
    halves = []
    for part in (task.validation, task.test):
        assert len({Path(name).name[0] for name in part.names}) == 1
        halves.append(Path(part.names[0]).name[0])
        assert kinds(part)["good"] == 2 and set(kinds(part).values()) <= {1, 2} and len(kinds(part)) == 7
        assert part.masks is not None and part.masks.flatten(1).any(1).tolist() == part.labels.bool().tolist()
    assert sorted(halves) == ["a", "b"]


def test_the_seed_decides_which_half_is_which(textures: Path) -> None:
    first = {load(textures, "textures", "brick", seed).validation.names[0].split("/")[2][0] for seed in range(6)}
    assert first == {"a", "b"}


@pytest.mark.parametrize("limit", [10, 12])
def test_a_limit_leaves_both_halves_or_says_so(textures: Path, limit: int) -> None:
    for seed in range(4):
        task = load(textures, "textures", "brick", seed, limit=limit)
        assert {Path(n).name[0] for n in task.validation.names}.isdisjoint(Path(n).name[0] for n in task.test.names)
        assert 0 < int(task.test.labels.sum()) < len(task.test.labels)


def test_without_a_root_the_set_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path / "cache"))
    options = TaskOptions(data="textures", category="gravel", image_size=16, seed=5)
    plan = plan_task(options)
    written = tmp_path / "cache" / "textures-5"
    assert plan.normal.where == written / "gravel" and plan.image_shape == ImageShape(1, 16, 16)
    assert sorted(path.name for path in written.iterdir() if path.is_dir()) == ["brick", "grass", "gravel"]
    stamp = (written / "textures.json").stat().st_mtime_ns
    again = plan_task(options)
    assert (written / "textures.json").stat().st_mtime_ns == stamp
    assert np.array_equal(again.validation.normal, plan.validation.normal)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["textures-5"], "planning decodes nothing"


@pytest.mark.parametrize(("category", "got"), [(None, "without category. "), ("bricks", "with category 'bricks'. ")])
def test_a_texture_that_is_none(textures: Path, fails: Any, category: str | None, got: str) -> None:
    with fails(f"data=textures {got}", "brick, grass, gravel", "Give category=brick"):
        load(textures, "textures", category)


def test_textures_that_are_not_there(tmp_path: Path, fails: Any) -> None:
    with fails(str(tmp_path / "brick"), "is not a folder"):
        load(tmp_path, "textures", "brick")


def test_a_folder_with_groups_of_its_own_is_an_ordinary_folder(textures: Path) -> None:
    """``--data folder`` deals the same images without regard to halves: what ``--data textures`` is for."""
    task = load(textures, "folder", "brick")
    assert {Path(name).name[0] for name in task.validation.names} == {"a", "b"}
    assert isinstance(plan_task(TaskOptions(data="folder", root=textures, category="brick")).normal, Folder)
    assert torch.equal(task.train.sort(0).values, load(textures, "textures", "brick").train.sort(0).values)
