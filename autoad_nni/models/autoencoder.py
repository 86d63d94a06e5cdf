"""The paper's child model: N encoder layers and their mirrored decoder layers, a plain torch module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from torch import Tensor, nn

from autoad_nni.models.layers import (
    ACTIVATIONS,
    CHANNELS,
    KERNELS,
    NORMALIZATIONS,
    POOLINGS,
    DecoderLayer,
    EncoderLayer,
    LayerChoice,
)
from autoad_nni.models.samples import check_labels_of, check_value

__all__ = [
    "LAYER_CHOICES",
    "Autoencoder",
    "Reconstruction",
    "build_autoencoder",
    "check_labels",
    "count_layers",
]

LAYER_CHOICES: Final[Mapping[str, Sequence[int | str]]] = {
    "channels": CHANNELS,
    "kernel": KERNELS,
    "pooling": POOLINGS,
    "pooling_kernel": KERNELS,
    "normalization": NORMALIZATIONS,
    "activation": ACTIVATIONS,
}
"""What is chosen for each layer: ``layer{i}_{key}`` in a sample, i from 1."""


class Reconstruction(NamedTuple):
    """Output of an autoencoder for a batch.

    Args:
        image: The reconstruction, ``(batch, channels, height, width)``.
        code: The output of the last encoder layer, ``(batch, d, h, w)``.
    """

    image: Tensor
    code: Tensor


class Autoencoder(nn.Module):
    """N encoder layers and the N decoder layers that mirror them, with torch's default initialization.

    Args:
        choices: One per encoder layer, from the image inwards.
        channels: Channels of the images.

    Shape:
        - images: ``(batch, channels, height, width)``, any size
        - output: :class:`Reconstruction`

    Reference:
        Li et al., "Automated Anomaly Detection via Curiosity-Guided Search and Self-Imitation Learning", TNNLS 2022,
        Section IV-A.
    """

    def __init__(self, choices: Sequence[LayerChoice], *, channels: int) -> None:
        super().__init__()
        widths = [channels, *(choice.channels for choice in choices)]
        pairs = list(zip(widths, choices, strict=False))
        self.encoder = nn.ModuleList(EncoderLayer(width, choice) for width, choice in pairs)
        self.decoder = nn.ModuleList(DecoderLayer(width, choice) for width, choice in reversed(pairs))

    def forward(self, images: Tensor) -> Reconstruction:
        """Return reconstruction and code."""
        features = images
        sizes: list[tuple[int, int]] = []
        for layer in self.encoder:
            sizes.append((features.shape[-2], features.shape[-1]))
            features = layer(features)
        code = features
        for layer, size in zip(self.decoder, reversed(sizes), strict=True):
            features = layer(features, size)
        return Reconstruction(features, code)

    def macs(self, height: int, width: int) -> int:
        """Return the multiply-adds of one image: those of the convolutions, from shapes alone.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.

        Example:
            >>> layer = LayerChoice(
            ...     channels=3, kernel=3, pooling="max", pooling_kernel=1, normalization="none", activation="relu")
            >>> Autoencoder([layer], channels=1).macs(10, 10)  # 1 to 3 channels, and back
            5400
        """
        total = 0
        for layer in self.encoder:
            assert isinstance(layer, EncoderLayer)
            total += layer.macs_per_pixel * height * width
            height, width = -(-height // layer.pooling_kernel), -(-width // layer.pooling_kernel)
            total += layer.macs_per_pixel * height * width  # of its mirror, which convolves before it enlarges
        return total


def build_autoencoder(sample: Mapping[str, Any], *, channels: int) -> Autoencoder:
    """Build the autoencoder that a sample of the search space ``autoencoder`` describes.

    Weights come from torch's global random state.

    Args:
        sample: A value for ``hypothesis``, ``distance`` and every ``layer{i}_{key}``.
        channels: Channels of the images, 1 or 3.

    Raises:
        AutoADError: A label is unknown or missing, or a value is not one of its label's.

    Example:
        >>> build_autoencoder({"hypothesis": "density", "distance": "l1", "layer1_kernel": 3}, channels=1)
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: The label 'layer1_channels' is missing. Expected: hypothesis, distance and \
layer1_ with channels | kernel | pooling | pooling_kernel | normalization | activation. Add it.
    """
    n_layers = count_layers(sample)
    check_labels(sample, n_layers)
    choices = []
    for number in range(1, n_layers + 1):
        values = {key: sample[f"layer{number}_{key}"] for key in LAYER_CHOICES}
        for key, known in LAYER_CHOICES.items():
            check_value(f"layer{number}_{key}", values[key], known)
        choices.append(LayerChoice(**values))
    return Autoencoder(choices, channels=channels)


def count_layers(labels: Iterable[str]) -> int:
    """Read the number of layers off the labels of a sample.

    A gap (layer1 and layer9) counts up to the number of labels only, so that it shows as missing labels and a wild
    number builds no giant.

    Example:
        >>> count_layers(["hypothesis", "distance", "layer1_kernel", "layer2_kernel"])
        2
    """
    given = list(labels)
    numbers = [int(number) for label in given if (number := _layer_number(label)).isdecimal()]
    return min(max(numbers, default=1), max(len(given), 1))


def check_labels(given: Iterable[str], n_layers: int) -> None:
    """Raise AutoADError unless exactly the labels of a space of ``n_layers`` layers are given."""
    layers = [f"layer{i}_{key}" for i in range(1, n_layers + 1) for key in LAYER_CHOICES]
    numbers = "layer1_" if n_layers == 1 else f"layer1_ to layer{n_layers}_"
    keys = f"hypothesis, distance and {numbers} with {' | '.join(LAYER_CHOICES)}"
    check_labels_of(given, ["hypothesis", "distance", *layers], keys)


def _layer_number(label: str) -> str:
    """The digits between ``layer`` and ``_`` in a label, or whatever stands there."""
    return str(label).removeprefix("layer").partition("_")[0] if str(label).startswith("layer") else ""
