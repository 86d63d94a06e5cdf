"""Linear maps of the vector at each location, fitted to normal images: principal components, whitening by place."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni.models.fitted import FittedModule

__all__ = ["Projection", "Whitening", "chosen_vectors", "vectors_of"]

# Enough for a covariance of some hundred numbers.
_MOST_VECTORS = 20_000
# Added to variances, relative to their mean: against rounding, and where a number does not vary at all.
_RIDGE = 1e-3
# Deviation of equal numbers, relative to their size.
_ROUNDING = 1e-6
# Numbers of a basis, or of the factors of all places, 64 MB: fewer components of long vectors, and at each place
# where there are many places.
_MOST_NUMBERS = 16_000_000
_PLACES_AT_A_TIME = 64


def vectors_of(maps: Tensor) -> Tensor:
    """Return the vectors at the locations of maps.

    Shape:
        ``(n, d, h, w)`` to ``(n h w, d)``, one image after the other.

    Example:
        >>> vectors_of(torch.arange(8.0).view(1, 2, 2, 2))[1]
        tensor([1., 5.])
    """
    return maps.movedim(1, 3).flatten(0, 2)


def chosen_vectors(vectors: Tensor, most: int | None) -> Tensor:
    """Return at most so many vectors, scattered over all, always the same ones; None for all.

    Shape:
        ``(n, d)`` to ``(min(n, most), d)``.

    Example:
        >>> chosen_vectors(torch.arange(100.0).view(100, 1), 3).shape
        torch.Size([3, 1])
    """
    if most is None or len(vectors) <= most:
        return vectors
    return vectors[_chosen(len(vectors), most).to(vectors.device)]


def _chosen(n: int, most: int) -> Tensor:
    """Which of n vectors are taken."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].sort().values


def _chosen_of(maps: Tensor, most: int) -> Tensor:
    """The chosen of the vectors of maps; the others are not copied."""
    n, _, height, width = maps.shape
    chosen = _chosen(n * height * width, most).to(maps.device)
    return maps.movedim(1, 3)[chosen // (height * width), chosen // width % height, chosen % width]


class Projection(FittedModule):
    r"""Principal components of the vectors at all locations, :math:`y = V^T (x - \mu)`.

    Args:
        size: k, how many components; those that the vectors do not have, or whose basis would take more than 64 MB, are
            0.

    Shape:
        - maps: ``(n, d, h, w)``; output: ``(n, k, h, w)``

    Example:
        >>> maps = torch.tensor([[3.0, 4.0], [-3.0, -4.0]]).view(2, 2, 1, 1)  # on a line
        >>> projection = Projection(1)
        >>> projection.fit(maps)
        >>> projection(maps).abs().flatten(), torch.allclose(projection.back(projection(maps)), maps)
        (tensor([5., 5.]), True)
    """

    centre: Tensor
    basis: Tensor
    complete: bool
    """Whether there are as many components as numbers, so that nothing is lost."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.complete = False
        self.register_buffer("centre", torch.empty(0))
        self.register_buffer("basis", torch.empty(0))

    def fit(self, maps: Tensor) -> None:
        """Find the components."""
        vectors = _chosen_of(maps, _MOST_VECTORS).double()
        centre = vectors.mean(0)
        offsets = vectors - centre
        if len(offsets) < offsets.shape[1]:  # whole images: more numbers than images
            values, outer = torch.linalg.eigh(offsets @ offsets.mT)
            basis = offsets.mT @ outer / values.clamp(min=1e-12).sqrt()
            basis = basis[:, values > 1e-9 * values[-1]]
        else:
            basis = torch.linalg.eigh(offsets.mT @ offsets)[1]
        width = min(self.size, max(1, _MOST_NUMBERS // basis.shape[0]))
        kept = basis.flip(1)[:, :width]
        # The sign of an eigenvector is arbitrary: the largest number of each is positive, on every machine.
        signs = torch.take_along_dim(kept, kept.abs().argmax(0, keepdim=True), 0).sign()
        self.centre = centre.to(maps.dtype)
        # In rows, as it is loaded: another order in memory gives other last digits.
        self.basis = (kept * signs).to(maps.dtype).clone(memory_format=torch.contiguous_format)
        self._fitted()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the components at each location."""
        components = torch.einsum("ndhw,dk->nkhw", maps - self.centre[:, None, None], self.basis)
        return F.pad(components, (0, 0, 0, 0, 0, self.size - components.shape[1]))

    def back(self, components: Tensor) -> Tensor:
        """Return the vectors that components stand for, ``(n, d, h, w)``."""
        used = components[:, : self.basis.shape[1]]
        return torch.einsum("nkhw,dk->ndhw", used, self.basis) + self.centre[:, None, None]

    def _fitted(self) -> None:
        """Note what `forward` must not ask of tensors: in an export, they have no numbers."""
        self.complete = int(self.basis.any(0).sum()) == len(self.basis)


class Whitening(FittedModule):
    r"""Vectors in units of their own place: :math:`y = \Sigma_p^{-1/2} (x - \mu_p)` at each place p.

    So the mean square of y over its numbers is the squared Mahalanobis distance of a Gaussian at each place, as in
    PaDiM, divided by d. :math:`\Sigma_p` is estimated from one vector of each image, so it is shrunk to the mean
    covariance of all places by the weight :math:`d / (n + d)`. Only the first numbers of a vector are used where the
    factors of all places would take more than 64 MB.

    Differs from the source, which adds 0.01 to the diagonal instead.

    Shape:
        - maps: ``(n, d, h, w)``; output: the same; numbers that are not used are 0

    Reference:
        Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization",
        ICPR 2021.

    Example:
        >>> whitening = Whitening()
        >>> whitening.fit(torch.tensor([9.0, 11.0] * 50).view(100, 1, 1, 1))
        >>> round(whitening(torch.tensor(13.0).view(1, 1, 1, 1)).item(), 2)  # 3 deviations from 10
        2.98
    """

    means: Tensor
    factors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("means", torch.empty(0))
        self.register_buffer("factors", torch.empty(0))

    def most_numbers(self, height: int, width: int) -> int:
        """Return how many numbers of a vector are used at most, with so many places."""
        return max(1, math.isqrt(_MOST_NUMBERS // (height * width)))

    def fit(self, maps: Tensor) -> None:
        """Estimate mean and covariance at each place."""
        n, d, h, w = maps.shape
        used = min(d, self.most_numbers(h, w))
        self.means = maps[:, :used].mean(0)
        places, means = (each.flatten(-2).movedim(-1, 0) for each in (maps[:, :used], self.means))
        parts = zip(torch.split(places, _PLACES_AT_A_TIME), torch.split(means, _PLACES_AT_A_TIME), strict=True)
        offsets = (part - mean[:, None] for part, mean in parts)
        covariances = torch.cat([each.mT @ each / max(n - 1, 1) for each in offsets])
        overall, weight = covariances.mean(0), used / (n + used)
        covariances.mul_(1 - weight).add_(weight * overall)
        variance = overall.diagonal().mean()
        # Where nothing varies but by rounding, as in a single image, vectors stay in their own unit.
        varies = variance > (_ROUNDING * self.means.abs().max()).square()
        ridge = torch.where(varies, _RIDGE * variance, 1.0)
        covariances.diagonal(dim1=1, dim2=2).add_(ridge)
        roots = torch.linalg.cholesky(covariances)
        unit = torch.eye(used, dtype=maps.dtype, device=maps.device).expand_as(roots)
        # Contiguous, as they are when they are loaded: in another layout, products differ by rounding.
        self.factors = torch.linalg.solve_triangular(roots, unit, upper=False).contiguous()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the vectors in units of their place."""
        used, height, width = self.means.shape
        offsets = (maps[:, :used] - self.means).flatten(2).movedim(2, 0)  # (place, n, used)
        whitened: Tensor = (offsets @ self.factors.mT).movedim(0, 2).reshape(-1, used, height, width)
        if used == maps.shape[1]:
            return whitened
        return torch.cat([whitened, torch.zeros_like(maps[:, used:])], 1)
