from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.files import image_files, refused_files, sub_folders
from autoad_nni.data.given import find_images
from autoad_nni.data.scan import scan_folder
from autoad_nni.errors import AutoADError

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


@pytest.mark.parametrize("where", ["up", "to the root", "of the folder itself", "by way of outside"])
def test_a_link_to_a_folder_around_is_refused(plain: Path, write_images: Write, where: str) -> None:
    """``good/loop -> ..`` took the defects for good images."""
    link = plain / "good" / "more"
    if where == "up":
        link.symlink_to("..")
    elif where == "to the root":
        link.symlink_to(plain.parent)
    elif where == "of the folder itself":
        (plain / "good").rename(plain.parent / "elsewhere")
        (plain / "good").symlink_to(plain.parent / "elsewhere")
        link.symlink_to(plain)
    else:
        outside = plain.parent / "outside"
        write_images(outside, 1)
        link.symlink_to(outside)
        (outside / "back").symlink_to(plain)
    for read in (lambda: load_task(TaskOptions(data="folder", root=plain)), lambda: check_layout(plain)):
        with pytest.raises(AutoADError, match=r"^the link .* leads to .*, which .*/good is in\. Expected"):
            read()
    with pytest.raises(AutoADError, match="leads to"):
        find_images([plain / "good"])


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


def test_a_link_to_itself_is_no_folder(plain: Path) -> None:
    (plain / "good" / "self").symlink_to(plain / "good" / "self")
    assert len(image_files(plain)) == 15
    assert check_layout(plain).problems == ()


@pytest.mark.parametrize(("link", "target"), [("good/x", "bent"), ("bent/x.png", "good/000.png"), ("other", "bent")])
def test_a_file_that_is_good_and_a_defect_by_a_link_is_refused(plain: Path, link: str, target: str) -> None:
    (plain / link).symlink_to(plain / target)
    with pytest.raises(AutoADError, match=r" is the file .* too, by a link\. Expected each file in"):
        load_task(TaskOptions(data="folder", root=plain))
    assert any("too, by a link" in str(problem) for problem in check_layout(plain).problems)


def test_masks_are_no_good_images_by_a_link_and_links_to_files_are_fine(mvtec: Path, tmp_path: Path) -> None:
    (mvtec / "train" / "good" / "far.png").symlink_to(tmp_path / "far.png")
    Image.new("L", (12, 10), 200).save(tmp_path / "far.png")
    assert check_layout(mvtec).problems == ()
    (mvtec / "train" / "good" / "x").symlink_to(mvtec / "ground_truth" / "crack")
    assert any("too, by a link" in fault for fault in scan_folder(mvtec).faults)


@contextmanager
def without_access(folder: Path, mode: int) -> Iterator[None]:
    """As a user who is not root, and for whom the folder has this mode."""
    folder.chmod(mode)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.parametrize("mode", [0o000, 0o711, 0o744])
@pytest.mark.parametrize("name", ["good", "bent", "good/second day", ""])
def test_a_folder_that_cannot_be_read_is_named(write_images: Write, name: str, mode: int) -> None:
    """It counted as empty."""
    with tempfile.TemporaryDirectory() as made:  # pytest's own folder is closed to others
        root = Path(made, "set")
        write_images(root / "good" / "second day", 3)
        write_images(root / "good", 12, first=20)
        write_images(root / "bent", 3, first=60)
        Path(made).chmod(0o755)
        with without_access(root / name, mode):
            with pytest.raises(AutoADError, match="Permission denied") as caught:
                load_task(TaskOptions(data="folder", root=root))
            assert str(root / name) in str(caught.value)
            with pytest.raises(AutoADError, match="Permission denied") as caught:
                problems = check_layout(root).problems  # or it is one of these
                raise problems[0]
            assert str(root / name) in str(caught.value)


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    for read in (check_layout, lambda path: load_task(TaskOptions(data="folder", root=path))):
        with pytest.raises(AutoADError, match="cannot be listed: File name too long"):
            read(tmp_path / ("x" * 300))
