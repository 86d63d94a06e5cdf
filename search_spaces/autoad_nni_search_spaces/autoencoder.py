"""The paper's search space: a hypothesis, a distance, and N mirrored encoder-decoder layers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import nni
from nni.mutable import SampleValidationError, ensure_frozen
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.space import model_context
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni_search_spaces.layers import (
    ACTIVATIONS,
    CHANNELS,
    KERNELS,
    NORMALIZATIONS,
    POOLINGS,
    DecoderLayer,
    EncoderLayer,
    LayerChoice,
)

__all__ = ["AutoencoderSpace", "Reconstruction"]

HYPOTHESES: Final = ("density", "cluster", "centroid", "reconstruction")
DISTANCES: Final = ("l1", "l2", "l21", "ssim")
LAYER_CHOICES: Final[Mapping[str, Sequence[int | str]]] = {
    "channels": CHANNELS,
    "kernel": KERNELS,
    "pooling": POOLINGS,
    "pooling_kernel": KERNELS,
    "normalization": NORMALIZATIONS,
    "activation": ACTIVATIONS,
}


class Reconstruction(NamedTuple):
    """What an autoencoder makes of a batch.

    Args:
        image: The reconstruction, ``(batch, channels, height, width)``.
        code: The flattened output of the last encoder layer, ``(batch, d)``.
    """

    image: Tensor
    code: Tensor


class AutoencoderSpace(ModelSpace):  # type: ignore[misc]  # nni ships no types
    r"""All child models: :math:`|H| \cdot |L| \cdot (7 \cdot 4 \cdot 2 \cdot 4 \cdot 3 \cdot 8)^N` of them.

    The choices are labelled ``hypothesis``, ``distance`` and, per layer i from 1, ``layer{i}_channels``,
    ``layer{i}_kernel``, ``layer{i}_pooling``, ``layer{i}_pooling_kernel``, ``layer{i}_normalization`` and
    ``layer{i}_activation``. ``freeze(sample)`` gives one child model: a module of this class whose layers are built
    as the sample says, with torch's default initialisation from the global random state.

    Args:
        n_layers: N, the number of encoder layers; as many decoder layers mirror them.
        channels: Channels of the images.
        hypotheses: Names to choose the hypothesis from.
        distances: Names to choose the distance from.

    Attributes:
        hypothesis_name: The hypothesis that was chosen.
        distance_name: The distance that was chosen.

    Shape:
        - images: ``(batch, channels, height, width)``, any size
        - output: :class:`Reconstruction`

    Raises:
        AutoADError: Fewer than one layer; in ``freeze``, a sample that is not in the space.

    Reference:
        Li et al., "Automated Anomaly Detection via Curiosity-Guided Search and Self-Imitation Learning", TNNLS 2022,
        Section IV-A.

    Example:
        >>> space = AutoencoderSpace(n_layers=1)
        >>> len(space.simplify())
        8
        >>> child = space.freeze({label: choice.values[0] for label, choice in space.simplify().items()})
        >>> child.hypothesis_name, child.distance_name
        ('density', 'l1')
    """

    def __init__(
        self,
        n_layers: int = 3,
        *,
        channels: int = 1,
        hypotheses: Sequence[str] = HYPOTHESES,
        distances: Sequence[str] = DISTANCES,
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise AutoADError(f"n_layers is {n_layers}. Expected 1 or more. Give n_layers=3, for instance.")
        self._arguments: dict[str, Any] = {
            "n_layers": n_layers,
            "channels": channels,
            "hypotheses": tuple(hypotheses),
            "distances": tuple(distances),
        }
        self.hypothesis_name: str = self._choose("hypothesis", hypotheses)
        self.distance_name: str = self._choose("distance", distances)
        choices = [self._choose_layer(i) for i in range(1, n_layers + 1)]
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
        code = features.flatten(1)
        for layer, size in zip(self.decoder, reversed(sizes), strict=True):
            features = layer(features, size)
        return Reconstruction(features, code)

    def macs(self, height: int, width: int) -> int:
        """Return the multiply-adds of one image: those of the convolutions, from shapes alone.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.

        Example:
            >>> space = AutoencoderSpace(n_layers=1)
            >>> sample = {label: choice.values[0] for label, choice in space.simplify().items()}
            >>> space.freeze({**sample, "layer1_kernel": 3}).macs(10, 10)  # 1 to 3 channels, and back
            5400
        """
        total = 0
        for layer in self.encoder:
            assert isinstance(layer, EncoderLayer)
            total += layer.macs_per_pixel * height * width
            height, width = -(-height // layer.pooling_kernel), -(-width // layer.pooling_kernel)
            total += layer.macs_per_pixel * height * width  # of its mirror, which convolves before it enlarges
        return total

    def freeze(self, sample: Mapping[str, Any]) -> AutoencoderSpace:
        """Build the child model that a sample describes.

        Args:
            sample: A value for every label.

        Raises:
            AutoADError: A label is unknown or missing, or a value is none of its label's.
        """
        labels = list(self.simplify())
        _check_labels(sample, labels)
        try:
            self.validate(dict(sample))
        except SampleValidationError as error:
            raise AutoADError(self._wrong_value(sample)) from error
        with model_context(dict(sample)):
            return type(self)(**self._arguments)

    @classmethod
    def for_labels(
        cls,
        labels: Iterable[str],
        *,
        channels: int,
        hypotheses: Sequence[str] = HYPOTHESES,
        distances: Sequence[str] = DISTANCES,
    ) -> AutoencoderSpace:
        """Build the space whose labels these are; the number of layers is read off them.

        Args:
            labels: All labels of the space, in any order.
            channels: Channels of the images.
            hypotheses: Names to choose the hypothesis from.
            distances: Names to choose the distance from.

        Raises:
            AutoADError: A label is unknown or missing.

        Example:
            >>> AutoencoderSpace.for_labels(["hypothesis", "distance"], channels=1)  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            autoad_nni.errors.AutoADError: The label 'layer1_channels' is missing. ...
        """
        given = list(labels)
        numbers = [int(number) for label in given if (number := _layer_number(label)).isdecimal()]
        # A gap (layer1 and layer9) must show as missing labels, and a wild number must not build a giant.
        n_layers = min(max(numbers, default=1), max(len(given), 1))
        _check_labels(given, _labels(n_layers))
        return cls(n_layers, channels=channels, hypotheses=hypotheses, distances=distances)

    def _choose(self, label: str, values: Sequence[Any]) -> Any:
        return ensure_frozen(self.add_mutable(nni.choice(label, list(values))))

    def _choose_layer(self, number: int) -> LayerChoice:
        return LayerChoice(**{key: self._choose(f"layer{number}_{key}", LAYER_CHOICES[key]) for key in LAYER_CHOICES})

    def _wrong_value(self, sample: Mapping[str, Any]) -> str:
        for label, mutable in self.simplify().items():
            if sample[label] not in mutable.values:
                expected = ", ".join(map(str, mutable.values))
                return f"{label} is {sample[label]!r}. Expected one of: {expected}. Choose one of these."
        return "The sample is not in the search space."


def _labels(n_layers: int) -> list[str]:
    layers = [f"layer{i}_{key}" for i in range(1, n_layers + 1) for key in LAYER_CHOICES]
    return ["hypothesis", "distance", *layers]


def _layer_number(label: str) -> str:
    """The digits between ``layer`` and ``_`` in a label, or what else stands there."""
    return str(label).removeprefix("layer").partition("_")[0] if str(label).startswith("layer") else ""


def _check_labels(given: Iterable[str], expected: Sequence[str]) -> None:
    """Raise unless exactly the expected labels are given."""
    labels = list(given)
    for label in labels:
        if label not in expected:
            near = difflib.get_close_matches(str(label), expected, n=1, cutoff=0.5)
            advice = f"Did you mean '{near[0]}'?" if near else "Remove it."
            raise AutoADError(f"Unknown label '{label}'. Expected: {_abridged(expected)}. {advice}")
    for label in expected:
        if label not in labels:
            raise AutoADError(f"The label '{label}' is missing. Expected: {_abridged(expected)}. Add it.")


def _abridged(labels: Sequence[str]) -> str:
    keys = " | ".join(LAYER_CHOICES)
    n_layers = (len(labels) - 2) // len(LAYER_CHOICES)
    return f"hypothesis, distance and layer1_ to layer{n_layers}_ with {keys}"
