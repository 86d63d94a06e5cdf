"""The triple (A, H, L): an autoencoder, a hypothesis and a distance make one anomaly detector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.models.distances.base import Distance
from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["Detector", "count_macs"]


class Detector(nn.Module):
    r"""Scores images by how badly they are reconstructed and how badly their codes fit the hypothesis.

    .. math:: s(x) = \frac{\mathrm{DIST}(\hat{x}, x)}{\sigma_D} + \frac{\mathrm{DEFINEREG}(z)}{\sigma_H},
        \qquad (\hat{x}, z) = g(f(x)), f(x)

    (Eq. 2 of the paper). :math:`\sigma_D` and :math:`\sigma_H` are the standard deviations of the two terms over the
    training images, set by :meth:`calibrate` when training ends and 1 before: the terms' own scales differ by orders
    of magnitude, and with the size of the code, so that one of them alone would decide. A hypothesis that needs no
    codes adds nothing, and the score is the distance as it is. In evaluation mode the score of an image does not depend
    on the others in its batch.

    A hypothesis sees codes of at most ``max_code_size`` numbers: longer ones are averaged down, neighbouring numbers
    of one channel together, so that its statistics fit into memory whatever the architecture.

    Differs from the paper, which adds the terms as they are and leaves the size of the code open.

    Args:
        autoencoder: Maps images ``(batch, channels, height, width)`` to a pair: the reconstruction, of the same
            shape, and the code ``(batch, d)``.
        hypothesis: Gives the training regularizer and the score of a code.
        distance: Compares reconstruction and image.

    Shape:
        - images: ``(batch, channels, height, width)``, values in [0, 1]
        - score: ``(batch,)``; score map: ``(batch, 1, height, width)``; both higher where more anomalous

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> class Blank(nn.Module):
        ...     def forward(self, images):
        ...         return torch.zeros_like(images), images.flatten(1)
        >>> detector = Detector(Blank(), ReconstructionHypothesis(), L1Distance())
        >>> detector.score(torch.tensor([0.25, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8))
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
    hypothesis_scale: Tensor
    distance_centre: Tensor
    hypothesis_centre: Tensor

    def loss(self, images: Tensor) -> Tensor:
        """Return the training loss of a batch: mean distance plus the hypothesis's regularizer, a scalar."""
        distances, codes = self.terms(images)
        loss: Tensor = distances.mean() + self.hypothesis.regularizer(codes)
        return loss

    def score(self, images: Tensor) -> Tensor:
        """Return the anomaly score per image, ``(batch,)``."""
        distances, codes = self.terms(images)
        score: Tensor = distances / self.distance_scale + self.hypothesis.score(codes) / self.hypothesis_scale
        return score

    def deviation(self, images: Tensor) -> Tensor:
        r"""Return how far both terms are from those of the training images, either way, ``(batch,)``.

        .. math:: |\mathrm{DIST} - \mu_D| / \sigma_D + |\mathrm{DEFINEREG} - \mu_H| / \sigma_H

        An image that is reconstructed better than normal ones, or is more probable than they are, is not normal
        either: smooth spots in a rough texture are both. The means are set by :meth:`calibrate`, and 0 before.

        Differs from the paper, whose score takes less than normal for normal. Reference for probabilities: Nalisnick et
        al., "Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality", 2019.
        """
        distances, codes = self.terms(images)
        score: Tensor = (distances - self.distance_centre).abs() / self.distance_scale
        return score + (self.hypothesis.score(codes) - self.hypothesis_centre).abs() / self.hypothesis_scale

    def score_map(self, images: Tensor) -> Tensor:
        """Return the distance's part of the score per pixel, ``(batch, 1, height, width)``.

        A hypothesis knows no pixels: it adds one number to an image's score. Added to the map it would say nothing of
        where the anomaly is, and as it varies more between images than a distance within one, it would drown that.
        """
        return self._map_and_codes(images)[0]

    def lifted_map(self, images: Tensor) -> Tensor:
        """Return `score_map` lifted by the hypothesis, so that its mean over an image is the image's score.

        For windows of a larger image, which the hypothesis does tell apart.
        """
        distances, codes = self._map_and_codes(images)
        lift = self.hypothesis.score(codes) / self.hypothesis_scale
        return distances + lift[:, None, None, None]

    def _map_and_codes(self, images: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction, codes = self._reconstruct(images)
        return self.distance.map(reconstruction, images) / self.distance_scale, codes

    def terms(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance per image, ``(batch,)``, and the codes that the hypothesis sees, ``(batch, d)``."""
        reconstruction, codes = self._reconstruct(images)
        return self.distance(reconstruction, images), codes

    def _reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction, codes = self.autoencoder(images)
        if self.hypothesis.needs_codes and codes.shape[1] > self.hypothesis.max_code_size:
            codes = F.adaptive_avg_pool1d(codes[:, None], self.hypothesis.max_code_size)[:, 0]
        return reconstruction, codes

    @torch.no_grad()
    def calibrate(self, distances: Tensor, codes: Tensor) -> None:
        """Set the scales of both terms of the score, and their means.

        Args:
            distances: Distance of each training image, ``(n,)``.
            codes: Code of each, ``(n, d)``, in the order of ``distances``.
        """
        scores = torch.cat([self.hypothesis.score(part) for part in torch.split(codes, 4096)])
        self.distance_scale, self.distance_centre = _deviation(distances), distances.mean()
        self.hypothesis_scale, self.hypothesis_centre = _deviation(scores), scores.mean()


def _deviation(values: Tensor) -> Tensor:
    """The standard deviation; 1 where there is none, or none that float32 can hold."""
    deviation = values.double().std(correction=0).float()
    return torch.where((deviation > 0) & torch.isfinite(deviation), deviation, torch.ones_like(deviation))


def count_macs(autoencoder: nn.Module, channels: int, height: int, width: int) -> int:
    """Count the multiply-adds of one image's way through the autoencoder, without computing or allocating anything.

    Convolutions and matrix products count; pooling, normalization and activations, which are small beside them, do
    not. A module that knows its own number says so by a method ``macs(height, width) -> int``. For any other, the
    forward pass runs on torch's meta device, which knows shapes only; that takes a second or two the first time,
    because torch then imports its compiler.

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
