from __future__ import annotations

import gzip
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoad_nni.data import ImageShape, ImageSource, SourceOptions, TaskOptions, load_task
from autoad_nni.data.sources.cifar10 import Cifar10
from autoad_nni.data.sources.mnist import FashionMnist, Mnist

Write = Callable[..., Any]


def all_bytes(source: ImageSource) -> np.ndarray[Any, Any]:
    n_images = source.catalogue(source.image_shape).n_images
    images = source.read(np.arange(n_images), source.image_shape)
    return (images * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist", "."])
def test_mnist_is_training_then_test_images(tmp_path: Path, write_idx: Write, gz: bool, folder: str) -> None:
    images = write_idx(tmp_path / folder, gz=gz)
    source = Mnist(SourceOptions(root=tmp_path))
    assert source.where == tmp_path / folder
    assert np.array_equal(all_bytes(source)[:, 0], images)


def test_read_is_in_the_order_of_the_indices_across_both_files(tmp_path: Path, write_idx: Write) -> None:
    images = write_idx(tmp_path)
    picked = Mnist(SourceOptions(root=tmp_path)).read(np.array([59, 0, 40, 39]), ImageShape(1, 28, 28))
    assert np.array_equal(picked[:, 0].numpy(), images[[59, 0, 40, 39]].astype(np.float32) / 255)


def test_more_images_than_a_chunk(tmp_path: Path, write_idx: Write) -> None:
    images = write_idx(tmp_path, n_train=2100, n_test=100)
    order = np.random.default_rng(1).permutation(2200)
    picked = Mnist(SourceOptions(root=tmp_path)).read(order, ImageShape(1, 28, 28))
    assert np.array_equal(picked[:, 0].numpy(), images[order].astype(np.float32) / 255)


def test_root_comes_before_debians_folder(
    tmp_path: Path, write_idx: Write, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    debian, root = tmp_path / "debian", tmp_path / "root"
    write_idx(debian, gz=True)
    root.mkdir()
    monkeypatch.setattr(FashionMnist, "system_folders", (debian,))
    assert FashionMnist(SourceOptions()).where == debian
    assert FashionMnist(SourceOptions(root=root)).where == debian
    write_idx(root / "FashionMNIST" / "raw")
    assert FashionMnist(SourceOptions(root=root)).where == root / "FashionMNIST" / "raw"
    with fails("no folder, as root is missing", "Give root=DIR"):
        Mnist(SourceOptions())


def test_missing_files_are_named_with_places_and_sources(
    tmp_path: Path, write_idx: Write, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    monkeypatch.setattr(FashionMnist, "system_folders", (tmp_path / "debian",))
    write_idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    names = ("train-images-idx3-ubyte[.gz]", "t10k-images-idx3-ubyte[.gz]")
    with fails(*names, str(tmp_path / "FashionMNIST/raw"), str(tmp_path / "debian"), "dataset-fashion-mnist"):
        FashionMnist(SourceOptions(root=tmp_path))
    with fails(*names, str(tmp_path / "MNIST/raw"), "yann.lecun.com", "or download=True with root=DIR"):
        Mnist(SourceOptions(root=tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("begins with nothing", "00 00 08 03")),
        (bytes((0, 0, 8, 1)) + bytes(40), ("begins with 00 00 08 01", "00 00 08 03", "Fetch it again")),
        (bytes((0, 0, 8, 3)), ("00 00 08 03",)),
        (bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 8)) + bytes(127), ("127 bytes", "2 x 8 x 8")),
        (bytes((0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 0, 8, 0, 0, 0, 0)), ("0 bytes", "-1 x 8 x 0")),
        (gzip.compress(bytes(100))[:-20], ("cannot read", "Fetch it again")),
    ],
)
def test_broken_idx_files_are_named(
    tmp_path: Path, write_idx: Write, fails: Any, content: bytes, words: tuple[str, ...]
) -> None:
    write_idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(content)
    with fails(str(tmp_path / "t10k-images-idx3-ubyte"), *words):
        Mnist(SourceOptions(root=tmp_path))


def test_two_sizes_in_one_folder(tmp_path: Path, write_idx: Write, fails: Any) -> None:
    write_idx(tmp_path)
    header = bytes((0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(header + bytes(64))
    with fails("(28, 28)", "(8, 8)", "Expected one size"):
        Mnist(SourceOptions(root=tmp_path))


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "."])
def test_cifar10_is_five_batches_then_the_test_batch(tmp_path: Path, write_cifar10: Write, folder: str) -> None:
    images = write_cifar10(tmp_path / folder)
    source = Cifar10(SourceOptions(root=tmp_path))
    assert source.where == tmp_path / folder
    assert np.array_equal(all_bytes(source), images)
    assert np.array_equal((source.read(np.array([59, 3]), source.image_shape) * 255).round().numpy(), images[[59, 3]])


def test_cifar10_planes_are_red_green_and_blue(tmp_path: Path, write_cifar10: Write) -> None:
    write_cifar10(tmp_path)
    record = bytes([7]) + bytes([255]) * 1024 + bytes(2048)
    (tmp_path / "data_batch_1.bin").write_bytes(record)
    source = Cifar10(SourceOptions(root=tmp_path))
    assert source.catalogue(source.image_shape).n_images == 51
    assert source.read(np.array([0]), source.image_shape).mean((0, 2, 3)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("n_bytes", [0, 3072, 3074])
def test_cifar10_files_of_a_wrong_length(tmp_path: Path, write_cifar10: Write, fails: Any, n_bytes: int) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes(n_bytes))
    with fails(str(tmp_path / "test_batch.bin"), f"{n_bytes} bytes", "multiple of 3073"):
        Cifar10(SourceOptions(root=tmp_path))


def test_cifar10_missing_files(tmp_path: Path, fails: Any) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with fails("data_batch_1.bin", str(tmp_path / "cifar-10-batches-bin"), "cifar-10-binary.tar.gz", "pickles"):
        Cifar10(SourceOptions(root=tmp_path))


def test_one_root_serves_two_sets(tmp_path: Path, write_idx: Write, write_cifar10: Write) -> None:
    write_idx(tmp_path / "MNIST" / "raw", n_train=60, n_test=40)
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    task = load_task(TaskOptions(data="mnist", abnormal=("cifar10",), root=tmp_path))
    assert (task.train.shape, int(task.validation.labels.sum())) == ((60, 1, 28, 28), 1)
    task = load_task(TaskOptions(data="cifar10", abnormal=("mnist",), root=tmp_path))
    assert task.train.shape == (36, 3, 32, 32)
    grey = task.test.images[task.test.labels == 1]
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_each_set_can_have_a_root_of_its_own(
    tmp_path: Path, write_idx: Write, write_cifar10: Write, fails: Any
) -> None:
    images = write_idx(tmp_path / "digits", n_train=60, n_test=40)
    write_idx(tmp_path / "clothes", n_train=60, n_test=40, seed=1)
    write_cifar10(tmp_path / "things")
    roots = [f"fashion_mnist={tmp_path / 'clothes'}", f"cifar10={tmp_path / 'things'}"]
    options: dict[str, Any] = {"data": "mnist", "abnormal": ("fashion_mnist", "cifar10"), "root": tmp_path / "digits"}
    options["contamination"] = 0.1
    task = load_task(TaskOptions(**options, roots=tuple(roots)))
    assert {image.tobytes() for image in (task.train[:, 0] * 255).round().byte().numpy()} <= {
        image.tobytes() for image in images
    }
    assert int(task.validation.labels.sum()) == 2
    with fails("roots", str(tmp_path / "nothing"), "is not a folder"):
        load_task(TaskOptions(**options, roots=(f"fashion_mnist={tmp_path / 'nothing'}", roots[1])))


def test_two_sets_in_one_place_are_refused(tmp_path: Path, write_idx: Write, fails: Any) -> None:
    write_idx(tmp_path)
    with fails("mnist and fashion_mnist were both found in", str(tmp_path), "folder of its own"):
        load_task(TaskOptions(data="mnist", abnormal=("fashion_mnist",), root=tmp_path))


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch, write_idx: Write, write_cifar10: Write) -> list[Any]:
    """A torchvision whose downloads write tiny files; gives the calls."""
    calls: list[Any] = []

    def mnist(root: Path, *, download: bool) -> None:
        calls.append(("MNIST", root, download))
        write_idx(root / "MNIST" / "raw")

    def archive(url: str, root: str, *, md5: str) -> None:
        calls.append((url, root, md5))
        write_cifar10(Path(root, "cifar-10-batches-bin"))

    def offline(root: Path, *, download: bool) -> None:
        raise OSError("no route\nto host")

    datasets: Any = types.ModuleType("torchvision.datasets")
    datasets.MNIST, datasets.FashionMNIST = mnist, offline
    utils: Any = types.ModuleType("torchvision.datasets.utils")
    utils.download_and_extract_archive = archive
    package: Any = types.ModuleType("torchvision")
    package.datasets, datasets.utils = datasets, utils
    for module in (package, datasets, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_mnist_is_downloaded_when_asked_and_missing(tmp_path: Path, torchvision: list[Any]) -> None:
    for _ in range(2):
        assert Mnist(SourceOptions(root=tmp_path, download=True)).where == tmp_path / "MNIST" / "raw"
    assert torchvision == [("MNIST", tmp_path, True)]


def test_cifar10_is_downloaded_in_its_binary_version(tmp_path: Path, torchvision: list[Any]) -> None:
    for _ in range(2):
        assert Cifar10(SourceOptions(root=tmp_path, download=True)).where == tmp_path / "cifar-10-batches-bin"
    assert torchvision == [(Cifar10.archive, str(tmp_path), Cifar10.archive_md5)]


def test_nothing_is_downloaded_unasked(tmp_path: Path, torchvision: list[Any], fails: Any) -> None:
    with fails("MNIST"):
        Mnist(SourceOptions(root=tmp_path))
    with fails("CIFAR-10"):
        Cifar10(SourceOptions(root=tmp_path))
    assert torchvision == []


@pytest.mark.parametrize("kind", [Mnist, Cifar10])
def test_a_download_needs_a_folder(torchvision: list[Any], fails: Any, kind: type[Mnist]) -> None:
    with fails("without root", "Give root=DIR"):
        kind(SourceOptions(download=True))


def test_a_failed_download(tmp_path: Path, torchvision: list[Any], monkeypatch: pytest.MonkeyPatch, fails: Any) -> None:
    monkeypatch.setattr(FashionMnist, "system_folders", ())
    with fails("cannot download Fashion-MNIST", str(tmp_path), "no route to host", "by hand"):
        FashionMnist(SourceOptions(root=tmp_path, download=True))
