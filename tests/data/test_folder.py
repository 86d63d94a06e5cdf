from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps

from autoad_nni.data import ImageShape, SourceOptions, Task, TaskOptions, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.decode import full_image_shape, read_images
from autoad_nni.data.image_file import open_image
from autoad_nni.data.sources.folder import Folder

Write = Callable[..., None]


def values(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


def load(root: Path, **options: Any) -> Task:
    return load_task(TaskOptions(data="folder", root=root, **options))


def read_one(path: Path, shape: ImageShape | None = None) -> torch.Tensor:
    """Reads a single image through a folder that holds it ``good``."""
    folder = Folder(SourceOptions(root=path.parent.parent))
    return folder.read(np.array([0]), shape or folder.image_shape)[0]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "good").mkdir()
    return tmp_path / "good"


def test_mvtec_layout(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "train" / "good", 20, first=0)
    write_images(tmp_path / "test" / "good", 10, first=50)
    write_images(tmp_path / "test" / "crack", 7, first=100)
    write_images(tmp_path / "test" / "dent", 4, first=150)
    task = load(tmp_path)
    assert task.validation.masks is None
    assert (task.name, task.channels, task.height, task.width) == ("folder vs defects", 1, 10, 12)
    assert sorted(values(task.train)) == list(range(20))
    validation, test = values(task.validation.images), values(task.test.images)
    assert sorted([*validation, *test]) == [*range(50, 60), *range(100, 107), *range(150, 154)]
    for part, found in ((task.validation, validation), (task.test, test)):
        assert part.labels.tolist() == [int(value >= 100) for value in found]
        assert sum(value < 100 for value in found) == 5
        assert sum(100 <= value < 150 for value in found) in (3, 4)
        assert sum(value >= 150 for value in found) == 2


def test_mvtec_layout_without_good_test_images_splits_train(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "train" / "good", 20)
    write_images(tmp_path / "test" / "crack", 4, first=100)
    task = load(tmp_path)
    assert [len(task.train), len(task.validation.labels), len(task.test.labels)] == [12, 4 + 2, 4 + 2]


def test_mvtec_layout_against_another_set(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "train" / "good", 20)
    write_images(tmp_path / "test" / "good", 40, first=50)
    task = load(tmp_path, abnormal=("digits",))
    assert [len(task.train), len(task.validation.labels), len(task.test.labels)] == [20, 20 + 1, 20 + 1]


def test_plain_layout_takes_every_other_sub_folder_as_defects(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 10, first=0)
    write_images(tmp_path / "good" / "second_day", 10, first=10)
    write_images(tmp_path / "defect", 3, first=100)
    write_images(tmp_path / "defect" / "deep" / "er", 2, first=150)
    write_images(tmp_path / "scratched", 2, first=200)
    task = load(tmp_path)
    assert [len(task.train), len(task.validation.labels), len(task.test.labels)] == [12, 4 + 4, 4 + 3]
    seen = [value for part in (task.train, task.validation.images, task.test.images) for value in values(part)]
    assert sorted(seen) == [*range(20), 100, 101, 102, 150, 151, 200, 201]
    assert max(values(task.train)) < 100


def test_plain_layout_against_another_set(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 50)
    task = load(tmp_path, abnormal=("photos",))
    assert [len(task.train), len(task.validation.labels), len(task.test.labels)] == [30, 10 + 1, 10 + 1]


def test_category_is_a_sub_folder(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "bottle" / "good", 10)
    write_images(tmp_path / "bottle" / "broken", 2, first=100)
    assert load(tmp_path, category="bottle").name == "folder/bottle vs defects"
    assert load(tmp_path.parent, category=f"{tmp_path.name}/bottle").train.shape[0] == 6


def test_hidden_files_and_other_files_are_left_out(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 10)
    write_images(tmp_path / "bad", 2)
    write_images(tmp_path / ".trash", 3)
    write_images(tmp_path / "good" / ".thumbnails", 3)
    (tmp_path / "good" / "._000.png").write_bytes(b"resource fork")
    (tmp_path / "good" / "notes.txt").write_text("no image")
    task = load(tmp_path)
    assert len(task.train) + len(task.validation.labels) + len(task.test.labels) == 12


def test_limit_leaves_held_out_images(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "train" / "good", 40)
    write_images(tmp_path / "test" / "good", 4, first=50)
    write_images(tmp_path / "test" / "crack", 2, first=100)
    task = load(tmp_path, limit=10)
    assert [len(task.train), len(task.validation.labels), len(task.test.labels)] == [8, 2, 2]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((12, 10), (10, 12)), ((448, 224), (112, 224)), ((100, 896), (224, 25)), ((4, 4), (8, 8)), ((2240, 20), (8, 224))],
)
def test_default_shape_is_that_of_the_first_image(good: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    Image.new("RGB", size).save(good / "a.png")
    Image.new("L", (50, 50)).save(good / "b.png")
    assert Folder(SourceOptions(root=good.parent)).image_shape == (3, *expected)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (1.0,)),
        ("L", 51, (0.2,)),
        ("LA", (51, 10), (0.2,)),
        ("RGB", (255, 51, 0), (1.0, 0.2, 0.0)),
        ("RGBA", (255, 51, 0, 10), (1.0, 0.2, 0.0)),
        ("I;16", 13107, (0.2,)),
    ],
)
def test_modes_of_png(good: Path, mode: str, colour: Any, expected: tuple[float, ...]) -> None:
    Image.new(mode, (9, 9), colour).save(good / "a.png")
    image = read_one(good / "a.png")
    assert image.shape == (len(expected), 9, 9)
    assert image.mean((1, 2)).tolist() == pytest.approx(expected)


def test_palettes_with_transparency(good: Path) -> None:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([0, 0, 0, 255, 51, 0])
    image.save(good / "a.png", transparency=bytes([0, 128]))
    assert read_one(good / "a.png").mean((1, 2)).tolist() == pytest.approx([1, 0.2, 0])


@pytest.mark.parametrize("extension", ["jpg", "JPEG", "bmp", "tif", "TIFF", "PNG", "webp"])
def test_file_types(good: Path, extension: str) -> None:
    Image.new("RGB", (32, 16), (200, 100, 50)).save(good / f"a.{extension}")
    image = read_one(good / f"a.{extension}")
    assert image.shape == (3, 16, 32)
    assert image.mean((1, 2)).tolist() == pytest.approx([200 / 255, 100 / 255, 50 / 255], abs=0.01)


def test_cmyk_and_float_images(good: Path) -> None:
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(good / "a.jpg")
    assert read_one(good / "a.jpg").mean((1, 2)).tolist() == pytest.approx([1, 0, 0], abs=0.02)
    (good / "a.jpg").unlink()
    Image.fromarray(np.full((9, 9), 0.25, np.float32)).save(good / "a.tif")
    assert read_one(good / "a.tif").unique().tolist() == [0.25]


def test_exif_orientation_is_applied(good: Path) -> None:
    image = Image.new("L", (32, 16))
    image.paste(255, (0, 0, 32, 8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(good / "a.jpg", exif=exif, quality=100)
    upright = read_one(good / "a.jpg")
    assert upright.shape == (1, 32, 16)
    # Orientation 6: the camera lay on its side, so that the stored top row is the right edge.
    assert upright[0, :, 8:].min() > 0.95 and upright[0, :, :8].max() < 0.05


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 9])
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_headers_and_pixels_agree_which_side_is_up(good: Path, ending: str, orientation: int) -> None:
    """9 is no orientation. Of a path, Pillow 13.0 turns the header of an uncompressed TIFF file, but not the pixels."""
    image = Image.new("L", (32, 16))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(good / f"a.{ending}", exif=exif)
    shape = full_image_shape(good / f"a.{ending}")
    assert shape[1:] == ((32, 16) if orientation in (6, 8) else (16, 32))
    with open_image(good / f"a.{ending}") as stored:
        ImageOps.exif_transpose(stored, in_place=True)
        assert stored.size == (shape.width, shape.height)


def test_big_jpegs_keep_their_content(good: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 1024, dtype=np.uint8), (1024, 1))
    Image.fromarray(ramp).save(good / "a.jpg", quality=95)
    columns = read_one(good / "a.jpg", ImageShape(1, 32, 32)).mean((0, 1))
    assert columns.tolist() == pytest.approx(((np.arange(32) + 0.5) / 32).tolist(), abs=0.01)


def test_mixed_sizes_come_in_the_first_image_s(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 10)
    (tmp_path / "bad").mkdir()
    for i in range(4):
        Image.new("L", (40 + i, 30), 250).save(tmp_path / "good" / f"x{i}.jpg")
        Image.new("LA", (5, 70 + i), (250, 9)).save(tmp_path / "bad" / f"{i}.png")
    assert load(tmp_path).test.images.shape == (3 + 2, 1, 10, 12)
    assert load(tmp_path, image_size=16).train.shape == (8, 1, 16, 16)


COLOUR = {
    "RGB": Image.new("RGB", (12, 10), (250, 0, 0)),
    "RGBA": Image.new("RGBA", (12, 10), (250, 0, 0, 9)),
    "P": Image.new("RGB", (12, 10), (250, 0, 0)).quantize(),
    "grey values in RGB": Image.new("RGB", (12, 10), (9, 9, 9)),
}


@pytest.mark.parametrize("mode", COLOUR)
@pytest.mark.parametrize("place", ["train/good", "test/good", "test/bad"])
def test_one_image_in_colour_makes_all_rgb(tmp_path: Path, write_images: Write, place: str, mode: str) -> None:
    """As when a new camera took the defects; ``z`` is the last by name."""
    for name in ("train/good", "test/good", "test/bad"):
        write_images(tmp_path / name, 12)
    assert Folder(SourceOptions(root=tmp_path)).image_shape == (1, 10, 12)
    COLOUR[mode].save(tmp_path / place / "z.png")
    task = load(tmp_path)
    assert task.train.shape[1:] == task.test.images.shape[1:] == (3, 10, 12)
    reds = [
        image[0, 0, 0] - image[2, 0, 0]
        for part in (task.train, task.validation.images, task.test.images)
        for image in part
    ]
    assert max(reds) == pytest.approx(0 if "grey" in mode else 250 / 255, abs=1e-6), "its colour is kept"
    assert sum(red != 0 for red in reds) == (0 if "grey" in mode else 1)


def test_all_kinds_of_grey_stay_grey(good: Path) -> None:
    for i, mode in enumerate(("1", "L", "LA", "I;16")):
        Image.new(mode, (12, 10)).save(good / f"{i}.png")
    Image.fromarray(np.full((10, 12), 0.5, np.float32)).save(good / "x.tif")
    assert Folder(SourceOptions(root=good.parent)).image_shape == (1, 10, 12)


def test_the_mode_of_a_set_is_read_from_headers(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        Image.new("L", (40, 40)).save(good / f"{i}.png")
    decoded: list[object] = []
    really_load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: [decoded.append(image), really_load(image)][1])
    assert Folder(SourceOptions(root=good.parent)).image_shape == (1, 40, 40)
    assert len(decoded) <= 1, "the first only, whose EXIF data may come after its pixels"


def test_paths_tell_the_files(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 3)
    assert Folder(SourceOptions(root=tmp_path)).paths(np.array([2])) == [tmp_path / "good" / "002.png"]


def test_missing_folders(tmp_path: Path, write_images: Write, fails: Any) -> None:
    with fails("data=folder without root", "Give root=DIR"):
        load_task(TaskOptions(data="folder"))
    with fails(str(tmp_path / "none"), "is not a folder", "Correct"):
        load(tmp_path / "none")
    write_images(tmp_path / "bottle" / "good", 3)
    with fails(str(tmp_path), "neither good nor train/good", "sub-folders: bottle", "Give category=bottle"):
        load(tmp_path)
    with fails(str(tmp_path / "cable"), "is not a folder", "those beside it: bottle", "Correct root or category"):
        load(tmp_path, category="cable")
    with fails("its sub-folders: none", "sub-folder good"):
        load(tmp_path / "bottle" / "good")


@pytest.mark.parametrize("empty", ["good", "bad", "train/good", "test/good", "test/dent"])
def test_empty_folders(tmp_path: Path, write_images: Write, fails: Any, empty: str) -> None:
    mvtec = "/" in empty
    for name in ("train/good", "test/good", "test/dent") if mvtec else ("good", "bad"):
        write_images(tmp_path / name, 0 if name == empty else 12)
    advice = "Add some." if empty in ("good", "train/good") else "Add some or remove the folder."
    with fails(f"{tmp_path / empty} has no images", ".png, .jpg", advice):
        load(tmp_path)


def test_too_few_images(tmp_path: Path, write_images: Write, fails: Any) -> None:
    write_images(tmp_path / "plain" / "good", 9)
    write_images(tmp_path / "plain" / "bad", 4)
    with fails("has 9 normal images", "10 or more"):
        load(tmp_path / "plain")
    write_images(tmp_path / "mvtec" / "train" / "good", 20)
    write_images(tmp_path / "mvtec" / "test" / "good", 1)
    with fails(f"{tmp_path / 'mvtec/test/good'} has 1 image", "2 or more"):
        load(tmp_path / "mvtec")
    write_images(tmp_path / "one" / "good", 20)
    write_images(tmp_path / "one" / "bad", 1)
    with fails("has 1 image with a defect", "2 or more"):
        load(tmp_path / "one")


def test_one_class_only_and_two_kinds_of_anomalies(tmp_path: Path, write_images: Write, fails: Any) -> None:
    write_images(tmp_path / "good", 60)
    with fails(
        f"{tmp_path} has normal images only", "one class only", "Give anomalies=planted", "abnormal=NAME", "digits"
    ):
        load(tmp_path)
    write_images(tmp_path / "bad", 4)
    with fails("has defects of its own and abnormal names digits", "Leave out abnormal"):
        load(tmp_path, abnormal=("digits",))
    with fails("abnormal names folder", "Give it with data"):
        load_task(TaskOptions(data="digits", abnormal=("folder",), root=tmp_path))


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + bytes(30)])
@pytest.mark.parametrize("name", ["000.png", "005.png"])
def test_unreadable_images_are_named(
    tmp_path: Path, write_images: Write, fails: Any, content: bytes, name: str
) -> None:
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bad", 2)
    (tmp_path / "good" / name).write_bytes(content)
    with fails("cannot read the image", str(tmp_path / "good" / name), "Replace or remove it"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["good/000.png", "bad/001.png"])
def test_the_reason_is_said_without_the_names_of_objects(
    tmp_path: Path, write_images: Write, fails: Any, name: str
) -> None:
    """The headers are read from the file, which is named once; pixels from bytes in memory, which have no name."""
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bad", 2, first=100)
    path = tmp_path / name
    path.write_bytes(b"GIF")
    line = f"cannot read the image {path}: cannot identify image file. Expected an image file. Replace or remove it."
    with fails(line):
        load(tmp_path)
    with fails(line):
        read_images([path], ImageShape(1, 8, 8))
    assert list(map(str, check_layout(tmp_path).problems)) == [line]
    path.unlink()
    with fails(f"cannot read the image {path}: No such file or directory. Expected"):
        read_images([path], ImageShape(1, 8, 8))


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "bmp"])
def test_images_that_are_cut_off_are_named(tmp_path: Path, write_images: Write, fails: Any, extension: str) -> None:
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bad", 2)
    path = tmp_path / "bad" / f"cut.{extension}"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-1500])
    with fails("cannot read the image", str(path)):
        load(tmp_path)


@pytest.mark.parametrize("name", ["x.gif", "deeper/x.JP2", "x.heic"])
def test_images_of_a_kind_that_is_not_read_are_named(
    tmp_path: Path, write_images: Write, fails: Any, name: str
) -> None:
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bad", 2)
    path = tmp_path / "bad" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"GIF89a")
    with fails(f"{path} is an image that is not read. Expected files that end in .png"):
        load(tmp_path)
    path.rename(path.with_name(f".{path.name}"))
    load(tmp_path)


def test_an_image_of_one_pixel(good: Path) -> None:
    Image.new("RGB", (1, 1), (200, 100, 50)).save(good / "a.png")
    assert read_one(good / "a.png")[:, 0, 0].mul(255).round().tolist() == [200, 100, 50]


def test_values_out_of_range_are_named(good: Path, fails: Any) -> None:
    Image.fromarray(np.full((9, 9), 2, np.float32)).save(good / "a.tif")
    with fails(
        "a.tif has values from 2 to 2, not from 0 to 1. Expected 0 to 65535 in grey of 16 bits, 0 to 1 in float"
    ):
        read_one(good / "a.tif")
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(good / "a.tif")
    with fails("values from 70000 to 70000, not from 0 to 65535"):
        read_one(good / "a.tif")


def test_the_same_tensors_again(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 30)
    write_images(tmp_path / "bad", 5)
    first, second = load(tmp_path, seed=2), load(tmp_path, seed=2)
    assert torch.equal(first.train, second.train)
    assert torch.equal(first.test.images, second.test.images)
    assert not torch.equal(first.train, load(tmp_path, seed=3).train)


def test_images_too_large_to_decode_are_named(
    tmp_path: Path, write_images: Write, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bad", 2, first=100)
    Image.new("L", (2000, 10), 9).save(tmp_path / "bad" / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    line = f"the image {tmp_path / 'bad/x.png'} is too large to decode. Expected at most 10,000 pixels. Shrink it, or"
    with fails(line):
        load(tmp_path)
    (problem,) = check_layout(tmp_path).problems
    assert str(problem).startswith(line) and ".." not in str(problem)


def test_the_number_of_other_faults_is_said(tmp_path: Path, write_images: Write, fails: Any) -> None:
    for name in ("good", "good_old", "ok"):
        write_images(tmp_path / name, 12)
    with fails(f"{tmp_path / 'ok'} seems to be meant for", "This is 1 of 2 faults: 'autoad-nni data check' lists all."):
        load(tmp_path)
