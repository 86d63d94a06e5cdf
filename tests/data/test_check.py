from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from set_with_masks import only_problem, write_masks

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import LayoutReport, check_layout

Write = Callable[..., None]


def test_nothing_wrong(mvtec: Path, plain: Path, tmp_path: Path) -> None:
    (mvtec / "license.txt").write_text("words")
    write_masks(tmp_path / ".hidden" / "good", 1)
    assert check_layout(mvtec) == LayoutReport((), 1, 21, ("crack", "dent"), 5)
    assert check_layout(plain) == LayoutReport((), 1, 15, ("bent",), 0)
    assert check_layout(tmp_path) == LayoutReport((), 2, 36, ("bent", "crack", "dent"), 5)
    for root in (mvtec, plain):
        load_task(TaskOptions(data="folder", root=root))


def test_no_layout_no_images_no_folder(tmp_path: Path, plain: Path, fails: Any, write_images: Write) -> None:
    with fails("none is not a folder", "Correct the path"):
        check_layout(tmp_path / "none")
    write_images(tmp_path / "nuts" / "fine", 3)
    only_problem(tmp_path / "nuts", str(tmp_path / "nuts"), "neither good nor train/good")
    only_problem(tmp_path, str(tmp_path / "nuts"), "neither good nor train/good")
    (tmp_path / "void").mkdir()
    only_problem(tmp_path / "void", "neither good nor train/good")


@pytest.mark.parametrize("name", ["train/good/003.png", "test/good/001.png", "test/crack/000.png"])
@pytest.mark.parametrize("damage", [lambda raw: b"no image", lambda raw: raw[:-30], lambda raw: b""])
def test_unreadable_images(mvtec: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (mvtec / name).write_bytes(damage((mvtec / name).read_bytes()))
    only_problem(mvtec, f"cannot read the image {mvtec / name}", "Replace or remove it.")


def test_images_that_the_data_set_refuses(plain: Path) -> None:
    Image.fromarray(np.full((9, 9), 3.0, np.float32)).save(plain / "good" / "a.tif")
    only_problem(
        plain, f"the image {plain / 'good' / 'a.tif'} has values from 3 to 3, not from 0 to 1", "Scale the values"
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_anomaly_among_good_images(mvtec: Path, plain: Path, mode: str) -> None:
    """Also when it was saved in another way."""
    for twin, defect in (
        (mvtec / "train" / "good" / "099.bmp", mvtec / "test" / "crack" / "001.png"),
        (plain / "good" / "a.tif", plain / "bent" / "001.png"),
    ):
        with Image.open(defect) as image:
            image.convert(mode).save(twin)
        root = mvtec if mvtec in twin.parents else plain
        only_problem(root, f"{twin} is the same picture as {defect}", "no defect among the good images")


def test_the_same_picture_in_training_and_in_test(mvtec: Path, plain: Path) -> None:
    twin = mvtec / "test" / "good" / "copy.png"
    twin.write_bytes((mvtec / "train" / "good" / "004.png").read_bytes())
    only_problem(mvtec, f"{twin} is the same picture as {mvtec / 'train/good/004.png'}", "Remove one")
    twin.rename(mvtec / "train" / "good" / "copy.png")
    assert check_layout(mvtec).problems == ()
    (plain / "good" / "copy.png").write_bytes((plain / "good" / "004.png").read_bytes())
    only_problem(plain, f"{plain / 'good' / 'copy.png'} is the same picture as {plain / 'good' / '004.png'}")


def test_images_where_nobody_looks(mvtec: Path, plain: Path, write_images: Write) -> None:
    write_images(mvtec / "train" / "bad", 1, first=90)
    only_problem(mvtec, f"{mvtec / 'train/bad'} is beside train/good", f"to {mvtec / 'test/bad'}")
    (mvtec / "train" / "bad" / "000.png").rename(mvtec / "test" / "x.png")
    (mvtec / "train" / "bad").rmdir()
    only_problem(mvtec, f"{mvtec / 'test' / 'x.png'} is in no sub-folder")
    (mvtec / "test" / "x.png").rename(plain / "x.png")
    only_problem(plain, f"{plain / 'x.png'} is in no sub-folder")


@pytest.mark.parametrize(("folder", "advice"), [("train/good", "Add some."), ("test/dent", "or remove the folder.")])
def test_empty_folders(tmp_path: Path, write_images: Write, folder: str, advice: str) -> None:
    for i, name in enumerate(("train/good", "test/good", "test/crack", "test/dent")):
        write_images(tmp_path / name, 0 if name == folder else 12, first=20 * i)
    only_problem(tmp_path, f"{tmp_path / folder} has no images", advice)


def test_train_without_good(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "train" / "fine", 12)
    write_images(tmp_path / "test" / "crack", 2, first=50)
    empty, beside = map(str, check_layout(tmp_path).problems)
    assert f"{tmp_path / 'train/fine'} is beside train/good" in beside
    assert f"{tmp_path / 'train/good'} has no images" in empty


def test_fewer_images_than_needed(mvtec: Path, plain: Path) -> None:
    for i in range(3):
        (plain / "good" / f"{i:03}.png").unlink()
    only_problem(plain, f"{plain} has 9 normal images", "10 or more")
    for i in range(1, 4):
        (mvtec / "test" / "good" / f"{i:03}.png").unlink()
    only_problem(mvtec, f"{mvtec / 'test/good'} has 1 image", "2 or more")


def test_a_single_defect(plain: Path) -> None:
    for i in range(2):
        (plain / "bent" / f"{i:03}.png").unlink()
    only_problem(plain, f"{plain} has 1 image with a defect", "2 or more")


@pytest.mark.parametrize("name", ["train/good/a.gif", "test/good/a.HEIC", "test/dent/deep/a.jp2", "test/crack/a.NEF"])
def test_images_of_a_kind_that_is_not_read(mvtec: Path, fails: Any, name: str) -> None:
    (mvtec / name).write_bytes(b"GIF89a")
    only_problem(mvtec, f"{mvtec / name} is an image that is not read", "files that end in .png", "Convert it")
    with fails(f"{mvtec / name} is an image that is not read"):
        load_task(TaskOptions(data="folder", root=mvtec))


def test_images_that_are_not_read_and_lie_in_no_sub_folder(mvtec: Path, plain: Path) -> None:
    for path, root in ((mvtec / "a.gif", mvtec), (mvtec / "test" / "a.jxl", mvtec), (plain / "a.cr2", plain)):
        path.write_bytes(b"GIF89a")
        only_problem(root, f"{path} is an image that is not read", "Convert it, or move it away.")
        path.unlink()


def test_several_sizes_and_modes_are_no_problem_but_said(plain: Path, mvtec: Path, tmp_path: Path) -> None:
    Image.new("L", (300, 200), 9).save(plain / "bent" / "x.png")
    (sizes,) = check_layout(plain).remarks
    assert sizes.startswith(f"{plain}: sizes 12 x 10 to 300 x 200")
    Image.new("RGB", (12, 10), (9, 8, 7)).save(plain / "bent" / "y.png")
    report = check_layout(tmp_path)
    assert report.problems == () and report.remarks[0] == sizes
    assert report.remarks[1:] == (f"{plain}: 16 of 17 images are grey, read as RGB like the others",)
    task = load_task(TaskOptions(data="folder", root=plain))
    assert task.channels == 3


def test_a_folder_of_good_images_only(plain: Path, fails: Any) -> None:
    """A search of it plants defects, and refuses it for the same reason if there are too few images for that."""
    for path in (plain / "bent").iterdir():
        path.unlink()
    (plain / "bent").rmdir()
    words = ("normal images. Expected 20 or more", "to plant defects into some of the others")
    only_problem(plain, str(plain), *words)
    with fails(*words):
        load_task(TaskOptions(data="folder", root=plain, anomalies="planted"))
    for i in range(20):
        Image.new("L", (12, 10), 100 + i).save(plain / "good" / f"more {i}.png")
    found = check_layout(plain)
    assert found.problems == ()
    assert f"{plain} has no image with a defect: a search plants some, and its figures are of these." in found.remarks


def photograph(path: Path, seed: int, side: int = 90) -> Image.Image:
    """An image in which JPEG leaves nothing as it was: noise on soft clouds."""
    rng = np.random.default_rng(seed)
    clouds = np.asarray(Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((side, side)))
    image = Image.fromarray((0.7 * clouds + rng.integers(0, 70, (side, side, 3))).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_every_picture_in_two_formats(tmp_path: Path, quality: int) -> None:
    for i in range(12):
        photograph(tmp_path / "good" / f"{i:03}.png", i).save(tmp_path / "good" / f"{i:03}.jpg", quality=quality)
    for i in range(3):
        photograph(tmp_path / "bent" / f"{i:03}.png", 100 + i).save(tmp_path / "bent" / f"{i:03}.bmp")
    lossy, lossless = map(str, check_layout(tmp_path).problems)
    good = tmp_path / "good"
    assert lossy.startswith(f"{good / '000.jpg'} and 000.png are one picture in two formats; {good} has 12 such pairs.")
    assert lossless.startswith(f"{tmp_path / 'bent/000.bmp'} and 000.png are one picture in two formats;")
    assert "has 3 such pairs" in lossless and lossless.endswith("Remove one format.")


def test_two_pictures_that_share_a_name_are_right(tmp_path: Path) -> None:
    """Two cameras, each with a format of its own; and one name in two folders."""
    for i in range(12):
        photograph(tmp_path / "good" / f"{i:03}.png", i)
        photograph(tmp_path / "good" / f"{i:03}.jpg", 50 + i)
        photograph(tmp_path / "bent" / f"{i:03}.jpg", 100 + i)
    assert check_layout(tmp_path).problems == ()
