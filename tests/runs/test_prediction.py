"""Files to predictions: how much is in memory, and what the pictures show."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoad_nni.data import ImageShape
from autoad_nni.data.given import find_images
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import Prediction, Scorer, ScoringSettings
from autoad_nni.runs import prediction
from autoad_nni.runs.map_colours import map_scale, scored_by_highest
from autoad_nni.runs.prediction import ChosenThreshold, FilePrediction, choose_threshold, predict_files
from autoad_nni.runs.prediction_pictures import PredictionPictures
from autoad_nni.verdicts import RejectedTrial, Verdict


class Mean:
    """A model whose score is an image's mean; it refuses what no score can be computed of."""

    image_shape = ImageShape(1, 8, 8)
    calibration = Calibration(normal=[0.25, 0.5])
    largest_batch = 0

    def predict(self, images: Tensor) -> Prediction:
        self.largest_batch = max(self.largest_batch, len(images))
        if (images == 1).any():
            raise RejectedTrial(Verdict.NON_FINITE, "1 of the scores are infinite or undefined.")
        return Prediction(images.mean((1, 2, 3)), images[:, 0])


def test_few_images_are_in_memory_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = 0, 0

    def forget() -> None:
        nonlocal alive
        alive -= 1

    def read(path: Path, shape: ImageShape) -> Tensor:
        nonlocal alive, most
        image = torch.full(shape, int(path.name) / 1000)
        alive, most = alive + 1, max(most, alive + 1)
        weakref.finalize(image, forget)
        return image

    monkeypatch.setattr(prediction, "read_image", read)
    files = [tmp_path / str(i) for i in range(1000)]
    for file in files:
        file.touch()
    model: Any = Mean()
    for i, found in enumerate(predict_files(model, files, threshold=0.5)):
        assert found.path == files[i] and found.score == pytest.approx(i / 1000)
        assert found.decision == ("defective" if found.score > 0.5 else "good")
    assert i == 999 and model.largest_batch <= 32
    assert most <= 2 * 32 + 1, "a batch that is read while the last one goes"


def test_a_score_that_is_not_finite_concerns_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "read_image", lambda path, shape: torch.full(shape, int(path.name) / 4))
    files = [tmp_path / str(i) for i in (1, 4, 2, 4, 3)]
    for file in files:
        file.touch()
    model: Any = Mean()
    problems: list[str] = []
    found = list(predict_files(model, files, on_unreadable=lambda path, problem: problems.append(problem)))
    assert [(each.score, each.decision) for each in found] == [(0.25, "good"), (0.5, "good"), (0.75, "defective")]
    assert (
        problems
        == [f"the image {tmp_path}/4 has an infinite or undefined score. Expected a finite one. Remove the image."] * 2
    )
    with pytest.raises(AutoADError, match="infinite or undefined"):
        list(predict_files(model, files))


def test_a_decoder_that_is_confused_concerns_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, shape: ImageShape) -> Tensor:
        if path.name == "1":
            raise IndexError("list index out of range")
        return torch.zeros(shape)

    monkeypatch.setattr(prediction, "read_image", read)
    for i in range(3):
        (tmp_path / str(i)).touch()
    model: Any = Mean()
    problems: list[str] = []
    files = [tmp_path / str(i) for i in range(3)]
    left = list(predict_files(model, files, on_unreadable=lambda path, problem: problems.append(problem)))
    assert [each.path.name for each in left] == ["0", "2"]
    assert problems == [
        f"cannot read the image {tmp_path}/1: list index out of range. Expected an image file. Replace or remove it."
    ]


def test_an_error_in_the_call_comes_before_the_first_image() -> None:
    model: Any = Mean()
    model.calibration = None
    with pytest.raises(AutoADError, match="the model has no threshold"):
        predict_files(model, ["a.png"])
    with pytest.raises(AutoADError, match=r"^f1 without scores of images with a defect"):
        choose_threshold(Calibration(normal=[1.0]), f1=True)


def test_the_rate_is_that_of_the_search_if_it_was_given() -> None:
    calibration = Calibration(normal=range(19), rate=0.05)
    assert choose_threshold(calibration).origin == "false-alarm rate 5 %, from 19 good images"
    assert (
        choose_threshold(Calibration(normal=range(99))).origin
        == "false-alarm rate 1 %, the least that 99 good images allow"
    )
    assert choose_threshold(Calibration(normal=range(100))).origin == "false-alarm rate 1 %, from 100 good images"


def test_links_and_spellings_of_one_file_are_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_images(["a.png", tmp_path, "./a.png", "~/a.png", "~/*.png", "**/*.png"]) == [Path("a.png")]


class Blank(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(images), images.flatten(1)


def scorer_of(*, patch: int | None = None, reading: str = "whole") -> Scorer:
    detector = Detector(Blank(), ReconstructionHypothesis(), L1Distance())
    detector.normal_map = torch.tensor([1.0, 0.5])
    detector.reader.reading = Reading.parse(reading)
    return Scorer(detector, ScoringSettings(patch=patch))


def test_the_threshold_is_a_colour_where_the_score_is_the_highest_value_of_the_map() -> None:
    assert scored_by_highest(scorer_of(patch=4)) and scored_by_highest(scorer_of(reading="code/raw/max"))
    for scorer in (scorer_of(), scorer_of(reading="code/raw/top1"), Ensemble([scorer_of(patch=4)])):
        assert not scored_by_highest(scorer)
    assert vars(map_scale(scorer_of(), 100.0)) == {"low": 2.0, "usual": 4.0, "high": 10.0}, "of normal pixels alone"
    assert vars(map_scale(scorer_of(patch=4), 7.0)) == {"low": 2.0, "usual": 7.0, "high": 22.0}
    assert vars(map_scale(scorer_of(patch=4), -5.0)) == {"low": 2.0, "usual": 2.5, "high": 4.0}
    assert vars(map_scale(scorer_of(patch=4))) == {"low": 2.0, "usual": 4.0, "high": 10.0}, "without a threshold"
    assert vars(map_scale(Ensemble([scorer_of()]), 0.5)) == {"low": 2.0, "usual": 6.0, "high": 18.0}


def test_a_good_image_is_drawn_dark_also_if_it_is_the_only_one() -> None:
    pictures = PredictionPictures(scorer_of(patch=4), ChosenThreshold(7.0, "given", None, "given"))

    def drawn(highest: float, decision: str) -> np.ndarray[Any, Any]:
        anomaly_map = np.zeros((32, 32), np.float32)
        anomaly_map[8:16, 8:16] = highest
        found = FilePrediction(Path("a.png"), highest, decision, anomaly_map, torch.full((1, 32, 32), 0.5))
        return np.asarray(pictures.picture(found, "a.png"))

    good, defective = drawn(1.9, "good"), drawn(22.0, "defective")
    assert good.shape == defective.shape
    yellow = (good == (252, 254, 164)).all(2).sum(), (defective == (252, 254, 164)).all(2).sum()
    assert yellow[1] - yellow[0] == (8 * 4) ** 2, "the defect's pixels, enlarged; elsewhere yellow is in the bar only"
    red = [0xB0, 0x00, 0x20]
    assert (defective == red).all(2).any() and not (good == red).all(2).any()
