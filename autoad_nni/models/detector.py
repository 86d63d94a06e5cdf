"""The triple (A, H, L): an autoencoder, a hypothesis and a distance make one anomaly detector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.models.distances.base import Distance
from autoad_nni.models.hypotheses.base import Hypothesis, score_in_parts
from autoad_nni.models.local_codes import LocalCodes
from autoad_nni.models.locations import vectors_of
from autoad_nni.models.readings import Reader

__all__ = ["Detector", "Inputs", "Terms", "count_macs"]

Inputs = Any
"""Images ``(n, channels, height, width)``, or :class:`autoad_nni.models.features.maps.FeatureMaps` of them."""

# Of a batch, for the regularizer of a hypothesis about locations.
_MOST_VECTORS = 2048


class Terms:
    """What a detector makes of a batch in one pass of its autoencoder.

    Distance and hypothesis are computed when they are asked for, once: training needs no map, and the score of Eq. 2 is
    of the same scores as the map of the code.

    Attributes:
        target: What the reconstruction is compared with, ``(batch, channels, height, width)``: images, or features.
        reconstruction: Of the same shape.
        code_map: The encoder's output, ``(batch, d, h, w)``.
        code: What the hypothesis sees, ``(vectors, d)``: one for each image, or one for each location of each image.
        grid: Rows and columns of locations that `code` has of an image; (1, 1) for one vector for each image.
    """

    def __init__(
        self,
        distance: Distance,
        hypothesis: Hypothesis,
        target: Tensor,
        reconstruction: Tensor,
        code_map: Tensor,
        code: Tensor,
        grid: tuple[int, int],
    ) -> None:
        self._measure = distance
        self._hypothesis = hypothesis
        self.target = target
        self.reconstruction = reconstruction
        self.code_map = code_map
        self.code = code
        self.grid = grid

    @cached_property
    def distance(self) -> Tensor:
        """Distance per image, ``(batch,)``, in the distance's own form: the mean of the map, but for rounding."""
        distance: Tensor = self._measure(self.reconstruction, self.target)
        return distance

    @cached_property
    def distance_map(self) -> Tensor:
        """Distance per pixel, ``(batch, 1, height, width)``; of features, per location."""
        return self._measure.map(self.reconstruction, self.target)

    @cached_property
    def hypothesis_map(self) -> Tensor:
        """The hypothesis's score at each location that it sees, ``(batch, 1, *grid)``."""
        return score_in_parts(self._hypothesis, self.code).view(-1, 1, *self.grid)


class Detector(nn.Module):
    r"""An autoencoder, a hypothesis and a distance: what is trained, and what a score is made of.

    The training loss of a batch is

    .. math:: \mathrm{mean}\, \mathrm{DIST}(\hat{x}, x) + \mathrm{DEFINEREG}(z),
        \qquad (\hat{x}, z) = g(f(x)), f(x)

    (Eq. 2 of the paper). :class:`autoad_nni.models.scoring.Scorer` scores images. In evaluation mode the terms of an
    image do not depend on the others in its batch.

    A hypothesis sees codes of at most ``max_code_size`` numbers: of whole images, longer ones are averaged down,
    neighbouring numbers of one channel together, so that its statistics fit into memory whatever the architecture; of
    locations, the first numbers are taken.

    An autoencoder over features of a frozen extractor has ``extract(images)``, ``prepare(features)`` and
    ``local_codes`` (:class:`autoad_nni.models.feature_model.FeatureModel`); what it takes is then features.

    Differs from the paper, which leaves the size of the code open and has no vectors of locations.

    Args:
        autoencoder: Maps images ``(batch, channels, height, width)`` to the reconstruction, of the same shape, and the
            code, ``(batch, d)`` or ``(batch, d, h, w)``; a third output is what the distance compares the
            reconstruction with, in place of the images.
        hypothesis: Gives the training regularizer and the score of a code.
        distance: Compares reconstruction and image.
        local: The hypothesis at each location of a code map, for maps; None where the hypothesis itself sees locations,
            or needs no codes.

    Shape:
        - inputs: images ``(batch, channels, height, width)``, values in [0, 1], or features
        - output: :class:`Terms`

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> class Blank(nn.Module):
        ...     def forward(self, images):
        ...         return torch.zeros_like(images), images.flatten(1)
        >>> detector = Detector(Blank(), ReconstructionHypothesis(), L1Distance())
        >>> detector(torch.tensor([0.25, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)).distance
        tensor([0.2500, 1.0000])
    """

    distance_scale: Tensor
    """Standard deviation of the distance over normal images; 1 before :meth:`calibrate`."""
    hypothesis_scale: Tensor
    """Standard deviation of the hypothesis's score over normal images; 1 before :meth:`calibrate`."""
    distance_centre: Tensor
    """Mean distance of normal images; 0 before :meth:`calibrate`."""
    hypothesis_centre: Tensor
    """Mean score of the hypothesis on normal images; 0 before :meth:`calibrate`."""
    normal_score: Tensor
    """Mean and deviation of the scores of normal images that were not trained on; 0 and 1 before :meth:`compare`."""
    normal_map: Tensor
    """Mean and deviation of the pixels of their maps."""

    def __init__(
        self, autoencoder: nn.Module, hypothesis: Hypothesis, distance: Distance, local: LocalCodes | None = None
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.hypothesis = hypothesis
        self.distance = distance
        self.local = local
        self.reader = Reader()
        self.local_codes = bool(getattr(autoencoder, "local_codes", False))
        self.register_buffer("distance_scale", torch.ones(()))
        self.register_buffer("hypothesis_scale", torch.ones(()))
        self.register_buffer("distance_centre", torch.zeros(()))
        self.register_buffer("hypothesis_centre", torch.zeros(()))
        self.register_buffer("normal_score", torch.tensor([0.0, 1.0]))
        self.register_buffer("normal_map", torch.tensor([0.0, 1.0]))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.distance_scale.device

    @property
    def takes_features(self) -> bool:
        """Whether `forward` takes the features of `inputs`, not images."""
        return hasattr(self.autoencoder, "extract")

    def inputs(self, images: Tensor) -> Inputs:
        """Return what `forward` takes of images: the images, or their features."""
        extract: Any = getattr(self.autoencoder, "extract", None)
        return images if extract is None else extract(images)

    def forward(self, inputs: Inputs) -> Terms:
        """Return the terms of a batch, from one pass of the autoencoder."""
        reconstruction, code, *target = self.autoencoder(inputs)
        code_map = code if code.ndim == 4 else code[:, :, None, None]
        most = self.hypothesis.max_code_size
        grid = (code_map.shape[2], code_map.shape[3]) if self.local_codes else (1, 1)
        if self.local_codes:
            vectors = vectors_of(code_map)
            vectors = vectors[:, :most] if self.hypothesis.needs_codes else vectors
        else:
            vectors = code_map.flatten(1)
            if self.hypothesis.needs_codes and vectors.shape[1] > most:
                vectors = F.adaptive_avg_pool1d(vectors[:, None], most)[:, 0]
        compared = target[0] if target else inputs
        return Terms(self.distance, self.hypothesis, compared, reconstruction, code_map, vectors, grid)

    def loss(self, inputs: Inputs) -> Tensor:
        """Return the training loss of a batch: mean distance plus the hypothesis's regularizer, a scalar."""
        terms: Terms = self(inputs)
        # A batch has tens of thousands of locations: so many vectors, evenly spread, are enough.
        vectors = terms.code[:: -(-len(terms.code) // _MOST_VECTORS)]
        loss: Tensor = terms.distance.mean() + self.hypothesis.regularizer(vectors)
        return loss

    def maps(self, terms: Terms, parts: Sequence[str] = ("distance", "code")) -> dict[str, Tensor]:
        """Return what readings are made of: a map of the distance and, where there is one, of the code.

        Args:
            terms: Of a batch.
            parts: Which of the two are computed.
        """
        found = {"distance": terms.distance_map} if "distance" in parts else {}
        if "code" not in parts:
            return found
        if self.local_codes and self.hypothesis.needs_codes:
            found["code"] = terms.hypothesis_map
        elif self.local is not None and self.local.fitted:
            found["code"] = self.local(terms.code_map)
        return found

    @torch.no_grad()
    def compare(self, scores: Tensor, maps: Tensor) -> None:
        """Take the unit in which this model's predictions are compared with those of others.

        Args:
            scores: Of normal images that were not trained on, ``(n,)``.
            maps: Theirs, of any shape.
        """
        for name, values in (("normal_score", scores), ("normal_map", maps)):
            setattr(self, name, torch.stack([values.mean(), _deviation(values.flatten())]).to(self.device))

    @torch.no_grad()
    def calibrate(self, distances: Tensor, codes: Tensor) -> None:
        """Set the scales and centres of both terms.

        Args:
            distances: Distance of each normal image, ``(n,)``.
            codes: Code of each, ``(n, d)``, in the order of ``distances``.
        """
        scores = score_in_parts(self.hypothesis, codes)
        self.distance_scale, self.distance_centre = _deviation(distances), distances.mean()
        self.hypothesis_scale, self.hypothesis_centre = _deviation(scores), scores.mean()


def _deviation(values: Tensor) -> Tensor:
    """The standard deviation; 1 if it is 0 or too large for float32."""
    deviation = values.double().std(correction=0).float()
    return torch.where((deviation > 0) & torch.isfinite(deviation), deviation, torch.ones_like(deviation))


def count_macs(autoencoder: nn.Module, channels: int, height: int, width: int) -> int:
    """Return the multiply-adds of a forward pass of one image; nothing is computed or allocated.

    Convolutions and matrix products count; pooling, normalization and activations, which are small beside them, do
    not. A module that knows its own number has a method ``macs(height, width) -> int``. For any other, the forward
    pass runs on torch's meta device, which knows shapes only; that takes a second or two the first time, because torch
    then imports its compiler.

    Args:
        autoencoder: Any module that maps images to a reconstruction; on any device, the meta device included. To
            count a giant without allocating its weights, build it under ``with torch.device("meta")``.
        channels: Channels of the image.
        height: Height in pixels.
        width: Width in pixels.

    Example:
        >>> count_macs(nn.Conv2d(3, 8, kernel_size=5, padding=2), channels=3, height=10, width=20)
        120000
    """
    own = getattr(autoencoder, "macs", None)
    if callable(own):
        return int(own(height, width))
    from torch.utils.flop_counter import FlopCounterMode

    state = {name: value.to("meta") for name, value in autoencoder.state_dict(keep_vars=True).items()}
    image = torch.empty(1, channels, height, width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(autoencoder, state, (image,))
    return int(counter.get_total_flops()) // 2
