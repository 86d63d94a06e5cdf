"""One scan for the data set and for ``data check``: what the one refuses, the other names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from set_with_masks import write_masks

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.scan import scan_folder
from autoad_nni.errors import AutoADError

Write = Callable[..., None]


def names(root: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_every_file_by_what_it_is(mvtec: Path) -> None:
    scan = scan_folder(mvtec)
    assert (scan.layout, scan.tested, scan.faults, scan.left_out) == ("mvtec", mvtec / "test", [], [])
    assert names(mvtec, scan.train) == [f"train/good/{i:03}.png" for i in range(12)]
    assert names(mvtec, scan.held_out) == [f"test/good/{i:03}.png" for i in range(4)]
    assert {kind: names(mvtec, paths) for kind, paths in scan.defects.items()} == {
        "crack": [f"test/crack/{i:03}.png" for i in range(3)],
        "dent": [f"test/dent/deep/{i:03}.png" for i in range(2)],
    }
    assert len(scan.masks) == 5 and len(scan.good) == 16 and len(scan.defective) == 5


def test_the_plain_layout(plain: Path) -> None:
    scan = scan_folder(plain)
    assert (scan.layout, scan.tested, scan.faults, scan.left_out) == ("plain", plain, [], [])
    assert names(plain, scan.train) == [f"good/{i:03}.png" for i in range(12)]
    assert scan.held_out == scan.masks == []
    assert names(plain, scan.defects["bent"]) == [f"bent/{i:03}.png" for i in range(3)]


def test_neither_layout(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "bottles", 12)
    scan = scan_folder(tmp_path)
    assert scan.layout is None and scan.good == scan.defective == scan.masks == []
    (fault,) = scan.faults
    assert fault.startswith(f"{tmp_path} has neither good nor train/good; its sub-folders: bottles.")


def test_a_scan_decodes_nothing(mvtec: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: pytest.fail("an image was opened"))
    scan_folder(mvtec)
    scan_folder(plain)


def test_what_lies_in_a_folder_of_a_wrong_name_counts_nowhere(plain: Path, write_images: Write) -> None:
    """A search would refuse it; a check would say of each that it is the same picture as a good one."""
    write_images(plain / "good_old", 12, first=20)
    write_masks(plain / "bent" / "masks", 3)
    scan = scan_folder(plain)
    assert len(scan.faults) == 2 and list(scan.defects) == ["bent"] and len(scan.defective) == 3
    assert len(check_layout(plain).problems) == 2


def unlink(folder: Path, keep: int) -> None:
    for path in sorted(folder.iterdir())[keep:]:
        path.unlink()


def dark(path: Path) -> None:
    for i in range(12):
        Image.new("I;16", (12, 10), 1000 + i).save(path / f"{i:03}.png")


BROKEN: dict[str, Callable[[Path], object]] = {
    "misspelt": lambda root: (root / "good").rename(root / "Good"),
    "another word": lambda root: shutil.copytree(root / "good", root / "ok"),
    "copy": lambda root: shutil.copytree(root / "good", root / "good - Copy"),
    "masks as images": lambda root: write_masks(root / "masks", 3),
    "masks among images": lambda root: write_masks(root / "bent" / "masks", 3),
    "masks beside images": lambda root: [
        Image.new("L", (12, 10), 255 * (i > 0)).save(root / "bent" / f"00{i}_mask.png") for i in range(2)
    ],
    "good below a defect": lambda root: shutil.copytree(root / "good", root / "bent" / "good"),
    "two layouts": lambda root: (root / "train").mkdir(),
    "no images": lambda root: unlink(root / "good", 0),
    "an empty folder": lambda root: (root / "dent").mkdir(),
    "a gif": lambda root: (root / "bent" / "x.gif").write_bytes(b"GIF89a"),
    "few good": lambda root: unlink(root / "good", 9),
    "one defect": lambda root: unlink(root / "bent", 1),
    "few good and one defect": lambda root: [unlink(root / "good", 9), unlink(root / "bent", 1)],
    "no defects": lambda root: shutil.rmtree(root / "bent"),
    "unreadable": lambda root: (root / "good" / "003.png").write_bytes(b"no image"),
    "12 bits": lambda root: dark(root / "good"),
    "no layout": lambda root: (root / "good").rename(root / "bottles"),
    "train and test without good": lambda root: [(root / "good").rename(root / "test"), (root / "train").mkdir()],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_search_refuses_is_a_problem_of_the_check(plain: Path, name: str) -> None:
    BROKEN[name](plain)
    with pytest.raises(AutoADError) as refused:
        load_task(TaskOptions(data="folder", root=plain, anomalies="planted" if name == "no defects" else None))
    said = str(refused.value).partition(" This is 1 of ")[0].replace("data=folder has", f"{plain} has")
    assert said in [str(problem) for problem in check_layout(plain).problems]


def with_folder(name: str) -> Callable[[Path], Any]:
    return lambda root: shutil.copytree(root / "test" / "crack", root / name)


HARMLESS: dict[str, Callable[[Path], object]] = {
    "beside train": with_folder("validation"),
    "below train": with_folder("train/bad"),
    "in no folder": lambda root: shutil.copy(root / "test" / "crack" / "000.png", root / "x.png"),
    "a gif in no folder": lambda root: (root / "test" / "x.gif").write_bytes(b"GIF89a"),
    "a gif among masks": lambda root: (root / "ground_truth" / "x.gif").write_bytes(b"GIF89a"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_left_out_is_a_problem_of_the_check_alone(mvtec: Path, name: str) -> None:
    before = load_task(TaskOptions(data="folder", root=mvtec)).digest()
    HARMLESS[name](mvtec)
    scan = scan_folder(mvtec)
    assert scan.faults == [] and len(scan.left_out) == 1
    assert [str(problem) for problem in check_layout(mvtec).problems] == scan.left_out
    assert load_task(TaskOptions(data="folder", root=mvtec)).digest() == before
