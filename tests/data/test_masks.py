from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from autoad_nni.data import ImageShape, TaskOptions, load_task
from autoad_nni.data.decode import read_images, read_masks
from autoad_nni.data.masks import mask_path, read_mask, resize_mask

Write = Callable[..., None]
Mask = npt.NDArray[np.bool_]

RNG = np.random.default_rng(0)
MASK: Mask = RNG.random((13, 21)) < 0.3


def grey(value: int) -> Image.Image:
    return Image.fromarray(MASK.astype(np.uint8) * np.uint8(value))


def rgb(colour: tuple[int, int, int], mode: str = "RGB") -> Image.Image:
    return Image.fromarray((MASK[..., None] * np.array(colour)).astype(np.uint8)).convert(mode)


def palette(*, transparent: bool = False) -> Image.Image:
    """Index 3 is black and stands for the background; 0, 1 and 2 are colours of the defect."""
    image = Image.fromarray(np.where(MASK, np.indices(MASK.shape).sum(0) % 3, 3).astype(np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 1, 0, 9, 9, 9, 0, 0, 0])
    if transparent:
        image.info["transparency"] = bytes([255, 128, 255, 0])
    return image


def transparent(colour: tuple[int, int, int]) -> Image.Image:
    """Opaque everywhere: alpha is 255 where the mask is not, too."""
    image = rgb(colour, "RGBA")
    image.putalpha(255)
    return image


KINDS: dict[str, Callable[[], Image.Image]] = {
    "0/255": lambda: grey(255),
    "0/1": lambda: grey(1),
    "0/128": lambda: grey(128),
    "1 bit": lambda: grey(255).convert("1"),
    "16 bits": lambda: Image.fromarray(MASK.astype(np.uint16) * np.uint16(256)),
    "RGB white": lambda: rgb((255, 255, 255)),
    "RGB 0/1": lambda: rgb((1, 1, 1)),
    "RGB red": lambda: rgb((255, 0, 0)),
    "RGB blue": lambda: rgb((0, 0, 1)),
    "palette": palette,
    "palette, transparent": lambda: palette(transparent=True),
    "RGBA": lambda: transparent((0, 200, 0)),
    "grey and alpha": lambda: transparent((200, 200, 200)).convert("LA"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_masks_read_alike(tmp_path: Path, kind: str) -> None:
    image = KINDS[kind]()
    image.save(tmp_path / "mask.png", **({"transparency": t} if (t := image.info.get("transparency")) else {}))
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("set/test/bent/007.png", "set/ground_truth/bent/007_mask.png"),
        ("set/test/bent/deep/007.JPG", "set/ground_truth/bent/deep/007_mask.png"),
        ("set/bent/a.b.tif", "set/ground_truth/bent/a.b_mask.png"),
    ],
)
def test_where_masks_are(image: str, mask: str) -> None:
    assert mask_path(Path("set"), Path(image)) == Path(mask)


def nearest(mask: Mask, height: int, width: int) -> Mask:
    """Each pixel is the one below its middle, in exact arithmetic."""
    rows = [(2 * row + 1) * mask.shape[0] // (2 * height) for row in range(height)]
    columns = [(2 * column + 1) * mask.shape[1] // (2 * width) for column in range(width)]
    return np.array([[mask[row, column] for column in columns] for row in rows])


@pytest.mark.parametrize(
    ("full", "small"), [((64, 64), (16, 16)), ((90, 128), (24, 24)), ((41, 37), (9, 30)), ((10, 12), (20, 31))]
)
def test_resizing_takes_the_nearest_pixel(full: tuple[int, int], small: tuple[int, int]) -> None:
    # Blocks that the resizing cannot miss, none cut off by the border.
    side = max(-(-full[0] // small[0]), -(-full[1] // small[1]), 1)
    blocks = np.random.default_rng(1).random((full[0] // side, full[1] // side)) < 0.4
    mask = np.zeros(full, bool)
    mask[: blocks.shape[0] * side, : blocks.shape[1] * side] = np.kron(blocks, np.ones((side, side), bool))
    assert mask.any() and not mask.all()
    resized = resize_mask(mask, *small)
    assert resized.dtype == torch.bool and resized.shape == small
    np.testing.assert_array_equal(resized.numpy(), nearest(mask, *small))


def test_a_tiny_region_beside_a_large_one_is_kept() -> None:
    mask = np.zeros((128, 128), bool)
    mask[64:, 64:] = mask[17:19, 17:19] = True
    resized = resize_mask(mask, 16, 16)
    assert resized[8:, 8:].all() and resized[2, 2] and int(resized.sum()) == 65


def test_a_mask_of_the_right_size_stays_as_it_is() -> None:
    np.testing.assert_array_equal(resize_mask(MASK, *MASK.shape).numpy(), MASK)


def test_a_resized_mask_lies_where_the_resized_defect_lies(tmp_path: Path) -> None:
    """Nearest without the half pixel would shift it up and to the left."""
    full = np.zeros((100, 60), np.uint8)
    full[40:80, 30:55] = 255
    Image.fromarray(full).save(tmp_path / "image.png")
    shape = ImageShape(1, 20, 24)
    image = read_images([tmp_path / "image.png"], shape)[0, 0]
    mask = resize_mask(full > 0, *shape[1:])
    assert (image[mask] > 0.4).all() and (image[~mask] < 0.6).all()


@pytest.mark.parametrize("row", range(0, 200, 7))
def test_a_tiny_defect_is_never_lost(row: int) -> None:
    mask = np.zeros((200, 300), bool)
    mask[row, 299 - row] = True
    resized = resize_mask(mask, 16, 16)
    assert 1 <= resized.sum() <= 4
    found_row, found_column = resized.nonzero().float().mean(0).tolist()
    assert abs(found_row - row * 16 / 200) <= 1 and abs(found_column - (299 - row) * 16 / 300) <= 1


def test_an_empty_mask_stays_empty() -> None:
    assert not resize_mask(np.zeros((50, 50), bool), 8, 8).any()


def test_masks_of_a_batch_are_each_in_their_row(tmp_path: Path) -> None:
    """None, a mask of one size, None, a mask of another size."""
    images, masks = [], []
    for i, size in enumerate([(20, 20), (40, 20), (20, 20), (20, 40)]):
        Image.new("RGB", size, (9, 9, 9)).save(tmp_path / f"{i}.png")
        images.append(tmp_path / f"{i}.png")
        masks.append(tmp_path / f"{i}_mask.png" if i % 2 else None)
        if i % 2:
            mask = Image.new("L", size)
            mask.paste(1, (0, 0, size[0] // 2, size[1]) if i == 1 else (0, 0, size[0], size[1] // 2))
            mask.save(tmp_path / f"{i}_mask.png")
    found = read_masks(images, masks, ImageShape(3, 10, 12))
    assert found.shape == (4, 10, 12) and found.dtype == torch.bool
    assert not found[0].any() and not found[2].any()
    assert found[1, :, :6].all() and not found[1, :, 6:].any()
    assert found[3, :5].all() and not found[3, 5:].any()


def test_a_mask_has_the_size_of_its_image_as_a_viewer_shows_it(tmp_path: Path, fails: Any) -> None:
    image = Image.new("L", (32, 16), 9)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    upright, stored = Image.new("L", (16, 32), 255), Image.new("L", (32, 16), 255)
    upright.save(tmp_path / "upright.png")
    stored.save(tmp_path / "stored.png")
    assert read_masks([tmp_path / "a.jpg"], [tmp_path / "upright.png"], ImageShape(1, 32, 16)).all()
    with fails(str(tmp_path / "stored.png"), "32 x 16", "16 x 32"):
        read_masks([tmp_path / "a.jpg"], [tmp_path / "stored.png"], ImageShape(1, 32, 16))


@pytest.fixture
def folder(tmp_path: Path, write_images: Write) -> Path:
    """A plain folder with four defects and their masks."""
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bent", 4, first=100)
    (tmp_path / "ground_truth" / "bent").mkdir(parents=True)
    for i in range(4):
        Image.new("L", (12, 10), 255).save(tmp_path / "ground_truth" / "bent" / f"{i:03}_mask.png")
    return tmp_path


def load(folder: Path) -> Any:
    return load_task(TaskOptions(data="folder", root=folder))


def test_masks_of_normal_images_are_empty(folder: Path) -> None:
    task = load(folder)
    for part in (task.validation, task.test):
        assert part.masks is not None and part.masks.shape == part.images.shape[:1] + part.images.shape[2:]
        assert part.masks.flatten(1).all(1).tolist() == part.labels.bool().tolist()
        assert part.masks.flatten(1).any(1).tolist() == part.labels.bool().tolist()


def test_a_set_without_ground_truth_has_no_masks(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 20)
    write_images(tmp_path / "bent", 4, first=100)
    task = load(tmp_path)
    assert task.validation.masks is None and task.test.masks is None


def test_out_of_distribution_images_have_no_masks(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 100)
    (tmp_path / "ground_truth").mkdir()
    task = load_task(TaskOptions(data="folder", root=tmp_path, abnormal=("digits",)))
    assert task.validation.masks is None and task.test.masks is None


def test_the_digest_knows_masks(folder: Path) -> None:
    before = load(folder).digest()
    mask = Image.new("L", (12, 10), 255)
    mask.putpixel((3, 3), 0)
    mask.save(folder / "ground_truth" / "bent" / "002_mask.png")
    assert load(folder).digest() != before


def _remove(path: Path) -> None:
    path.unlink()


def _of_another_size(path: Path) -> None:
    Image.new("L", (10, 12), 255).save(path)


def _empty(path: Path) -> None:
    Image.new("RGB", (12, 10)).save(path)


def _only_alpha(path: Path) -> None:
    Image.new("RGBA", (12, 10), (0, 0, 0, 255)).save(path)


def _text(path: Path) -> None:
    path.write_bytes(b"no image at all")


def _cut_off(path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:-3000])


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_remove, ("There is no mask", "one for every image with a defect", "autoad-nni data check")),
        (_of_another_size, ("has 10 x 12 pixels, its image 12 x 10", "the same size", "Correct the mask")),
        (_empty, ("is empty", "pixels other than 0")),
        (_only_alpha, ("is empty", "pixels other than 0")),
        (_text, ("cannot read the mask", "Replace or remove")),
        (_cut_off, ("cannot read the mask", "Replace or remove")),
        (_a_folder, ("cannot read the mask", "Replace or remove")),
    ],
)
@pytest.mark.parametrize("number", [0, 3])
def test_a_wrong_mask_is_named(
    folder: Path, fails: Any, spoil: Callable[[Path], None], words: tuple[str, ...], number: int
) -> None:
    path = folder / "ground_truth" / "bent" / f"{number:03}_mask.png"
    spoil(path)
    with fails(str(path), *words):
        load(folder)
