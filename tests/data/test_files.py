from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.files import image_files, refused_files, sub_folders

Write = Callable[..., None]


def below(folder: Path, files: list[Path]) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def test_images_in_sorted_order_whatever_their_ending_s_case(tmp_path: Path) -> None:
    for name in ("b/z.PNG", "b/ä ö.Jpg", "a.tiff", "c.txt", ".hidden.png", ".hidden/x.png", "b/d.gif", "e.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert below(tmp_path, image_files(tmp_path)) == ["a.tiff", "b/z.PNG", "b/ä ö.Jpg"]
    assert below(tmp_path, refused_files(tmp_path)) == ["b/d.gif", "e.HEIC"]
    assert below(tmp_path, sub_folders(tmp_path)) == ["b"]
    assert image_files(tmp_path / "none") == sub_folders(tmp_path / "none") == []


def test_links_to_folders_are_followed(tmp_path: Path, write_images: Write) -> None:
    root = tmp_path / "set"
    write_images(root / "good", 10)
    write_images(tmp_path / "second day", 5, first=20)
    write_images(tmp_path / "bent", 4, first=100)
    (root / "good" / "more").symlink_to(tmp_path / "second day")
    (root / "bent").symlink_to(tmp_path / "bent")
    assert below(root, image_files(root))[-1] == "good/more/004.png"
    assert check_layout(root).n_images == 19
    task = load_task(TaskOptions(data="folder", root=root))
    assert len(task.train) + len(task.validation.labels) + len(task.test.labels) == 19


@pytest.mark.parametrize("where", ["up", "to itself", "across"])
def test_links_that_lead_round_in_a_circle_end(tmp_path: Path, write_images: Write, where: str) -> None:
    write_images(tmp_path / "a", 2)
    write_images(tmp_path / "b", 2)
    if where == "up":
        (tmp_path / "a" / "up").symlink_to(tmp_path)
    elif where == "to itself":
        (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    else:
        (tmp_path / "a" / "x").symlink_to(tmp_path / "b")
        (tmp_path / "b" / "y").symlink_to(tmp_path / "a")
    assert len(image_files(tmp_path)) == 4, "each once"
