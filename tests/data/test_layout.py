from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from set_with_masks import only_problem, write_masks, write_photographs

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.scan import scan_folder

Write = Callable[..., None]
LAYOUTS = {"plain": ("good", "bent"), "mvtec": ("train/good", "test/good", "test/bent")}


def write_set(root: Path, layout: str, write_images: Write) -> None:
    for i, name in enumerate(LAYOUTS[layout]):
        write_images(root / name, 12, first=20 * i)


def load(root: Path) -> Any:
    return load_task(TaskOptions(data="folder", root=root))


@pytest.mark.parametrize(
    ("layout", "wrong", "right"),
    [
        ("plain", "Good", "good"),
        ("plain", "GOOD", "good"),
        ("plain", "Ground_Truth", "ground_truth"),
        ("plain", "ground truth", "ground_truth"),
        ("plain", "groundtruth", "ground_truth"),
        ("plain", "masks", "ground_truth"),
        ("plain", "mask", "ground_truth"),
        ("plain", "GT", "ground_truth"),
        ("plain", "labels", "ground_truth"),
        ("plain", "annotation", "ground_truth"),
        ("plain", "OK", "good"),
        ("plain", "normal", "good"),
        ("plain", "no_defect", "good"),
        ("plain", "defect_free", "good"),
        ("mvtec", "train/Good", "train/good"),
        ("mvtec", "train/ok", "train/good"),
        ("mvtec", "test/ok", "test/good"),
        ("mvtec", "test/Normal", "test/good"),
        ("mvtec", "masks", "ground_truth"),
        ("mvtec", "test/masks", "ground_truth"),
        ("mvtec", "Ground-Truth", "ground_truth"),
        ("mvtec", "test/Good", "test/good"),
        ("mvtec", "Test", "test"),
        ("mvtec", "test/ground_truth", "ground_truth"),
    ],
)
def test_names_that_nearly_fit(
    tmp_path: Path, write_images: Write, fails: Any, layout: str, wrong: str, right: str
) -> None:
    """Before, images in them were defects, or were left out."""
    write_set(tmp_path, layout, write_images)
    write_images(tmp_path / wrong, 3, first=100)
    words = (f"{tmp_path / wrong} seems to be meant for {tmp_path / right}.", "Rename it, or move what is in it there.")
    only_problem(tmp_path, *words)
    with fails(*words):
        load(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("good_old", "good"),
        ("good-backup", "good"),
        ("good2", "good"),
        ("good (1)", "good"),
        ("good 2", "good"),
        ("Good.bak", "good"),
        ("OK_new", "good"),
        ("normal-2", "good"),
        ("no_defects_2", "good"),
        ("defect free 3", "good"),
        ("ground_truth_old", "ground_truth"),
        ("GroundTruth2", "ground_truth"),
    ],
)
def test_names_that_begin_like_one_of_the_layouts(
    tmp_path: Path, write_images: Write, fails: Any, layout: str, name: str, like: str
) -> None:
    """Before, a copy of the good images was a kind of defect. Here it is one of the same pictures, said once."""
    write_set(tmp_path, layout, write_images)
    folder = (tmp_path / LAYOUTS[layout][-1]).parent / name
    write_images(folder, 3, first=0)
    words = (
        f"{folder} would be a kind of defect, but is named like {like}.",
        "or rename it if it is a kind of defect.",
    )
    only_problem(tmp_path, *words)
    with fails(*words):
        load(tmp_path)


@pytest.mark.parametrize("name", ["train", "test", "Test"])
def test_two_layouts_at_once(tmp_path: Path, write_images: Write, fails: Any, name: str) -> None:
    """``test/good`` beside ``good`` was a kind of defect."""
    write_set(tmp_path, "plain", write_images)
    write_images(tmp_path / name / "good", 3, first=100)
    if name == "train":
        (tmp_path / name / "good").rename(tmp_path / name / "ok")
    words = (f"{tmp_path / name} is beside good. Expected one layout", "Move good into train")
    only_problem(tmp_path, *words)
    with fails(*words):
        load(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_good_images_below_a_defect(tmp_path: Path, write_images: Write, fails: Any, layout: str) -> None:
    write_set(tmp_path, layout, write_images)
    folder = tmp_path / LAYOUTS[layout][-1] / "day 1" / "good"
    write_images(folder, 2, first=100)
    only_problem(tmp_path, f"{folder} is below", "no good images there", "or rename")
    with fails(f"{folder} is below"):
        load(tmp_path)


@pytest.mark.parametrize(
    "name", ["goods", "no good", "not_good", "testing", "trained", "ground", "abnormal", "not_ok", "NOK", "okra"]
)
def test_other_names_are_defects(tmp_path: Path, write_images: Write, name: str) -> None:
    write_set(tmp_path, "plain", write_images)
    write_images(tmp_path / name, 3, first=100)
    assert scan_folder(tmp_path).faults == [] and check_layout(tmp_path).problems == ()
    assert len(load(tmp_path).test.labels) > 0


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("ok", "ok", "good"),
        ("Good", "Good", "good"),
        ("Train/Good", "Train", "train"),
        ("train/GOOD", "train/GOOD", "train/good"),
    ],
)
def test_a_layout_that_is_missed_by_its_spelling_only(
    tmp_path: Path, write_images: Write, fails: Any, name: str, wrong: str, right: str
) -> None:
    write_images(tmp_path / name, 12)
    words = (f"{tmp_path / wrong} seems to be meant for {tmp_path / right}.", "Rename it")
    with fails(*words):
        load(tmp_path)
    only_problem(tmp_path, *words)


def test_images_that_are_left_out_of_the_mvtec_layout(tmp_path: Path, write_images: Write) -> None:
    """MVTec LOCO has a folder ``validation``."""
    write_set(tmp_path, "mvtec", write_images)
    write_images(tmp_path / "validation" / "good", 3, first=100)
    only_problem(tmp_path, f"{tmp_path / 'validation'} is beside train", "Move them")
    (tmp_path / "validation").rename(tmp_path / "good")
    only_problem(tmp_path, f"{tmp_path / 'good'} is beside train", "Move them")
    load(tmp_path)
    (tmp_path / "good" / "good" / "000.png").rename(tmp_path / "x.png")
    for path in sorted((tmp_path / "good").rglob("*.png")):
        path.unlink()
    only_problem(tmp_path, f"{tmp_path / 'x.png'} is in no sub-folder")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("where", ["defects", "good"])
def test_masks_beside_their_images_are_said_once(
    tmp_path: Path, write_images: Write, fails: Any, layout: str, where: str
) -> None:
    write_set(tmp_path, layout, write_images)
    folder = tmp_path / LAYOUTS[layout][-1 if where == "defects" else -2]
    for i in range(3):
        Image.new("L", (12, 10), 200 + i).save(folder / f"{i:03}_mask.bmp")
    right = tmp_path / "ground_truth" / folder.name
    words = (
        f"{folder / '000_mask.bmp'} is a mask beside its image",
        f"{folder} has 3 such",
        "Move them there.",
        str(right),
    )
    only_problem(tmp_path, *words)
    with fails(*words):
        load(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["masks", "Ground Truth", "day 1/labels"])
def test_masks_below_their_images(tmp_path: Path, write_images: Write, fails: Any, layout: str, name: str) -> None:
    write_set(tmp_path, layout, write_images)
    folder = tmp_path / LAYOUTS[layout][-1] / name
    write_images(folder, 2, first=200)
    right = (tmp_path / "ground_truth" / "bent" / name).parent
    words = (f"{folder} seems to hold masks", f"Expected them in {right}, as NAME_mask.png.")
    only_problem(tmp_path, *words)
    with fails(*words):
        load(tmp_path)


def test_masks_with_soft_edges_or_out_of_jpeg_are_masks(tmp_path: Path, write_images: Write) -> None:
    write_set(tmp_path, "plain", write_images)
    (tmp_path / "masks").mkdir()
    for i in range(2):
        mask = np.zeros((64, 64), np.uint8)
        mask[20:30, 30 : 40 + i] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.jpg", quality=75)
        with Image.open(tmp_path / "masks" / f"{i}.jpg") as image:
            assert len(np.unique(np.asarray(image))) > 8
    only_problem(tmp_path, f"{tmp_path / 'masks'} seems to be meant for {tmp_path / 'ground_truth'}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["label", "mask", "bent/gt", "bent/normal", "good/masks", "good/ok"])
def test_photographs_in_folders_of_such_names_are_right(
    tmp_path: Path, write_images: Write, layout: str, name: str
) -> None:
    """A label stuck on askew is a defect, and so are images of it; ``normal`` may be a light."""
    write_set(tmp_path, layout, write_images)
    write_photographs((tmp_path / LAYOUTS[layout][-1]).parent / name, 3)
    assert check_layout(tmp_path).problems == ()
    assert len(load(tmp_path).test.labels) > 0


def test_a_photograph_that_is_named_as_a_mask_is_right(tmp_path: Path, write_images: Write) -> None:
    """A face with a mask, and without one."""
    write_set(tmp_path, "plain", write_images)
    write_photographs(tmp_path / "good", 1)
    (tmp_path / "good" / "000.png").rename(tmp_path / "good" / "001_mask.png")
    Image.new("L", (12, 10), 200).save(tmp_path / "bent" / "777_mask.png")
    assert check_layout(tmp_path).problems == ()
    load(tmp_path)


def test_labels_that_are_no_images_harm_nobody(tmp_path: Path, write_images: Write) -> None:
    write_set(tmp_path, "mvtec", write_images)
    for folder in ("labels", "test/bent/annotations", "test/bent/ground_truth"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "000.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert check_layout(tmp_path).problems == ()
    load(tmp_path)


def test_masks_twice_are_said_but_harm_nobody(tmp_path: Path, write_images: Write) -> None:
    write_set(tmp_path, "mvtec", write_images)
    write_masks(tmp_path / "ground_truth" / "bent", 12)
    write_masks(tmp_path / "masks", 2)
    only_problem(tmp_path, f"{tmp_path / 'masks'} is beside train. Expected images below train and test only")
    load(tmp_path)


@pytest.mark.parametrize("name", ["Good", "ok"])
def test_a_misspelt_folder_of_training_images_is_said_once(tmp_path: Path, write_images: Write, name: str) -> None:
    write_set(tmp_path, "mvtec", write_images)
    (tmp_path / "train" / "good").rename(tmp_path / "train" / name)
    only_problem(tmp_path, f"{tmp_path / 'train' / name} seems to be meant for {tmp_path / 'train/good'}", "Rename it")
