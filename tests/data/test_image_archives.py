"""Sets that are read as their authors distribute them: folders of images, a database, MATLAB files, IDX files."""

from __future__ import annotations

import io
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from autoad_nni.data import ImageShape, ImageSource, SourceOptions, TaskOptions, load_task
from autoad_nni.data.sources._crop import cropped
from autoad_nni.data.sources.cats import Cats
from autoad_nni.data.sources.cifar10 import Cifar100
from autoad_nni.data.sources.lsun import Lsun, LsunCrop
from autoad_nni.data.sources.mnist import Kmnist
from autoad_nni.data.sources.not_mnist import NotMnist
from autoad_nni.data.sources.svhn import Svhn
from autoad_nni.data.sources.tiny_imagenet import TinyImageNet, TinyImageNetCrop

lmdb = pytest.importorskip("lmdb")

Fails = Any


def grey_levels(source: ImageSource, shape: ImageShape | None = None) -> list[int]:
    """The mean grey level of each image."""
    shape = shape or source.image_shape
    images = source.read(np.arange(source.catalogue(shape).n_images), shape)
    return [round(float(image.mean() * 255)) for image in images]


def save(path: Path, level: int, size: tuple[int, int] = (28, 28), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode == "L" else (level,) * 3).save(path)


@pytest.mark.parametrize("folder", ["notMNIST_small", "notMNIST_large", "."])
def test_notmnist_is_the_letters_without_the_files_that_are_no_images(tmp_path: Path, folder: str) -> None:
    for number, letter in enumerate("JABCDEFGHI"):
        save(tmp_path / folder / letter / "a.png", 20 * number)
    (tmp_path / folder / "A" / "RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png").touch()
    (tmp_path / folder / "B" / "broken.png").write_bytes(b"no image")
    save(tmp_path / folder / "K" / "a.png", 255)
    source = NotMnist(SourceOptions(root=tmp_path))
    assert (source.where, source.image_shape) == (tmp_path / folder, (1, 28, 28))
    assert grey_levels(source) == [20, 40, 60, 80, 100, 120, 140, 160, 180, 0]
    assert source.names(np.array([0, 9])) == ["A/a.png", "J/a.png"]


@pytest.mark.parametrize("folder", ["tiny-imagenet-200", "."])
def test_tiny_imagenet_is_its_test_images(tmp_path: Path, folder: str) -> None:
    for number in range(3):
        save(tmp_path / folder / "test" / "images" / f"test_{number}.JPEG", 50 * number, (64, 64), "RGB")
    save(tmp_path / folder / "train" / "n01443537" / "images" / "n01443537_0.JPEG", 255, (64, 64), "RGB")
    source = TinyImageNet(SourceOptions(root=tmp_path))
    assert (source.where, source.image_shape) == (tmp_path / folder, (3, 64, 64))
    assert grey_levels(source) == grey_levels(source, ImageShape(3, 32, 32)) == [0, 50, 100]


def test_cats_are_the_photographs_of_seven_folders(tmp_path: Path) -> None:
    for number in range(7):
        save(tmp_path / f"CAT_0{number}" / "00000001_000.jpg", 30 * number, (50, 40), "RGB")
        (tmp_path / f"CAT_0{number}" / "00000001_000.jpg.cat").write_text("9 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9 ")
    save(tmp_path / "others" / "dog.jpg", 255)
    source = Cats(SourceOptions(root=tmp_path))
    assert source.image_shape == (3, 224, 224)
    assert grey_levels(source) == [0, 30, 60, 90, 120, 150, 180]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NotMnist, ("notMNIST", "notMNIST_small.tar.gz")),
        (TinyImageNet, ("Tiny-ImageNet", "test/images", "tiny-imagenet-200.zip")),
        (Cats, ("CAT_00", "archive.org")),
        (Lsun, ("data.mdb", "test_lmdb.zip")),
        (Svhn, ("train_32x32.mat", "housenumbers")),
        (Cifar100, ("train.bin", "cifar-100-binary.tar.gz")),
        (Kmnist, ("Kuzushiji-MNIST", "rois-codh")),
    ],
)
def test_missing_files_are_named_with_places_and_sources(
    tmp_path: Path, fails: Fails, kind: type[NotMnist], words: tuple[str, ...]
) -> None:
    with fails(*words, "Looked in", str(tmp_path)):
        kind(SourceOptions(root=tmp_path))
    with fails(*words, "no folder, as root is missing"):
        kind(SourceOptions())


@pytest.fixture
def lsun(tmp_path: Path) -> Path:
    """LSUN's test images: four of 300 x 256 pixels, whose columns grow lighter from left to right."""
    folder = tmp_path / "test_lmdb"
    columns = np.tile(np.arange(300) // 2, (256, 1)).astype(np.uint8)
    with lmdb.open(str(folder)) as environment, environment.begin(write=True) as transaction:
        for number in range(4):
            encoded = io.BytesIO()
            Image.fromarray((columns + 20 * number).astype(np.uint8)).convert("RGB").save(
                encoded, "webp", lossless=True
            )
            transaction.put(f"{number:040x}".encode(), encoded.getvalue())
    return tmp_path


def test_lsun_is_resized(lsun: Path) -> None:
    source = Lsun(SourceOptions(root=lsun))
    assert (source.where, source.image_shape) == (lsun / "test_lmdb", (3, 32, 32))
    assert grey_levels(source) == pytest.approx([74.5, 94.5, 114.5, 134.5], abs=1)
    assert source.names(np.array([3])) == [f"{3:040x}"]
    one, two = source.read(np.array([2]), source.image_shape), source.read(np.array([0, 2]), source.image_shape)
    assert torch.equal(one[0], two[1])


def test_a_crop_of_lsun_has_its_own_pixels_at_a_place_that_the_seed_draws(lsun: Path) -> None:
    def crops(seed: int) -> torch.Tensor:
        return LsunCrop(SourceOptions(root=lsun, seed=seed)).read(np.arange(4), ImageShape(3, 32, 32))

    steps = (crops(0)[:, :, :, 1:] - crops(0)[:, :, :, :-1]).mul(255).round().unique()
    assert steps.tolist() == [0, 1]  # resized, neighbours would be four levels apart
    assert torch.equal(crops(0), crops(0))
    assert not torch.equal(crops(0), crops(1))


def test_the_database_can_lie_where_nothing_can_be_written(lsun: Path) -> None:
    (lsun / "test_lmdb" / "lock.mdb").unlink()
    Lsun(SourceOptions(root=lsun))
    assert [path.name for path in (lsun / "test_lmdb").iterdir()] == ["data.mdb"]


def test_a_database_that_is_none_or_empty(tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    with fails(str(tmp_path / "data.mdb"), "LMDB", "Fetch it again"):
        Lsun(SourceOptions(root=tmp_path))
    (tmp_path / "data.mdb").unlink()
    lmdb.open(str(tmp_path)).close()
    with fails("has no images"):
        Lsun(SourceOptions(root=tmp_path))


def test_an_image_of_the_database_that_is_none(lsun: Path, fails: Fails) -> None:
    with lmdb.open(str(lsun / "test_lmdb")) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"broken", b"no image")
    source = Lsun(SourceOptions(root=lsun))
    with fails("broken", "cannot identify"):
        source.read(np.array([source.catalogue(source.image_shape).n_images - 1]), source.image_shape)


@pytest.mark.slow
def test_lsun_without_its_reader(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['lmdb'] = None\n"
        "from autoad_nni.data import SourceOptions\nfrom autoad_nni.data.sources.lsun import Lsun\n"
        "from autoad_nni.errors import AutoADError\n"
        "try: Lsun(SourceOptions())\nexcept AutoADError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'autoad-nni[lsun]'" in done.stdout


@pytest.mark.parametrize("folder", ["svhn", "."])
def test_svhn_is_training_then_test_images(tmp_path: Path, folder: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    (tmp_path / folder).mkdir(exist_ok=True)
    savemat(tmp_path / folder / "train_32x32.mat", {"X": images[..., :3], "y": np.array([[1], [9], [10]])})
    savemat(tmp_path / folder / "test_32x32.mat", {"X": images[..., 3:], "y": np.array([[2], [3]])})
    source = Svhn(SourceOptions(root=tmp_path))
    read = source.read(np.arange(5), source.image_shape)
    assert source.where == tmp_path / folder
    assert np.array_equal((read * 255).round().numpy(), images.transpose(3, 2, 0, 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot read"),
        (b"no MATLAB file" * 50, "cannot read"),
        ({"y": np.zeros((2, 1))}, "images in X"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, "labels in y"),
        ({"X": np.zeros((32, 32, 3, 2)), "y": np.ones((2, 1))}, "float64"),
        ({"X": np.zeros((16, 16, 3, 2), np.uint8), "y": np.ones((2, 1))}, "(16, 16, 3, 2)"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((3, 1))}, "3 labels"),
    ],
)
def test_broken_files_of_svhn_are_named(tmp_path: Path, fails: Fails, content: Any, words: str) -> None:
    for name in ("train_32x32.mat", "test_32x32.mat"):
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            savemat(tmp_path / name, content)
    with fails(str(tmp_path / "train_32x32.mat"), words, "Fetch it again"):
        Svhn(SourceOptions(root=tmp_path))


@pytest.mark.parametrize("folder", ["cifar-100-binary", "."])
def test_cifar100_has_two_labels_before_each_image(tmp_path: Path, folder: str, fails: Fails) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, part in (("train.bin", images[:3]), ("test.bin", images[3:])):
        (tmp_path / folder / name).write_bytes(b"".join(bytes([3, 77]) + image.tobytes() for image in part))
    source = Cifar100(SourceOptions(root=tmp_path))
    assert np.array_equal((source.read(np.arange(5), source.image_shape) * 255).round().numpy(), images)
    (tmp_path / folder / "test.bin").write_bytes(bytes(3073))
    with fails("3073 bytes", "multiple of 3074, 2 labels"):
        Cifar100(SourceOptions(root=tmp_path))


def test_kmnist_is_read_like_mnist(tmp_path: Path, write_idx: Callable[..., Any]) -> None:
    images = write_idx(tmp_path / "KMNIST" / "raw")
    source = Kmnist(SourceOptions(root=tmp_path))
    assert np.array_equal((source.read(np.arange(60), source.image_shape) * 255).round().numpy()[:, 0], images)


def test_svhn_is_downloaded_when_asked_and_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fetch(root: Path, *, split: str, download: bool) -> None:
        calls.append((split, download))
        savemat(Path(root, f"{split}_32x32.mat"), {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((2, 1))})

    datasets: Any = types.ModuleType("torchvision.datasets")
    datasets.SVHN = fetch
    package: Any = types.ModuleType("torchvision")
    package.datasets = datasets
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    for _ in range(2):
        assert Svhn(SourceOptions(root=tmp_path, download=True)).where == tmp_path
    assert calls == [("train", True), ("test", True)]


def test_a_crop_of_an_image_that_is_too_small_is_enlarged_in_proportion() -> None:
    columns = Image.fromarray(np.tile(np.array([0, 0, 0, 255, 255, 255], np.uint8), (3, 1)))
    crop = cropped(columns, ImageShape(1, 6, 6), np.random.default_rng(0))
    assert crop.shape == (1, 6, 6)
    assert 0 < float(crop.mean()) < 1
    assert cropped(columns, ImageShape(3, 3, 6), np.random.default_rng(0)).mul(255).unique().tolist() == [0, 255]


def test_crops_of_files_are_those_of_the_image_and_of_the_seed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    folder = tmp_path / "test" / "images"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(folder / name)
    one, other = TinyImageNetCrop(SourceOptions(root=tmp_path)).read(np.arange(2), ImageShape(3, 32, 32))
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (32, 32), (0, 1))
    places = [np.argwhere((windows == (crop * 255).round().numpy()).all((2, 3, 4))) for crop in (one, other)]
    assert [len(place) for place in places] == [1, 1]
    assert places[0].tolist() != places[1].tolist()


def test_a_task_of_the_paper(tmp_path: Path, lsun: Path) -> None:
    for number, letter in enumerate("ABCDEFGHIJ"):
        for each in range(3):
            save(lsun / "notMNIST_small" / letter / f"{each}.png", 20 * number + each)
    task = load_task(TaskOptions(data="notmnist", abnormal=("lsun_crop",), root=lsun, contamination=0.4))
    assert (task.train.shape, int(task.validation.labels.sum())) == ((18, 1, 28, 28), 2)
