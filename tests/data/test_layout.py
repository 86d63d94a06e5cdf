from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from set_with_masks import only_problem

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.layout import misnamed

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


@pytest.mark.parametrize("name", ["goods", "no good", "not_good", "good 2", "testing", "trained", "ground"])
def test_other_names_are_defects(tmp_path: Path, write_images: Write, name: str) -> None:
    write_set(tmp_path, "plain", write_images)
    write_images(tmp_path / name, 3, first=100)
    assert list(misnamed(tmp_path)) == [] and check_layout(tmp_path).problems == ()
    assert len(load(tmp_path).test.labels) > 0


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [("Good", "Good", "good"), ("Train/Good", "Train", "train"), ("train/GOOD", "train/GOOD", "train/good")],
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
