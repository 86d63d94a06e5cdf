"""The paper's search space: a hypothesis, a distance, and N mirrored encoder-decoder layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import nni
from nni.mutable import SampleValidationError
from nni.nas.nn.pytorch import ModelSpace

from autoad_nni.errors import AutoADError
from autoad_nni.models.autoencoder import LAYER_CHOICES, Autoencoder, build_autoencoder, check_labels, count_layers

__all__ = ["AutoencoderSpace"]

HYPOTHESES: Final = ("density", "cluster", "centroid", "reconstruction")
DISTANCES: Final = ("l1", "l2", "l21", "ssim")


class AutoencoderSpace(ModelSpace):  # type: ignore[misc]  # nni ships no types
    r"""All child models: :math:`|H| \cdot |L| \cdot (7 \cdot 4 \cdot 2 \cdot 4 \cdot 3 \cdot 8)^N` of them.

    The choices are labelled ``hypothesis``, ``distance`` and, per layer i from 1, ``layer{i}_channels``,
    ``layer{i}_kernel``, ``layer{i}_pooling``, ``layer{i}_pooling_kernel``, ``layer{i}_normalization`` and
    ``layer{i}_activation``. The space only declares them; ``freeze(sample)`` builds the child model, a plain
    :class:`~autoad_nni.models.autoencoder.Autoencoder`.

    Args:
        n_layers: N, the number of encoder layers; as many decoder layers mirror them.
        channels: Channels of the images.
        hypotheses: Names to choose the hypothesis from.
        distances: Names to choose the distance from.

    Raises:
        AutoADError: Fewer than one layer.

    Reference:
        Li et al., "Automated Anomaly Detection via Curiosity-Guided Search and Self-Imitation Learning", TNNLS 2022,
        Section IV-A.

    Example:
        >>> space = AutoencoderSpace(n_layers=1)
        >>> len(space.simplify())
        8
        >>> child = space.freeze({label: choice.values[0] for label, choice in space.simplify().items()})
        >>> type(child).__name__
        'Autoencoder'
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
        self.n_layers = n_layers
        self.channels = channels
        choices: dict[str, Sequence[Any]] = {"hypothesis": hypotheses, "distance": distances}
        choices |= {f"layer{i}_{key}": LAYER_CHOICES[key] for i in range(1, n_layers + 1) for key in LAYER_CHOICES}
        for label, values in choices.items():
            self.add_mutable(nni.choice(label, list(values)))

    def freeze(self, sample: Mapping[str, Any]) -> Autoencoder:
        """Build the child model that a sample describes.

        Args:
            sample: A value for every label.

        Raises:
            AutoADError: A label is unknown or missing, or a value is not one of its label's.
        """
        check_labels(sample, self.n_layers)
        try:
            self.validate(dict(sample))
        except SampleValidationError as error:
            raise AutoADError(self._wrong_value(sample)) from error
        return build_autoencoder(sample, channels=self.channels)

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
        n_layers = count_layers(given)
        check_labels(given, n_layers)
        return cls(n_layers, channels=channels, hypotheses=hypotheses, distances=distances)

    def _wrong_value(self, sample: Mapping[str, Any]) -> str:
        for label, mutable in self.simplify().items():
            if sample[label] not in mutable.values:
                expected = ", ".join(map(str, mutable.values))
                return f"{label} is {sample[label]!r}. Expected one of: {expected}. Choose one of these."
        return "The sample is not in the search space."
