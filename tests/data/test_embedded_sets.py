from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autoad_nni.data import ImageShape, SourceOptions, TaskOptions, load_task, to_image_shape
from autoad_nni.data.plan import plan_task
from autoad_nni.data.sources._embedded import embedded_file
from autoad_nni.data.sources.digits import Digits
from autoad_nni.data.sources.mnist import FashionMnist
from autoad_nni.data.sources.noise import GaussianNoise, UniformNoise
from autoad_nni.data.sources.photos import PHOTOGRAPHS, Photos

FASHION_MNIST = FashionMnist.system_folders[0]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    images = Digits(SourceOptions()).read(np.arange(1797), ImageShape(1, 8, 8))
    assert np.array_equal(images[:, 0].numpy(), load_digits().images / 16)


def test_digits_against_photos_in_the_shape_of_digits() -> None:
    task = load_task(TaskOptions(data="digits", abnormal=("photos",)))
    assert (task.channels, task.height, task.width) == (1, 8, 8)
    assert [len(task.train), len(task.validation.labels), len(task.test.labels)] == [1078, 379, 378]
    for part in (task.validation, task.test):
        assert int(part.labels.sum()) == 19
        # Strokes on black against mid-grey surfaces.
        black = (part.images < 0.1).float().mean((1, 2, 3))
        assert black[part.labels == 0].min() > 0.2


def test_plans_on_real_sets_take_no_image_twice() -> None:
    plan = plan_task(TaskOptions(data="digits", abnormal=("photos", "gaussian")))
    normal = np.concatenate([plan.train, plan.validation.normal, plan.test.normal])
    assert sorted(normal) == list(range(1797))
    for in_validation, in_test in zip(plan.validation.abnormal, plan.test.abnormal, strict=True):
        assert not set(in_validation) & set(in_test)


def painted(photos: Photos, indices: np.ndarray[Any, Any], shape: ImageShape) -> list[np.ndarray[Any, Any]]:
    """For every photograph, which of its pixels are in one of the patches."""
    masks = [np.zeros((1500, 1500), bool) for _ in PHOTOGRAPHS]
    for number, left, top, side in photos.patches(indices, shape):
        masks[number][top : top + side, left : left + side] = True
    return masks


@pytest.mark.parametrize("size", [8, 32, 224])
def test_no_pixel_of_a_photograph_is_in_two_parts(size: int) -> None:
    plan = plan_task(TaskOptions(data="photos", abnormal=("uniform",), image_size=size))
    assert isinstance(plan.normal, Photos)
    parts = [plan.train, plan.validation.normal, plan.test.normal]
    covers = [painted(plan.normal, part, plan.image_shape) for part in parts]
    for masks in zip(*covers, strict=True):
        assert np.sum(masks, axis=0).max() == 1
    assert [len(part) / 5000 for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.01)


def test_no_pixel_is_in_both_validation_and_test_when_photographs_are_the_anomalies() -> None:
    plan = plan_task(TaskOptions(data="uniform", abnormal=("photos",), contamination=0.9, image_size=64))
    (source,) = plan.abnormal
    assert isinstance(source, Photos)
    covers = [painted(source, *part.abnormal, plan.image_shape) for part in (plan.validation, plan.test)]
    for first, second in zip(*covers, strict=True):
        assert not (first & second).any()
    assert sum(mask.sum() for mask in covers[0]) > 100_000


@pytest.mark.parametrize("shape", [ImageShape(1, 28, 28), ImageShape(3, 64, 40), ImageShape(3, 224, 224)])
def test_patches_lie_in_the_photographs_and_are_what_they_say(shape: ImageShape) -> None:
    photos, indices = Photos(SourceOptions(seed=5)), np.arange(0, 5000, 41)
    images = photos.read(indices, shape)
    for image, (number, left, top, side) in zip(images, photos.patches(indices, shape), strict=True):
        path = embedded_file("skimage", f"data/{PHOTOGRAPHS[number]}", "scikit-image")
        pixels = np.array(Image.open(path).convert("RGB"))[top : top + side, left : left + side]
        assert pixels.shape == (side, side, 3) and side >= max(64, shape.height // 2)
        twin = to_image_shape(torch.from_numpy(pixels.transpose(2, 0, 1)[None]), shape)
        # Rounding to bytes in between, once for grey and once for size.
        assert (image - twin[0]).abs().max() < 2.5 / 255


def test_patches_are_thousands_of_different_images() -> None:
    images = Photos(SourceOptions()).read(np.arange(5000), ImageShape(1, 16, 16))
    assert len({image.numpy().tobytes() for image in images}) > 4900


@pytest.mark.parametrize("kind", [Photos, GaussianNoise, UniformNoise])
def test_made_images_depend_on_seed_and_index_only(kind: type[Photos]) -> None:
    shape = ImageShape(3, 12, 8)
    source = kind(SourceOptions(seed=1))
    assert torch.equal(source.read(np.array([7, 3]), shape)[1], source.read(np.array([3]), shape)[0])
    assert not torch.equal(source.read(np.array([7]), shape), source.read(np.array([3]), shape))
    assert not torch.equal(source.read(np.array([3]), shape), kind(SourceOptions(seed=2)).read(np.array([3]), shape))


def test_gaussian_noise_has_the_paper_s_moments() -> None:
    images = GaussianNoise(SourceOptions()).read(np.arange(1000), ImageShape(1, 28, 28))
    # P(N(0.5, 1) <= 0) = P(N(0.5, 1) >= 1) = 0.3085.
    assert float((images == 0).float().mean()) == pytest.approx(0.3085, abs=0.003)
    assert float((images == 1).float().mean()) == pytest.approx(0.3085, abs=0.003)
    assert float(images.mean()) == pytest.approx(0.5, abs=0.003)


def test_uniform_noise_has_its_moments() -> None:
    images = UniformNoise(SourceOptions()).read(np.arange(1000), ImageShape(1, 28, 28))
    assert float(images.mean()) == pytest.approx(1 / 2, abs=0.002)
    assert float(images.var()) == pytest.approx(1 / 12, abs=0.001)
    assert images.min() >= 0 and images.max() < 1


def test_noise_is_a_thousand_images_in_the_asked_shape() -> None:
    task = load_task(TaskOptions(data="gaussian", abnormal=("uniform",), image_size=9))
    assert task.train.shape == (600, 1, 9, 9)


def test_missing_embedded_files_name_the_distribution(fails: Any) -> None:
    with fails("no file data/none.png of scikit-image in", "pip install --force-reinstall scikit-image"):
        embedded_file("skimage", "data/none.png", "scikit-image")
    with fails("in this Python"):
        embedded_file("no_such_package", "x", "no-such-package")


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
class TestFashionMnist:
    def test_seventy_thousand_images_split_as_in_the_paper(self) -> None:
        plan = plan_task(TaskOptions(data="fashion_mnist", abnormal=("digits",)))
        normal = np.concatenate([plan.train, plan.validation.normal, plan.test.normal])
        assert (sorted(normal) == np.arange(70_000)).all()
        assert (len(plan.train), len(plan.validation.normal), len(plan.test.normal)) == (42_000, 14_000, 14_000)
        assert [len(part.abnormal[0]) for part in (plan.validation, plan.test)] == [737, 737]

    def test_first_images_are_the_official_ones(self) -> None:
        source = FashionMnist(SourceOptions())
        ankle_boots = source.read(np.array([0, 60_000]), ImageShape(1, 28, 28))
        # Golden sums of the bytes: an ankle boot opens the training images, another one the test images.
        assert (ankle_boots * 255).round().sum((1, 2, 3)).tolist() == [76247, 33456]
        # Heels and soles are at the bottom; toes point left.
        assert ankle_boots[0, 0, :4].sum() < ankle_boots[0, 0, 20:24].sum()

    def test_noise_anomalies_are_all_used(self) -> None:
        options = TaskOptions(data="fashion_mnist", abnormal=("gaussian",), contamination=0.2)
        plan = plan_task(options)
        assert [(len(p.normal), len(p.abnormal[0])) for p in (plan.validation, plan.test)] == [(2000, 500)] * 2

    def test_limit_loads_a_small_task(self) -> None:
        task = load_task(TaskOptions(data="fashion_mnist", abnormal=("photos",), limit=500))
        assert [len(task.train), len(task.validation.labels)] == [300, 105]

    def test_other_roots_do_not_hide_debians_folder(self, tmp_path: Path) -> None:
        assert FashionMnist(SourceOptions(root=tmp_path)).where == FASHION_MNIST
