from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from set_with_masks import only_problem, write_masks

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.check import check_layout

Write = Callable[..., None]


class Set(NamedTuple):
    """A category with nothing wrong, and where its images are tested and good ones held out."""

    root: Path
    tested: Path
    good: Path

    def mask(self, name: str) -> Path:
        return self.root / "ground_truth" / f"{name}_mask.png"


@pytest.fixture(params=["mvtec", "plain"])
def found(request: pytest.FixtureRequest, tmp_path: Path, write_images: Write) -> Set:
    root = tmp_path / "set"
    tested = root / "test" if request.param == "mvtec" else root
    write_images(tested / "good", 10, first=20)
    if request.param == "mvtec":
        write_images(root / "train" / "good", 12, first=0)
    write_images(tested / "crack", 3, first=30)
    write_images(tested / "dent" / "deep", 2, first=40)
    write_masks(root / "ground_truth" / "crack", 3)
    write_masks(root / "ground_truth" / "dent" / "deep", 2)
    return Set(root, tested, tested / "good")


def test_nothing_wrong(found: Set) -> None:
    report = check_layout(found.root)
    assert (report.problems, report.n_masks, report.kinds) == ((), 5, ("crack", "dent"))
    task = load_task(TaskOptions(data="folder", root=found.root))
    assert task.test.masks is not None and task.test.masks.any()


def test_a_missing_mask_and_a_set_without_any(found: Set) -> None:
    place = found.mask("dent/deep/001")
    place.unlink()
    only_problem(found.root, f"{found.tested / 'dent/deep/001.png'} has no mask", f"Expected {place}")
    for path in [*(found.root / "ground_truth").rglob("*.png")]:
        path.unlink()
    only_problem(found.root, f"{found.root / 'ground_truth'} has no masks", "Add them, or remove the folder.")
    for folder in ("dent/deep", "dent", "crack", ""):
        (found.root / "ground_truth" / folder).rmdir()
    assert check_layout(found.root).problems == ()


def test_wrong_masks(found: Set) -> None:
    place = found.mask("crack/002")
    Image.new("L", (12, 11), 255).save(place)
    only_problem(found.root, f"{place} is 12 x 11", "Expected 12 x 10", str(found.tested / "crack/002.png"))
    Image.new("L", (12, 10)).save(place)
    only_problem(found.root, f"{place} is empty", "Make it again")
    place.write_bytes(b"no image")
    only_problem(found.root, f"cannot read the mask {place}", "Replace or remove")


@pytest.mark.parametrize("name", ["crack/009", "009", "scratch/000"])
def test_masks_without_an_image(found: Set, name: str) -> None:
    place = found.mask(name)
    place.parent.mkdir(exist_ok=True)
    Image.new("L", (12, 10), 1).save(place)
    only_problem(found.root, f"{place} has no image", "NAME_mask.png", f"{found.tested / 'DEFECT'}/NAME.png")


@pytest.mark.parametrize("name", ["001_mask.bmp", "001.png", "001_mask.PNG", "001.tif"])
def test_masks_of_another_name_are_said_once(found: Set, name: str) -> None:
    place = found.mask("crack/001")
    with Image.open(place) as mask:
        mask.save(place.with_name(name))
    place.unlink()
    only_problem(found.root, f"{place.with_name(name)} is not named as the mask of", f"Expected {place}", "Save it")


def test_two_images_that_share_a_mask(found: Set) -> None:
    Image.new("L", (12, 10), 99).save(found.tested / "crack" / "001.bmp")
    first, second = (str(found.tested / "crack" / f"001.{ending}") for ending in ("bmp", "png"))
    only_problem(found.root, first, second, "share the mask", "Rename one")


def test_masks_of_good_images_are_empty(found: Set) -> None:
    place = found.mask("good/001")
    place.parent.mkdir()
    Image.new("L", (12, 10)).save(place)
    assert check_layout(found.root).problems == ()
    Image.new("L", (12, 10), 1).save(place)
    only_problem(found.root, f"{place} marks a defect in a good image", str(found.good / "001.png"))


def test_an_empty_folder_of_masks_without_defects(tmp_path: Path, write_images: Write) -> None:
    """As when the anomalies come from another set, or are planted."""
    write_images(tmp_path / "good", 20)
    (tmp_path / "ground_truth").mkdir()
    assert check_layout(tmp_path).problems == ()


@pytest.mark.parametrize("name", ["größe 1", "a b"])
def test_names_with_spaces_and_umlauts(found: Set, name: str) -> None:
    (found.tested / "crack").rename(found.tested / name)
    (found.root / "ground_truth" / "crack").rename(found.root / "ground_truth" / name)
    assert check_layout(found.root).problems == ()
    found.mask(f"{name}/000").unlink()
    only_problem(found.root, f"{found.tested / name / '000.png'} has no mask")


def test_an_image_that_cannot_be_read_is_not_compared_with_its_mask(found: Set) -> None:
    (found.tested / "crack" / "000.png").write_bytes(b"no image")
    only_problem(found.root, f"cannot read the image {found.tested / 'crack/000.png'}")


def test_a_palette_says_which_pixels_are_black(found: Set) -> None:
    mask = Image.new("P", (12, 10), 1)
    mask.putpalette([255, 0, 0, 0, 0, 0])
    mask.save(found.mask("crack/000"))
    only_problem(found.root, f"{found.mask('crack/000')} is empty")
    mask.paste(0, (0, 0, 3, 3))
    mask.save(found.mask("crack/000"))
    assert check_layout(found.root).problems == ()


NOISE = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [NOISE[..., 0], NOISE], ids=["grey", "RGB"])
def test_a_photograph_as_mask(found: Set, pixels: np.ndarray) -> None:
    n = len(np.unique(pixels.reshape(120, -1), axis=0))
    Image.fromarray(pixels).save(found.mask("crack/000"))
    only_problem(found.root, f"{found.mask('crack/000')} has {n} different values", "Save it with 0 and 255 only")


def test_a_mask_that_went_through_jpeg(found: Set) -> None:
    """The set's reader takes the faint rings about the defect for defect."""
    place = found.mask("crack/000")
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:7] = 255
    Image.fromarray(mask).save(place, "JPEG", quality=75)
    only_problem(found.root, f"{place} has ", "different values", "JPEG")


def test_a_few_values_are_the_kinds_of_defects(found: Set) -> None:
    mask = np.zeros((10, 12), np.uint8)
    mask[0, :7] = range(1, 8)
    Image.fromarray(mask).save(found.mask("crack/000"))
    assert check_layout(found.root).problems == ()
    mask[0, 8] = 8
    Image.fromarray(mask).save(found.mask("crack/000"))
    only_problem(found.root, "has 9 different values. Expected at most 8")


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_an_inverted_mask(found: Set, mode: str) -> None:
    white = {"RGB": (255, 255, 255), "1": 1}.get(mode, 255)
    mask = Image.new(mode, (12, 10), white)
    for x in range(12):
        mask.putpixel((x, 0), 0)
    mask.save(found.mask("crack/000"))
    assert check_layout(found.root).problems == (), "90 % is not too much"
    mask.putpixel((0, 0), white)
    mask.save(found.mask("crack/000"))
    only_problem(found.root, f"{found.mask('crack/000')} marks 90.8 % of the image", "Invert it")


@pytest.mark.parametrize("name", ["crack/000_mask.gif", "crack/x.PGM"])
def test_masks_of_a_kind_that_is_not_read(found: Set, name: str) -> None:
    (found.root / "ground_truth" / name).write_bytes(b"GIF89a")
    only_problem(found.root, f"{found.root / 'ground_truth' / name} is an image that is not read", "Convert it")


@pytest.mark.parametrize("how", ["palette", "alpha", "1 and 2"])
def test_a_mask_without_any_background(found: Set, how: str) -> None:
    """To invert it would not help."""
    if how == "palette":
        mask = Image.new("P", (12, 10), 0)
        mask.putpalette([255, 255, 255, 255, 0, 0])
        mask.paste(1, (2, 2, 5, 5))
    elif how == "alpha":
        mask = Image.new("RGBA", (12, 10), (255, 255, 255, 0))
        mask.paste((255, 255, 255, 255), (2, 2, 5, 5))
    else:
        mask = Image.new("L", (12, 10), 1)
        mask.paste(2, (2, 2, 5, 5))
    mask.save(found.mask("crack/000"))
    only_problem(
        found.root, f"{found.mask('crack/000')} has no pixel that is 0", "Save it with 0 and 255, as grey PNG."
    )


def test_masks_that_are_all_inverted(found: Set) -> None:
    """None marks more than 90 %, but that all mark the corners and more than half says enough."""
    names = ("crack/000", "crack/001", "crack/002", "dent/deep/000", "dent/deep/001")
    for width, wrong in ((6, False), (5, True)):
        for name in names:
            mask = Image.new("L", (12, 10), 255)
            mask.paste(0, (0, 0, width, 10))
            for y in (0, 9):
                mask.putpixel((0, y), 255)
                mask.putpixel((11, 4 + y // 9), 0)
            assert np.asarray(mask).sum() == 255 * 10 * (12 - width)
            mask.save(found.mask(name))
        if wrong:
            start = f"{found.root / 'ground_truth'}: each of the 5 masks marks the four corners and more than 50 %"
            only_problem(found.root, start, "Expected 0 where there is no defect. Invert them")
        else:
            assert check_layout(found.root).problems == (), "half is not more than half"
    mask.putpixel((11, 9), 0)
    mask.save(found.mask(names[-1]))
    assert check_layout(found.root).problems == ()


def test_a_folder_of_masks_in_other_case_is_said_once(found: Set) -> None:
    (found.root / "ground_truth" / "crack").rename(found.root / "ground_truth" / "Crack")
    wrong, right = (found.root / "ground_truth" / name for name in ("Crack", "crack"))
    only_problem(found.root, f"{wrong} seems to be meant for {right}.", "Rename it.")
    write_masks(right, 3)
    assert len(check_layout(found.root).problems) == 3, "then they are three masks without an image"
