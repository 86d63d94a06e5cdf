"""What every feature extractor has to keep to, one function per promise; the docstring is what a failure says."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from autoad_nni.errors import AutoADError
from autoad_nni.models.features import FeatureExtractor
from autoad_nni.testing.checking import Factory, check, expect, expect_equal
from autoad_nni.testing.new_process import in_new_process

__all__ = ["FEATURE_CHECKS", "features_of_fixed_images"]


def images(n: int = 3, channels: int = 3, height: int = 45, width: int = 64) -> Tensor:
    """Noise that is coarse enough for every stage to see it."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, 6, 6, generator=generator)
    fine = torch.rand(n, channels, height, width, generator=generator)
    large = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return (0.7 * large + 0.3 * fine).clamp(0, 1)


def features_of_fixed_images(plugin: Factory[FeatureExtractor]) -> Tensor:
    """The same computation in every process: the mean of each map's channels, all in a row."""
    extractor = plugin()
    return torch.cat([maps.mean(1).flatten() for maps in extractor(images(), extractor.strides)])


@check
def is_a_feature_extractor(plugin: Factory[FeatureExtractor]) -> None:
    """The plugin can be made, is an autoad_nni.models.features.FeatureExtractor, has ascending strides and weights."""
    extractor = plugin()
    expect(isinstance(extractor, FeatureExtractor), f"a {type(extractor).__name__}")
    strides = extractor.strides
    ascending = list(strides) == sorted(set(strides)) and all(type(each) is int and each > 0 for each in strides)
    expect(len(strides) > 0 and ascending, f"strides {strides}")
    expect(isinstance(extractor.weights, str), f"weights {extractor.weights!r}")


@check
def maps_have_the_size_of_their_stage(plugin: Factory[FeatureExtractor]) -> None:
    """A map is (batch, channels, ceil(height / stride), ceil(width / stride)), float32, on the images' device.

    Images may be grey or colour and of any size, which does not change the number of channels.
    """
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        extractor = plugin().to(device)
        n_channels: dict[tuple[int, int], set[int]] = {}
        for n, channels, height, width in ((1, 3, 64, 64), (2, 1, 37, 50), (3, 3, 33, 71), (2, 1, 8, 8)):
            given = images(n, channels, height, width).to(device)
            for stage, maps in zip(extractor.strides, extractor(given, extractor.strides), strict=True):
                what = f"of stage {stage} for images ({n}, {channels}, {height}, {width})"
                size = (-(-height // stage), -(-width // stage))
                right = maps.ndim == 4 and len(maps) == n and maps.shape[2:] == size
                expect(right, f"a map {tuple(maps.shape)} {what}")
                expect(
                    maps.dtype == torch.float32 and maps.device == given.device, f"{maps.dtype} on {maps.device} {what}"
                )
                n_channels.setdefault((stage, channels), set()).add(maps.shape[1])
        for (stage, _), found in n_channels.items():
            expect(len(found) == 1, f"{sorted(found)} channels of stage {stage}, by the size of the images")


@check
def stages_come_in_the_order_asked_and_alone_as_with_others(plugin: Factory[FeatureExtractor]) -> None:
    """Each stage is the same whichever others are asked for, and in whichever order."""
    extractor = plugin()
    wanted = dict(zip(extractor.strides, extractor(images(), extractor.strides), strict=True))
    orders = [extractor.strides[::-1], *((stage,) for stage in extractor.strides)]
    for asked in [*orders, *itertools.islice(itertools.combinations(extractor.strides, 2), 3)]:
        for stage, maps in zip(asked, extractor(images(), asked), strict=True):
            expect_equal(maps, wanted[stage], f"stage {stage} of stages {asked}, and of all")


@check
def a_stage_that_it_does_not_have_is_refused(plugin: Factory[FeatureExtractor]) -> None:
    """A stage that is not among strides is an AutoADError."""
    extractor = plugin()
    unknown = max(extractor.strides) + 1
    try:
        extractor(images(), (unknown,))
    except AutoADError:
        return
    expect(False, f"maps for stage {unknown} of {extractor.strides}")


@check
def features_do_not_depend_on_the_batch(plugin: Factory[FeatureExtractor]) -> None:
    """The features of an image are the same alone and among others."""
    extractor = plugin()
    together = extractor(images(), extractor.strides)
    alone = [extractor(image[None], extractor.strides) for image in images()]
    for number, stage in enumerate(extractor.strides):
        parts = torch.cat([maps[number] for maps in alone])
        expect_equal(parts, together[number], f"stage {stage}, images one by one, and all at once", tolerance=1e-3)


@check
def features_are_finite_whatever_the_images(plugin: Factory[FeatureExtractor]) -> None:
    """Features are finite for noise and for black, grey and white images."""
    extractor = plugin()
    for what, given in {
        "noise": images(),
        **{f"images of {value}": 0 * images() + value for value in (0, 0.5, 1)},
    }.items():
        for stage, maps in zip(extractor.strides, extractor(given, extractor.strides), strict=True):
            expect(bool(maps.isfinite().all()), f"infinite or undefined features of stage {stage} for {what}")


@check
def different_images_have_different_features(plugin: Factory[FeatureExtractor]) -> None:
    """Each stage differs from image to image."""
    extractor = plugin()
    for stage, maps in zip(extractor.strides, extractor(images(), extractor.strides), strict=True):
        expect(not torch.equal(maps[0], maps[1]), f"the same features of stage {stage} for two images")


@check
def nothing_is_trained(plugin: Factory[FeatureExtractor]) -> None:
    """Neither the parameters nor the features require a gradient, even if the images do."""
    extractor = plugin()
    trained = [name for name, parameter in extractor.named_parameters() if parameter.requires_grad]
    expect(not trained, f"{len(trained)} parameters that require one, {trained[:1]} first")
    for maps in extractor(images().requires_grad_(), extractor.strides):
        expect(not maps.requires_grad, "features that require one")


@check
def train_changes_nothing(plugin: Factory[FeatureExtractor]) -> None:
    """After train() the features are the same, and computing them leaves the state as it is."""
    extractor = plugin()
    wanted = extractor(images(), extractor.strides)
    before = {name: tensor.clone() for name, tensor in extractor.state_dict().items()}
    torch.nn.Sequential(extractor).train()
    for stage, maps, expected in zip(extractor.strides, extractor(images(), extractor.strides), wanted, strict=True):
        expect_equal(maps, expected, f"stage {stage} after train(), and before")
    changed = [name for name, tensor in extractor.state_dict().items() if not torch.equal(tensor, before[name])]
    expect(not changed, f"{len(changed)} tensors that changed, {changed[:1]} first")


@check
def images_are_left_as_they_are(plugin: Factory[FeatureExtractor]) -> None:
    """The images that are given are not changed."""
    extractor, given = plugin(), images()
    extractor(given, extractor.strides)
    expect(torch.equal(given, images()), "changed images")


@check
def a_new_process_gives_the_same(plugin: Factory[FeatureExtractor]) -> None:
    """The same images have the same features in another process."""
    wanted = features_of_fixed_images(plugin)
    expect_equal(in_new_process(features_of_fixed_images, plugin), wanted, "features in a new process, and in this one")


FEATURE_CHECKS = (
    is_a_feature_extractor,
    maps_have_the_size_of_their_stage,
    stages_come_in_the_order_asked_and_alone_as_with_others,
    a_stage_that_it_does_not_have_is_refused,
    features_do_not_depend_on_the_batch,
    features_are_finite_whatever_the_images,
    different_images_have_different_features,
    nothing_is_trained,
    train_changes_nothing,
    images_are_left_as_they_are,
    a_new_process_gives_the_same,
)
