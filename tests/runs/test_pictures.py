from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from toys import Halving

from autoad_nni.data import LabelledImages, Task
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict, reconstruct
from autoad_nni.runs.best import save_pictures
from autoad_nni.runs.drawing import pixels_of, typeface
from autoad_nni.runs.map_colours import MapScale, map_scale
from autoad_nni.runs.pictures import picture_files, write_pictures
from autoad_nni.runs.prediction import ChosenThreshold, FilePrediction
from autoad_nni.runs.prediction_pictures import PredictionPictures
from autoad_nni.runs.sheet import DrawnImages, contact_sheet, explanations, tiles_of
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import make_scorer, run_trial
from autoad_nni.trial.settings import TrialSettings

SCALE = MapScale(low=0.0, usual=1.0, high=10.0)
GREEN = (64, 255, 64)
RED, BLUE = [0xB0, 0x00, 0x20], [0x37, 0x47, 0x4F]


class Grey(nn.Module):
    """Reconstructs everything as middle grey."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(images, 0.5), images.flatten(1)


def test_the_four_tiles_and_the_contour() -> None:
    image = np.full((16, 20, 3), 200, np.uint8)
    brightness = np.zeros((16, 20))
    brightness[0, 0] = 1
    mask = np.zeros((16, 20), bool)
    mask[4:9, 6:12] = True
    tiles = tiles_of(image, image // 2, brightness, mask)
    assert list(tiles) == ["image", "reconstruction", "map", "map over image"]
    assert {tile.shape for tile in tiles.values()} == {(128, 160, 3)}  # the shorter side grows to 128
    over = tiles.pop("map over image")
    assert [tile[20, 20].tolist() for tile in tiles.values()] == [[200] * 3, [100] * 3, [0, 0, 8]]
    assert tiles["map"][7, 7].tolist() == [252, 254, 164]
    assert over[7, 7].tolist() == [236, 238, 175], "0.3 of the image, 0.7 of yellow"
    assert over[20, 20].tolist() == [200] * 3, "the image as it is where nothing is anomalous"
    is_green = (over == GREEN).all(2)
    inside = np.kron(mask, np.ones((8, 8), bool))
    assert is_green.sum() == 2 * (40 + 48) - 4, "one pixel wide, all around"
    assert inside[is_green].all() and not any((tile == GREEN).all(2).any() for tile in tiles.values())


def test_without_a_mask_there_is_no_contour_and_without_a_reconstruction_three_tiles() -> None:
    image = np.full((128, 128, 3), 200, np.uint8)
    for mask in (None, np.zeros((128, 128), bool)):
        tiles = tiles_of(image, None, np.zeros((128, 128)), mask)
        assert list(tiles) == ["image", "map", "map over image"]
        assert not (tiles["map over image"] == GREEN).all(2).any()


def test_every_image_is_written_under_its_name_and_bright_where_it_is_anomalous(tmp_path: Path) -> None:
    images = torch.full((3, 1, 32, 32), 0.5)
    images[2, 0, 8:16, 8:16] = 1.0
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[2, 8:16, 8:16] = True
    names = ("test/good/a.png", "test/good/b.jpg", "test/dent/a.png")
    held = LabelledImages(images, torch.tensor([0, 0, 1], dtype=torch.uint8), masks, names)
    detector = Detector(Grey(), ReconstructionHypothesis(), L1Distance())
    detector.normal_map = torch.tensor([0.0, 0.02])  # of which the defect's pixels are 25
    scorer = Scorer(detector, ScoringSettings(smoothing=0))
    sheet = write_pictures(tmp_path / "pictures", scorer, held, predict(scorer, held.images), title="a title")
    files = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "pictures").rglob("*.*")]
    assert sorted(files) == [f"pictures/test/{name}" for name in ("dent/a.png", "good/a.png", "good/b.jpg.png")]
    with Image.open(tmp_path / "pictures" / "test" / "dent" / "a.png") as picture:  # the bar is 41 pixels high
        shown = np.asarray(picture)[-128 - 41 : -41, 2 * 144 : 2 * 144 + 128].sum(2)[::4, ::4]
    assert ((shown > 255) == masks[2].numpy()).all(), "yellow on the defect, black around it"
    with Image.open(sheet) as whole:
        assert sheet == tmp_path / "pictures.png" and whole.size[0] == 3 * (4 * 140 + 3 * 4 + 20) - 20 + 2 * 12


def test_the_search_and_predict_draw_an_image_in_the_same_colours(tmp_path: Path) -> None:
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    detector = Detector(Grey(), ReconstructionHypothesis(), L1Distance())
    detector.normal_map = torch.tensor([0.25, 0.0125])
    scorer = Scorer(detector)
    held, prediction = LabelledImages(images, torch.tensor([0, 0, 1])), predict(scorer, images)
    write_pictures(tmp_path / "p", scorer, held, prediction, threshold=0.5)
    new = FilePrediction(Path("a.png"), 0.25, "good", prediction.anomaly_map[1, 0].numpy(), images[1])
    picture = PredictionPictures(scorer, ChosenThreshold(0.5, "given", None, "")).picture(new, "a.png")
    expected = tiles_of(pixels_of(images[1]), None, map_scale(scorer, 0.5).brightness(new.anomaly_map), None)["map"]
    with Image.open(tmp_path / "p" / "000001.png") as drawn_by_search:
        for shown in (np.asarray(drawn_by_search), np.asarray(picture)):
            windows = np.lib.stride_tricks.sliding_window_view(shown, expected.shape)
            assert (windows[:, :, 0, ::16, ::16] == expected[::16, ::16]).all((2, 3, 4)).any()


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
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()))
    write_pictures(tmp_path / "p", scorer, held, predict(scorer, held.images))
    written = [path.relative_to(tmp_path / "p").as_posix() for path in (tmp_path / "p").rglob("*.*")]
    assert sorted(written) == sorted(files)


def test_a_name_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    name = "bad/" + 80 * "\u5b54" + ".png"  # 244 bytes
    held = LabelledImages(torch.rand(1, 1, 8, 8), torch.zeros(1), None, (name,))
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()))
    write_pictures(tmp_path / "p", scorer, held, predict(scorer, held.images))
    assert (tmp_path / "p" / name).is_file()


def drawn(labels: list[int], scores: list[float], *, threshold: float | None, side: int = 128) -> DrawnImages:
    """Image number i is grey, as bright as i; the highest value of its map is its score."""
    maps = np.zeros((len(labels), side, side))
    maps[:, : side // 2] = np.array(scores)[:, None, None]
    images = torch.stack([torch.full((1, side, side), i / 255) for i in range(len(labels))])
    held = LabelledImages(images, torch.tensor(labels, dtype=torch.uint8))
    return DrawnImages(
        images=held, scores=np.array(scores), maps=maps, reconstructions=None, scale=SCALE, threshold=threshold
    )


def shown_on(sheet: npt.NDArray[np.uint8], n_images: int) -> list[int]:
    """The numbers of the images, in the order of reading: uniform squares of 128 pixels."""
    grey = (sheet == sheet[..., :1]).all(2) & (sheet[..., 0] < n_images)
    whole = grey[:-127, :-127] & grey[127:, 127:] & (sheet[:-127, :-127, 0] == sheet[127:, 127:, 0])
    found = []
    for y, x in np.argwhere(whole):  # in the order of reading
        square = sheet[y : y + 128, x : x + 128]
        if whole[y, x] and (square == square[0, 0]).all():
            found.append(int(square[0, 0, 0]))
            whole[max(y - 127, 0) : y + 128, max(x - 127, 0) : x + 128] = False
    return found


def test_the_sheet_shows_groups_in_order() -> None:
    labels, scores = [0, 0, 0, 1, 1, 1, 1, 1, 1], [1.0, 5.0, 2.0, 2.5, 9.0, 1.5, 8.0, 7.0, 6.0]
    view = drawn(labels, scores, threshold=3.0)
    sheet = np.asarray(contact_sheet(view))
    assert shown_on(sheet, 9) == [5, 3, 1, 8, 7, 6, 4, 2, 0]
    bands = sheet[:, sheet.shape[1] // 2]
    starts = [y for y in range(1, len(bands)) if (bands[y] != 0xEE).any() and (bands[y - 1] == 0xEE).all()]
    assert [bands[y].tolist() for y in starts if bands[y].tolist() in (RED, BLUE)] == [RED, RED, BLUE, BLUE]


def test_a_group_without_a_mistake_is_not_red() -> None:
    sheet = np.asarray(contact_sheet(drawn([0, 1], [0.0, 1.0], threshold=0.5)))
    assert not (sheet == RED).all(2).any() and (sheet == BLUE).all(2).any()


def test_a_mistake_is_written_in_red() -> None:
    wrong, right = (np.asarray(drawn([0, 1], [0.0, 1.0], threshold=t).cell(1)) for t in (2.0, 0.5))
    assert (wrong == RED).all(2).any() and not (right == RED).all(2).any()


def test_a_picture_has_all_that_it_takes_to_read_it() -> None:
    view = drawn([0, 1], [0.0, 1.0], threshold=0.5)
    picture, cell = view.picture(1), view.cell(1)
    bar = np.asarray(view.bar(picture.width))
    assert picture.width == cell.width == 3 * 140 + 2 * 4
    shown = np.asarray(picture)
    assert (shown[-len(bar) :, : bar.shape[1]] == bar).all()
    yellow = (bar == (252, 254, 164)).all(2)
    assert yellow.any() and ((bar == (0, 0, 8)).all(2)).any()
    assert (shown[-len(bar) - 4 - 128 : -len(bar) - 4, :128] == 1).all(), "the image is above the bar"


def test_the_bar_has_the_threshold_only_where_the_map_decides() -> None:
    view = drawn([0, 1], [0.0, 1.0], threshold=0.5)
    other = DrawnImages(
        images=view.images,
        scores=view.scores + 0.1,
        maps=view.maps,
        reconstructions=None,
        scale=SCALE,
        threshold=0.5,
    )
    assert view.scored_by_highest and not other.scored_by_highest
    assert view.bar(300).height > other.bar(300).height


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 64, 64), (3, 224, 224), (1, 40, 224), (3, 224, 40), (1, 8, 8)])
@pytest.mark.parametrize("with_reconstruction", [True, False])
def test_sheets_fit_a_screen_and_leave_room_for_text(shape: tuple[int, int, int], with_reconstruction: bool) -> None:
    images = torch.rand(5, *shape)
    view = DrawnImages(
        images=LabelledImages(images, torch.tensor([0, 0, 1, 1, 1])),
        scores=np.arange(5.0),
        maps=images[:, 0].numpy(),
        reconstructions=images if with_reconstruction else None,
        scale=SCALE,
        threshold=1.5,
    )
    assert (
        view.cell(0).width
        >= 3 * 140 + 2 * 4
        >= typeface(16).getlength("missed defect: score 0.1234, below the threshold 0.1234")
    )
    assert 950 < contact_sheet(view, title="a title").width <= 1920


def test_explanations() -> None:
    assert explanations(drawn([0, 1], [0.0, 1.0], threshold=0.5), "6 of 7.", "5 images") == [
        "6 of 7.",
        "Threshold 0.5: 5 images.",
        "An image's score is the highest value of its map.",
    ]
    images, maps = torch.rand(2, 1, 8, 8), np.ones((2, 8, 8))
    held = LabelledImages(images, torch.tensor([0, 1]), torch.ones(2, 8, 8, dtype=torch.bool))
    view = DrawnImages(images=held, scores=np.array([0.5, 3]), maps=maps, reconstructions=None, scale=SCALE)
    assert explanations(view, "6 of 7.", "") == [
        "6 of 7.",
        "An image's score is not the highest value of its map: a dark map can have a high score.",
        "Green: contour of the defect's mask.",
    ]


@pytest.mark.parametrize("label", [0, 1])
def test_images_of_one_class_only(tmp_path: Path, label: int) -> None:
    held = LabelledImages(torch.rand(2, 1, 8, 8), torch.tensor([label, label]))
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()))
    assert write_pictures(tmp_path / "p", scorer, held, predict(scorer, held.images), threshold=1e9).is_file()


def test_the_sheet_has_at_most_48_of_many(tmp_path: Path) -> None:
    view = drawn([0] * 30 + [1] * 30, np.linspace(1, 2, 60).tolist(), threshold=None)
    shown = shown_on(np.asarray(contact_sheet(view)), 60)
    assert len(set(shown)) == len(shown) == 48 and sum(number < 30 for number in shown) == 24


def test_a_folder_has_a_picture_of_each_of_many(tmp_path: Path) -> None:
    held = LabelledImages(torch.rand(60, 1, 8, 8), torch.tensor([0] * 30 + [1] * 30, dtype=torch.uint8))
    scorer = Scorer(Detector(Grey(), ReconstructionHypothesis(), L1Distance()))
    prediction = predict(scorer, held.images)
    write_pictures(tmp_path / "p", scorer, held, prediction, title="a title", threshold=0.1, origin="a guess")
    assert len(list((tmp_path / "p").iterdir())) == 60


def test_the_threshold_is_that_of_the_calibration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    good, defects = torch.rand(7, 1, 8, 8), torch.ones(3, 1, 8, 8)
    labels = torch.tensor([0] * 7 + [1] * 3, dtype=torch.uint8)
    validation = LabelledImages(torch.cat([good, defects]), labels)
    test = LabelledImages(torch.cat([good * 2, defects]), labels)
    task = Task(name="a name", train=good, validation=validation, test=test)
    calibration = Calibration(normal=range(1, 20), rate=0.1)
    detector = Detector(Grey(), ReconstructionHypothesis(), L1Distance())
    request = TrialRequest.from_options(data="folder", root=tmp_path)
    scorer = make_scorer(detector, good[0], request.settings.scoring)
    of_test = predict(scorer, test.images)
    save_pictures(tmp_path / "run", scorer, task, request, "trial 5", calibration=calibration, test=of_test)
    expected = write_pictures(
        tmp_path / "expected",
        scorer,
        test,
        of_test,
        title="run: a name, trial 5",
        threshold=18.0,
        origin="at most 10 % false alarms, from 19 good images",
    )
    assert (tmp_path / "run" / "pictures.png").read_bytes() == expected.read_bytes()


@pytest.fixture(scope="module")
def of_features() -> tuple[Task, list[Detector]]:
    """Two models of features, which reconstruct no images, and what they were trained on."""
    torch.manual_seed(0)
    good, defects = torch.rand(30, 1, 16, 16) * 0.5, torch.rand(4, 1, 16, 16) * 0.5
    defects[:, :, 4:8, 4:8] += 0.5
    images = torch.cat([good[20:], defects])
    held = LabelledImages(images, torch.tensor([0] * 10 + [1] * 4, dtype=torch.uint8))
    task = Task(name="a name", train=good[:20], validation=held, test=held)
    sample = {"extractor": "pixels", "stages": "4", "enlargement": 1, "neighbourhood": 1, "vectors": "location"}
    sample |= {"projection": "all", "layers": "none", "hypothesis": "memory", "distance": "l2"}
    samples = [sample, {**sample, "hypothesis": "centroid", "vectors": "place"}]
    detectors = [run_trial(each, task, TrialSettings(space="features", threads=1)).detector for each in samples]
    return task, [detector for detector in detectors if detector is not None]


def test_a_winner_of_several_models_of_features_has_three_columns(
    tmp_path: Path, of_features: tuple[Task, list[Detector]]
) -> None:
    task, detectors = of_features
    scorer = Ensemble([make_scorer(detector, task.train[0], ScoringSettings()) for detector in detectors])
    together = predict(scorer, task.test.images)
    save_pictures(
        tmp_path / "run",
        scorer,
        task,
        TrialRequest.from_options(data="folder", root=tmp_path),
        "mean of trials 1, 0",
        calibration=Calibration(normal=together.score[:10].tolist()),
        test=together,
    )
    alone = [predict(member, task.test.images) for member in scorer.scorers]
    parts = [(each.detector.normal_score, each.detector.normal_map) for each in scorer.scorers]
    scores = sum((one.score - unit[0]) / unit[1] for one, (unit, _) in zip(alone, parts, strict=True)) / 2
    maps = sum((one.anomaly_map - unit[0]) / unit[1] for one, (_, unit) in zip(alone, parts, strict=True)) / 2
    assert isinstance(scores, Tensor) and isinstance(maps, Tensor)
    assert torch.allclose(together.score, scores, atol=1e-5)
    assert torch.allclose(together.anomaly_map, maps, atol=1e-5)
    view = DrawnImages(
        images=task.test,
        scores=together.score.numpy(),
        maps=together.anomaly_map[:, 0].numpy(),
        reconstructions=None,
        scale=map_scale(scorer, float(together.score[:10].max())),
        threshold=float(together.score[:10].max()),
    )
    title = "run: a name, mean of trials 1, 0"
    expected = contact_sheet(
        view, title=title, origin="at most 9.1 % false alarms, the least that 10 good images allow"
    )
    with Image.open(tmp_path / "run" / "pictures.png") as sheet:
        assert (np.asarray(sheet) == np.asarray(expected)).all()
    with Image.open(tmp_path / "run" / "pictures" / "000000.png") as picture:
        assert picture.width == 3 * 140 + 2 * 4


def test_the_reconstruction_is_that_of_the_first_member_that_has_one(
    of_features: tuple[Task, list[Detector]],
) -> None:
    task, detectors = of_features
    grey, half = (Scorer(Detector(model, ReconstructionHypothesis(), L1Distance())) for model in (Grey(), Halving()))
    feature_models = [Scorer(detector) for detector in detectors]
    assert reconstruct(Ensemble(feature_models), task.test.images) is None
    found = reconstruct(Ensemble([feature_models[0], grey, half]), task.test.images)
    assert found is not None and (found == 0.5).all()
    found = reconstruct(Ensemble([half, grey]), task.test.images)
    assert found is not None and torch.equal(found, task.test.images / 2)
