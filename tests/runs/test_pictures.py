from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from autoad_nni.data import LabelledImages
from autoad_nni.models.detector import Detector
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.runs.pictures import contact_sheet, drawable, heat, picture_files, shades, side_by_side, write_pictures
from autoad_nni.models.scoring import Scorer, ScoringSettings

GREEN = (64, 255, 64)


class Grey(nn.Module):
    """Reconstructs everything as middle grey."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(images, 0.5), images.flatten(1)


def test_colours_rise_in_brightness_and_are_cut_at_both_ends() -> None:
    colours = heat(np.linspace(-1, 2, 31)[None], low=0.0, high=1.0)[0].astype(int)
    brightness = colours @ [299, 587, 114]
    assert (np.diff(brightness) >= 0).all() and (np.diff(brightness[10:21]) > 0).all()
    assert (colours[:11] == colours[0]).all() and (colours[20:] == colours[-1]).all()


def test_what_is_faint_but_found_is_seen_beside_what_is_strong() -> None:
    normal = np.linspace(0, 2, 201)  # median 1, 99th percentile 1.98
    drawn = shades(np.array([0.0, 1.0, 1.98, 1 + 0.98 * 9, 1 + 0.98 * 99]), normal=normal)
    assert drawn == pytest.approx([0, 0, np.log(2), np.log(10), np.log(100)])
    values = np.linspace(0, 50, 400)
    assert (np.diff(shades(values, normal=normal)) >= 0).all(), "the order stays"
    assert np.isfinite(shades(np.array([0.0, 5.0]), normal=np.zeros(9))).all()


def test_the_four_tiles_and_the_contour() -> None:
    image = np.full((16, 20, 3), 200, np.uint8)
    reconstruction, colours = image // 2, np.zeros_like(image)
    mask = np.zeros((16, 20), bool)
    mask[4:9, 6:12] = True
    picture = np.asarray(side_by_side(image, reconstruction, colours, mask))
    width = 20 * 8  # the shorter side grows to 128
    assert picture.shape == (128, 4 * width + 3 * 4, 3)
    tiles = [picture[:, i * (width + 4) : i * (width + 4) + width] for i in range(4)]
    assert [int(tile[0, 0, 0]) for tile in tiles] == [200, 100, 0, 100]
    is_green = (tiles[3] == GREEN).all(2)
    inside = np.kron(mask, np.ones((8, 8), bool))
    assert is_green.sum() == 2 * (40 + 48) - 4, "one pixel wide, all around"
    assert inside[is_green].all() and not any((tile == GREEN).all(2).any() for tile in tiles[:3])


def test_a_strip_is_enlarged_by_its_longer_side() -> None:
    strip = np.zeros((8, 224, 3), np.uint8)
    assert side_by_side(strip, strip, strip, None).size == (4 * 448 + 3 * 4, 16)


def test_without_a_mask_there_is_no_contour() -> None:
    image = np.full((128, 128, 3), 200, np.uint8)
    assert not (np.asarray(side_by_side(image, image, image, None)) == GREEN).all(2).any()
    assert not (np.asarray(side_by_side(image, image, image, np.zeros((128, 128), bool))) == GREEN).all(2).any()


def test_every_image_is_written_under_its_name_and_bright_where_it_is_anomalous(tmp_path: Path) -> None:
    images = torch.full((3, 1, 32, 32), 0.5)
    images[2, 0, 8:16, 8:16] = 1.0
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[2, 8:16, 8:16] = True
    names = ("test/good/a.png", "test/good/b.jpg", "test/dent/a.png")
    held = LabelledImages(images, torch.tensor([0, 0, 1], dtype=torch.uint8), masks, names)
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()), ScoringSettings(smoothing=0))
    sheet = write_pictures(tmp_path / "pictures", scorer, held, title="a title")
    files = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "pictures").rglob("*.*")]
    assert sorted(files) == [f"pictures/test/{name}" for name in ("dent/a.png", "good/a.png", "good/b.jpg.png")]
    with Image.open(tmp_path / "pictures" / "test" / "dent" / "a.png") as picture:
        shown = np.asarray(picture)[:, 2 * (128 + 4) : 2 * (128 + 4) + 128].sum(2)[::4, ::4]
    assert ((shown > 255) == masks[2].numpy()).all(), "yellow on the defect, black around it"
    with Image.open(sheet) as whole:
        assert sheet == tmp_path / "pictures.png" and whole.size[0] == 2 * (4 * 128 + 3 * 4 + 16)


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["a/b_1.png", "a_b/1.png"], ["a/b_1.png", "a_b/1.png"]),
        (["x.PNG", "x.png", "y.Jpg"], ["x.PNG", "x.png", "y.Jpg.png"]),
        (["x.jpg", "x.jpg.png", "x.jpeg"], ["x.jpg.png.png", "x.jpg.png", "x.jpeg.png"]),
        (["000001", "000002"], ["000001.png", "000002.png"]),
        (["/x.png", "../x.png", "./y.jpg"], ["x.png", "x.png.png", "y.jpg.png"]),
    ],
)
def test_no_two_pictures_share_a_file(tmp_path: Path, names: list[str], files: list[str]) -> None:
    assert picture_files(names) == files
    held = LabelledImages(torch.rand(len(names), 1, 8, 8), torch.zeros(len(names)), None, tuple(names))
    write_pictures(tmp_path / "p", Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance())), held)
    written = [path.relative_to(tmp_path / "p").as_posix() for path in (tmp_path / "p").rglob("*.*")]
    assert sorted(written) == sorted(files)


def test_a_name_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    name = "bad/" + 80 * "\u5b54" + ".png"  # 244 bytes
    held = LabelledImages(torch.rand(1, 1, 8, 8), torch.zeros(1), None, (name,))
    write_pictures(tmp_path / "p", Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance())), held)
    assert (tmp_path / "p" / name).is_file()


def heading(*, with_masks: bool, title: str = "") -> npt.NDArray[np.uint8]:
    return np.asarray(contact_sheet([("a", Image.new("RGB", (600, 20)))], title=title, with_masks=with_masks))[:14]


def test_the_heading_speaks_of_a_contour_only_where_there_are_masks(tmp_path: Path) -> None:
    images, labels = torch.rand(2, 1, 8, 8), torch.tensor([0, 1], dtype=torch.uint8)
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()))
    for masks in (None, torch.ones(2, 8, 8, dtype=torch.bool)):
        with Image.open(write_pictures(tmp_path / "p", scorer, LabelledImages(images, labels, masks))) as sheet:
            shown, expected = np.asarray(sheet)[:14, :600], heading(with_masks=masks is not None)[:, :600]
        assert (shown == expected).all()
    assert (heading(with_masks=True) != heading(with_masks=False)).any()


def test_letters_that_the_font_lacks_are_question_marks() -> None:
    assert drawable("test/Löcher/孔\n1.png") == "test/L?cher/??1.png"
    assert (heading(with_masks=True, title="Löcher") == heading(with_masks=True, title="L?cher")).all()


def test_the_sheet_has_at_most_48_of_many(tmp_path: Path) -> None:
    held = LabelledImages(torch.rand(60, 1, 8, 8), torch.tensor([0] * 30 + [1] * 30, dtype=torch.uint8))
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()))
    with Image.open(write_pictures(tmp_path / "p", scorer, held)) as whole:
        assert whole.size[1] == 24 * (128 + 14 + 4) + 14
    assert len(list((tmp_path / "p").iterdir())) == 60
