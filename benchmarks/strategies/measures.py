"""The cost of a sample and the size of its code, without building the model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

__all__ = ["MAX_FEATURE_MACS", "MAX_MACS", "Measures", "limit_of", "measure"]

MAX_MACS: Final = 2_000_000
"""For one image. Half of the random models exceed it; without a limit, a few huge ones would take all the time."""

MAX_FEATURE_MACS: Final = 5_000_000
"""The same for models of features, whose network is not counted."""

_SIDE: Final = 28  # autoencoders were recorded on Fashion-MNIST: 28 x 28 pixels, one channel
_FEATURES_SIDE: Final = 32  # models of features on images of 32 x 32 pixels, one channel
_CHANNELS: Final[Mapping[str, Mapping[int, int]]] = {
    "efficientnet_lite0": {4: 24, 8: 40, 16: 112, 32: 320},
    "contrast": dict.fromkeys((4, 8, 16, 32), 5),
    "patches": {4: 64, 8: 256, 16: 256, 32: 256},
    "pixels": dict.fromkeys((4, 8, 16, 32), 1),
}
"""Of the stages of each extractor: with these at hand, no extractor has to be installed."""


class Measures(NamedTuple):
    """Sizes of one model.

    Attributes:
        macs: Multiply-adds of its convolutions for one image, as a trial counts them.
        layer_macs: The same per layer, encoder and decoder side together.
        sides: Side of the feature maps after each encoder layer.
        code: Numbers in the code.
    """

    macs: int
    layer_macs: tuple[int, ...]
    sides: tuple[int, ...]
    code: int


def limit_of(sample: Mapping[str, Any]) -> int:
    """Return the limit of multiply-adds that holds for models of the sample's space."""
    return MAX_FEATURE_MACS if "extractor" in sample else MAX_MACS


def measure(sample: Mapping[str, Any]) -> Measures:
    """Compute the sizes from the sample alone, hundreds of times faster than by building the model.

    Args:
        sample: A value for every label of `AutoencoderSpace` or `FeatureSpace`.

    Example:
        >>> measure({"layer1_channels": 3, "layer1_kernel": 3, "layer1_pooling_kernel": 5})
        Measures(macs=22140, layer_macs=(22140,), sides=(6,), code=108)
    """
    return _of_features(sample) if "extractor" in sample else _of_autoencoder(sample)


def _of_autoencoder(sample: Mapping[str, Any]) -> Measures:
    side, width = _SIDE, 1
    layer_macs: list[int] = []
    sides: list[int] = []
    while (channels := sample.get(f"layer{len(sides) + 1}_channels")) is not None:
        layer = f"layer{len(sides) + 1}"
        per_pixel = width * channels * sample[f"{layer}_kernel"] ** 2
        pixels = side**2
        side = -(-side // sample[f"{layer}_pooling_kernel"])
        layer_macs.append(per_pixel * (pixels + side**2))  # the mirror convolves before it enlarges
        sides.append(side)
        width = channels
    return Measures(sum(layer_macs), tuple(layer_macs), tuple(sides), width * side**2)


def _of_features(sample: Mapping[str, Any]) -> Measures:
    stages = [int(stage) for stage in sample["stages"].split("+")]
    side = -(-_FEATURES_SIDE * sample["enlargement"] // min(stages))
    joined = sum(_CHANNELS[sample["extractor"]][stage] for stage in stages)
    wanted = sample["projection"]
    width = joined if wanted == "all" else min(int(wanted), joined)
    if sample["vectors"] == "image":
        return Measures(0, (0,), (1,), joined * side**2 if wanted == "all" else int(wanted))
    if sample["layers"] == "none":
        return Measures(0, (0,), (side,), width * side**2)
    number, _, kernel, _, code = sample["layers"].split()
    widths = [width, *[max(width, int(code))] * (int(number) - 1), int(code)]
    side_of_kernel = int(kernel.partition("x")[0])
    per_location = sum(a * b for a, b in pairwise(widths)) * side_of_kernel**2
    macs = 2 * per_location * side**2
    return Measures(macs, (macs,), (side,), int(code) * side**2)
