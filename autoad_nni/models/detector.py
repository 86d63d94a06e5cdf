"""The triple (A, H, L): an autoencoder, a hypothesis and a distance make one anomaly detector."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.models.distances.base import Distance
from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["Detector", "Terms", "count_macs"]


class Terms:
    """What a detector makes of a batch in one pass of its autoencoder.

    The distance is computed when it is asked for: training needs no map, two-sided windows neither.

    Attributes:
        reconstruction: ``(batch, channels, height, width)``.
        code: What the hypothesis sees, ``(batch, d)``.
    """

    def __init__(self, distance: Distance, images: Tensor, reconstruction: Tensor, code: Tensor) -> None:
        self._measure = distance
        self._images = images
        self.reconstruction = reconstruction
        self.code = code

    @cached_property
    def distance(self) -> Tensor:
        """Distance per image, ``(batch,)``, in the distance's own form: the mean of the map, but for rounding."""
        distance: Tensor = self._measure(self.reconstruction, self._images)
        return distance

    @cached_property
    def distance_map(self) -> Tensor:
        """Distance per pixel, ``(batch, 1, height, width)``."""
        return self._measure.map(self.reconstruction, self._images)


class Detector(nn.Module):
    r"""An autoencoder, a hypothesis and a distance: what is trained, and what a score is made of.

    The training loss of a batch is

    .. math:: \mathrm{mean}\, \mathrm{DIST}(\hat{x}, x) + \mathrm{DEFINEREG}(z),
        \qquad (\hat{x}, z) = g(f(x)), f(x)

    (Eq. 2 of the paper). :class:`autoad_nni.models.scoring.Scorer` scores images. In evaluation mode the terms of an
    image do not depend on the others in its batch.

    A hypothesis sees codes of at most ``max_code_size`` numbers: longer ones are averaged down, neighbouring numbers
    of one channel together, so that its statistics fit into memory whatever the architecture.

    Differs from the paper, which leaves the size of the code open.

    Args:
        autoencoder: Maps images ``(batch, channels, height, width)`` to a pair: the reconstruction, of the same
            shape, and the code ``(batch, d)``.
        hypothesis: Gives the training regularizer and the score of a code.
        distance: Compares reconstruction and image.

    Shape:
        - images: ``(batch, channels, height, width)``, values in [0, 1]
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

    def __init__(self, autoencoder: nn.Module, hypothesis: Hypothesis, distance: Distance) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.hypothesis = hypothesis
        self.distance = distance
        self.register_buffer("distance_scale", torch.ones(()))
        self.register_buffer("hypothesis_scale", torch.ones(()))
        self.register_buffer("distance_centre", torch.zeros(()))
        self.register_buffer("hypothesis_centre", torch.zeros(()))

    distance_scale: Tensor
    """Standard deviation of the distance over the training images; 1 before :meth:`calibrate`."""
    hypothesis_scale: Tensor
    """Standard deviation of the hypothesis's score over the training images; 1 before :meth:`calibrate`."""
    distance_centre: Tensor
    """Mean distance of the training images; 0 before :meth:`calibrate`."""
    hypothesis_centre: Tensor
    """Mean score of the hypothesis on the training images; 0 before :meth:`calibrate`."""

    def forward(self, images: Tensor) -> Terms:
        """Return the terms of a batch, from one pass of the autoencoder."""
        reconstruction, code = self.autoencoder(images)
        if self.hypothesis.needs_codes and code.shape[1] > self.hypothesis.max_code_size:
            code = F.adaptive_avg_pool1d(code[:, None], self.hypothesis.max_code_size)[:, 0]
        return Terms(self.distance, images, reconstruction, code)

    def loss(self, images: Tensor) -> Tensor:
        """Return the training loss of a batch: mean distance plus the hypothesis's regularizer, a scalar."""
        terms: Terms = self(images)
        loss: Tensor = terms.distance.mean() + self.hypothesis.regularizer(terms.code)
        return loss

    @torch.no_grad()
    def calibrate(self, distances: Tensor, codes: Tensor) -> None:
        """Set the scales and centres of both terms.

        Args:
            distances: Distance of each training image, ``(n,)``.
            codes: Code of each, ``(n, d)``, in the order of ``distances``.
        """
        scores = torch.cat([self.hypothesis.score(part) for part in torch.split(codes, 4096)])
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
