"""The encoder and decoder layers of a child model, plain torch modules without NNI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "ACTIVATIONS",
    "CHANNELS",
    "KERNELS",
    "NORMALIZATIONS",
    "POOLINGS",
    "DecoderLayer",
    "EncoderLayer",
    "LayerChoice",
    "Normalization",
]

CHANNELS: Final = (3, 8, 16, 32, 64, 128, 256)
KERNELS: Final = (1, 3, 5, 7)
POOLINGS: Final = ("max", "average")
NORMALIZATIONS: Final = ("none", "batch", "instance")
_ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "linear": nn.Identity,
    "softplus": nn.Softplus,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
}
ACTIVATIONS: Final = tuple(_ACTIVATIONS)


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """What the search decides about one encoder layer and the decoder layer that mirrors it.

    Args:
        channels: Output channels of the encoder layer.
        kernel: Side of the convolution kernel, odd.
        pooling: ``max`` or ``average``.
        pooling_kernel: Side and stride of the pooling; 1 pools nothing.
        normalization: ``none``, ``batch`` or ``instance``.
        activation: One of ``ACTIVATIONS``.
    """

    channels: int
    kernel: int
    pooling: str
    pooling_kernel: int
    normalization: str
    activation: str


class EncoderLayer(nn.Module):
    """ACT(NORM(POOL(CONV(x)))).

    Args:
        in_channels: Channels of the input.
        choice: What the search decided; ``choice.channels`` are the channels of the output.

    Shape:
        - in: ``(batch, in_channels, height, width)``
        - out: ``(batch, choice.channels, ceil(height / p), ceil(width / p))`` with p the pooling kernel

    Not given by the paper: padding ('same', with zeros) and the pooling's stride. Stride = kernel, rounded up at the
    border so that no side reaches 0, is the reading under which Table IV (28 pixels, pooling 7, then 5) makes sense.

    Example:
        >>> import torch
        >>> choice = LayerChoice(
        ...     channels=8, kernel=3, pooling="max", pooling_kernel=5, normalization="none", activation="relu")
        >>> EncoderLayer(1, choice)(torch.zeros(2, 1, 28, 8)).shape
        torch.Size([2, 8, 6, 2])
    """

    def __init__(self, in_channels: int, choice: LayerChoice) -> None:
        super().__init__()
        self.pooling_kernel = choice.pooling_kernel
        self.macs_per_pixel = in_channels * choice.channels * choice.kernel**2
        self.convolution = nn.Conv2d(in_channels, choice.channels, choice.kernel, padding=choice.kernel // 2)
        self.pooling = _pooling(choice)
        self.normalization = Normalization(choice.normalization, choice.channels)
        self.activation = _ACTIVATIONS[choice.activation]()

    def forward(self, images: Tensor) -> Tensor:
        """Return the layer's output."""
        output: Tensor = self.activation(self.normalization(self.pooling(self.convolution(images))))
        return output


class DecoderLayer(nn.Module):
    """ACT(NORM(UPPOOL(DECONV(x)))), the mirror of one encoder layer.

    Args:
        out_channels: Channels of the output: those of the encoder layer's input.
        choice: What the search decided; ``choice.channels`` are the channels of the input.

    Shape:
        - in: ``(batch, choice.channels, ...)``
        - out: ``(batch, out_channels, *size)``, ``size`` that of the encoder layer's input

    Not given by the paper: how UPPOOL enlarges (nearest neighbour here), and whether the last layer, which outputs the
    image, is built like the others (it is). In this order max-unpooling is impossible: the encoder's indices belong to
    ``choice.channels`` channels, the deconvolution's output has ``out_channels``. Nearest or bilinear, a last layer
    with or without normalization and activation: no difference could be measured. Unpooling before the deconvolution
    detects better but takes about 1.8 times as long (AUROC +0.07 against digits, 2 dead models of 24 instead of 7);
    the paper's order is kept, see docs/decisions/child-model.md.

    Example:
        >>> import torch
        >>> choice = LayerChoice(
        ...     channels=8, kernel=3, pooling="max", pooling_kernel=5, normalization="none", activation="relu")
        >>> DecoderLayer(1, choice)(torch.zeros(2, 8, 6, 2), (28, 8)).shape
        torch.Size([2, 1, 28, 8])
    """

    def __init__(self, out_channels: int, choice: LayerChoice) -> None:
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(
            choice.channels, out_channels, choice.kernel, padding=choice.kernel // 2
        )
        self.normalization = Normalization(choice.normalization, out_channels)
        self.activation = _ACTIVATIONS[choice.activation]()

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the layer's output, enlarged to ``size`` (height, width)."""
        unpooled = F.interpolate(self.deconvolution(features), size=size, mode="nearest")
        output: Tensor = self.activation(self.normalization(unpooled))
        return output


class Normalization(nn.Module):
    """No, batch or instance normalization; none where there is a single value to normalize over.

    Instance normalization of a 1x1 map, and batch normalization of a 1x1 map in a training batch of one, raise in
    torch (the variance of one value is 0): there the input is returned unchanged.

    Args:
        kind: ``none``, ``batch`` or ``instance``.
        channels: Channels of the input. Scale and shift are learned per channel.

    Shape:
        - in, out: ``(batch, channels, height, width)``

    Example:
        >>> import torch
        >>> Normalization("instance", 1)(torch.full((1, 1, 1, 1), 7.0)).item()
        7.0
    """

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        self.kind = kind
        self.normalize: nn.Module
        if kind == "batch":
            self.normalize = nn.BatchNorm2d(channels)
        elif kind == "instance":
            self.normalize = nn.InstanceNorm2d(channels, affine=True)
        else:
            self.normalize = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return the normalized features."""
        values = features.shape[-2] * features.shape[-1]
        if self.kind == "batch" and self.training:
            values *= features.shape[0]
        elif self.kind == "batch":
            values = 2  # running statistics are applied to any number of values
        if values == 1:
            return features
        output: Tensor = self.normalize(features)
        return output


def _pooling(choice: LayerChoice) -> nn.Module:
    if choice.pooling_kernel == 1:
        return nn.Identity()
    pooling = nn.MaxPool2d if choice.pooling == "max" else nn.AvgPool2d
    return pooling(choice.pooling_kernel, stride=choice.pooling_kernel, ceil_mode=True)
