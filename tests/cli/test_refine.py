"""``autoad-nni refine``: what it writes, and what is left when something is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refinement.small_networks import small_state, tiny_classifier, tiny_segmenter
from run_command import Ended, command
from small_experiment import write
from torch import Tensor
from torchvision.models import vgg16
from torchvision.models.segmentation import deeplabv3_resnet50

from autoad_nni.cli.refine import _fine_shape, names_of, refine_files
from autoad_nni.data import ImageShape
from autoad_nni.errors import AutoADError
from autoad_nni.models.scoring import Prediction


class Brightness:
    """Scores a pixel by its brightness."""

    def __init__(self, image_shape: ImageShape) -> None:
        self.image_shape = image_shape

    def predict(self, images: Tensor) -> Prediction:
        assert images.shape[1:] == self.image_shape
        return Prediction(images.mean((1, 2, 3)), images.mean(1))


def picture(path: Path, width: int = 20, height: int = 12, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)).save(path)
    return path


def refine(
    names: dict[Path, Path], output: Path, shape: ImageShape | None = None, object_name: str | None = None
) -> None:
    networks = {"classifier": tiny_classifier(), "segmenter": tiny_segmenter()}
    refine_files(Brightness(shape or ImageShape(3, 12, 20)), names, output, object_name=object_name, **networks)


@pytest.mark.parametrize(
    ("mode", "shape"), [("RGB", ImageShape(3, 12, 20)), ("L", ImageShape(1, 8, 8)), ("L", ImageShape(3, 16, 9))]
)
def test_a_picture_and_a_map_for_each_image(tmp_path: Path, mode: str, shape: ImageShape) -> None:
    names = {picture(tmp_path / f"{name}.png", mode=mode): Path("deep", name) for name in ("a", "b")}
    refine(names, tmp_path / "out", shape)
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["deep/a.npy", "deep/a.png", "deep/b.npy", "deep/b.png"]
    refined = np.load(tmp_path / "out" / "deep" / "a.npy", allow_pickle=False)
    assert refined.shape == shape[1:] and refined.dtype == np.float32
    assert refined.min() >= 0 and refined.max() <= 1
    with Image.open(tmp_path / "out" / "deep" / "a.png") as drawn:
        assert drawn.width > drawn.height
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "out"]


def test_images_of_several_folders_keep_what_differs(tmp_path: Path) -> None:
    images = [picture(tmp_path / "test" / folder / "000.png") for folder in ("good", "broken")]
    assert list(names_of(images).values()) == [Path("good", "000"), Path("broken", "000")]
    assert list(names_of(images[:1]).values()) == [Path("000")]


def test_results_stay_below_the_output_whatever_the_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result of ../photos/a.png once replaced the photo."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "work").mkdir()
    picture(tmp_path / "photos" / "a.png")
    picture(tmp_path / "work" / "b.png")
    monkeypatch.chdir(tmp_path / "work")
    names = names_of([Path("../photos/a.png"), Path("b.png")])
    assert list(names.values()) == [Path("photos", "a"), Path("work", "b")]
    with pytest.raises(AutoADError, match="would both be written to"):
        names_of([Path("../photos/a.png"), Path("b.png"), Path("../work/../photos/a.png")])


@pytest.mark.parametrize(
    ("size", "shape"), [((300, 200), (3, 100, 150)), ((1200, 40), (3, 32, 400)), ((40, 160), (3, 400, 100))]
)
def test_long_strips_are_not_blown_up(tmp_path: Path, size: tuple[int, int], shape: tuple[int, ...]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert _fine_shape(tmp_path / "a.png", 100) == shape


def test_nothing_is_left_when_a_later_image_is_broken(tmp_path: Path) -> None:
    good, broken = picture(tmp_path / "a.png"), tmp_path / "b.png"
    broken.write_bytes(good.read_bytes()[:200])
    with pytest.raises(AutoADError, match=r"cannot read the image .*b\.png"):
        refine({good: Path("a"), broken: Path("b")}, tmp_path / "out")
    with pytest.raises(AutoADError, match="the object is 'kitten'"):
        refine({good: Path("a")}, tmp_path / "out", object_name="kitten")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    good = picture(tmp_path / "a.png")
    with pytest.raises(AutoADError, match=r"^output .* cannot be written: Not a directory\. Expected a folder"):
        refine({good: Path("a")}, good / "out")


def assert_one_line(ended: Ended, part: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.startswith("autoad-nni: ") and ended.err.count("\n") == 1 and part in ended.err, ended.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["a.png"], "Missing option '--output'"),
        (["none.png", "--output", "out"], "none.png is no file. Expected image files. Check the path."),
        ([".", "--output", "out"], "the image . is a folder. Expected image files. Give for instance *.png."),
        (["full", "--output", "out"], "full is a folder. Expected image files. Give for instance full/*.png."),
        (["a.png", "a.jpg", "--output", "out"], "a.png and a.jpg would both be written to a.png."),
        (["a.png", "--output", "a.png"], "--output a.png is a file. Expected a folder."),
        (["a.png", "--output", "full"], "--output full holds files. Expected a new or empty folder."),
        (["a.png", "--output", "out", "--target", "1000"], "--target"),
        (["a.png", "--output", "out", "--device", "tpu"], "--device is 'tpu'"),
    ],
)
def test_words_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "a.jpg", "full/mine.png"):
        picture(Path(name))
    before = sorted(tmp_path.rglob("*"))
    assert_one_line(command("refine", "run", *words), part)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    assert command("search", write(folder / "x.yml", maxTrialNumber=2), "--output", folder / "run").code == 0
    return folder / "run"


@pytest.mark.slow
def test_the_best_model_of_a_search_with_networks_from_files(run: Path, tmp_path: Path) -> None:
    """VGG-16 and DeepLabV3 in their sizes, from files in torchvision's format; their numbers are random."""
    weights = []
    for name, build in (
        ("vgg16.pth", vgg16),
        (
            "deeplabv3.pth",
            lambda: deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True),
        ),
    ):
        with torch.device("meta"):
            module = build()
        torch.save(small_state(module), tmp_path / name)
        weights.append(tmp_path / name)
    image = picture(tmp_path / "000.png", 16, 16)
    words = ["--classifier-weights", weights[0], "--saliency-weights", weights[1], "--object", "cat", "--target", "285"]
    ended = command("refine", run, image, "--output", tmp_path / "out", *words)
    assert ended.code == 0 and f"1 image refined, written to {tmp_path / 'out'}" in ended.out, ended
    refined = np.load(tmp_path / "out" / "000.npy", allow_pickle=False)
    assert refined.shape == (8, 8) and np.isfinite(refined).all()
    assert (tmp_path / "out" / "000.png").stat().st_size > 0


def test_without_weights_it_says_where_they_are(run: Path, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png")
    ended = command("refine", run, image, "--output", tmp_path / "out")
    assert_one_line(ended, "no weights of VGG-16. Expected --classifier-weights FILE or --download.")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
