"""The cost of a sample and the size of its code, without building the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

__all__ = ["MAX_MACS", "Measures", "measure"]

MAX_MACS: Final = 2_000_000
"""For one image. Half of the random models exceed it; without a limit, a few huge ones would take all the time."""

_SIDE: Final = 28  # the tables were recorded on Fashion-MNIST: 28 x 28 pixels, one channel


class Measures(NamedTuple):
    """Sizes of one model.

    Attributes:
        macs: Multiply-adds of its convolutions for one image; equal to ``AutoencoderSpace.macs(28, 28)``.
        layer_macs: The same per layer, encoder and decoder side together.
        sides: Side of the feature maps after each encoder layer.
        code: Numbers in the code.
    """

    macs: int
    layer_macs: tuple[int, ...]
    sides: tuple[int, ...]
    code: int


def measure(sample: Mapping[str, Any]) -> Measures:
    """Compute the sizes from the sample alone, hundreds of times faster than by building the model.

    Args:
        sample: A value for every label of `AutoencoderSpace`.

    Example:
        >>> measure({"layer1_channels": 3, "layer1_kernel": 3, "layer1_pooling_kernel": 5})
        Measures(macs=22140, layer_macs=(22140,), sides=(6,), code=108)
    """
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
