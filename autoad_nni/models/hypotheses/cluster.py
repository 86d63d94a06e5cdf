"""The cluster hypothesis."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from autoad_nni.models.hypotheses._scale import root_mean_square_deviation
from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["ClusterHypothesis"]


class ClusterHypothesis(Hypothesis):
    r"""Normal codes lie in clusters; a code far from every cluster is anomalous.

    With centroids :math:`\mu_j`, a code belongs to cluster j by Student's t kernel with one degree of freedom,

    .. math:: k_{ij} = \frac{1}{1 + \|z_i - \mu_j\|^2}, \quad q_{ij} = \frac{k_{ij}}{\sum_l k_{il}}, \quad
        p_{ij} = \frac{q_{ij}^2 / f_j}{\sum_l q_{il}^2 / f_l}, \quad f_j = \sum_i q_{ij} .

    The regularizer of a batch is 0.1 times the mean over its codes of
    :math:`\mathrm{KL}(p_i \| q_i) = \sum_j p_{ij} \log (p_{ij} / q_{ij})` (Table I, cluster), p without gradient. The
    score is :math:`-\log \sum_j k_{ij}`. Distances are in units of the root mean square distance of the training codes
    to their own centroid, so that they do not depend on the autoencoder's scale or on d.

    Args:
        n_clusters: Clusters; fewer when there are fewer codes.
        weight: Weight of the divergence.
        refresh_every: :math:`f_j` is taken from :meth:`fit`'s codes and then, within an epoch, from the training codes
            since the last refresh, each time they are this many times as many as :meth:`fit` had. 0.5: at least once
            within each epoch, also on small sets; ``inf`` for never.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``

    Differs from the paper: Table I's divergence as a score is *low* far away, where every :math:`q_{ij}` is alike, so
    the score is the kernel's negative logarithm instead (figures in docs/decisions/hypotheses.md). Differs from the
    source: centroids follow by k-means from their last state after each epoch instead of by gradient, between two
    refreshes the target keeps the frequencies :math:`f_j` only, not each image's p, and a refresh takes the training
    batches' codes. The source refreshes every 140 batches of 256, about half an epoch of its 70,000 images, but
    several epochs of a small set. Not given by either: the number of clusters.

    Reference:
        Guo et al., "Deep Clustering with Convolutional Autoencoders", ICONIP 2017.

    Example:
        >>> hypothesis = ClusterHypothesis(n_clusters=1)
        >>> hypothesis.fit(torch.tensor([[-1.0], [1.0]]))  # centroid 0, unit 1
        >>> hypothesis.score(torch.tensor([[0.0], [3.0]]))  # -log 1, -log(1 / 10)
        tensor([-0.0000, 2.3026])
    """

    centroids: Tensor
    unit: Tensor
    frequencies: Tensor
    seen: Tensor
    """Memberships of the training codes since the last refresh, summed."""
    n_seen: Tensor
    """How many codes these are; the next refresh is at `refresh_at`."""
    refresh_at: Tensor

    def __init__(self, n_clusters: int = 10, *, weight: float = 0.1, refresh_every: float = 0.5) -> None:
        super().__init__()
        self.n_clusters = n_clusters
        self.weight = weight
        self.refresh_every = refresh_every
        self.register_buffer("centroids", torch.empty(0))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("frequencies", torch.empty(0))
        self.register_buffer("seen", torch.empty(0))
        self.register_buffer("n_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("refresh_at", torch.full((), float("inf")))

    def fit(self, codes: Tensor) -> None:
        """Move the centroids by k-means, starting from their last state if there is one; set unit and frequencies."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        scale = root_mean_square_deviation(codes)  # k-means stops by squared distances, which could underflow
        first = len(self.centroids) == 0
        start = "k-means++" if first else (self.centroids / scale).cpu().numpy()
        n_clusters = min(self.n_clusters, len(codes)) if first else len(self.centroids)
        # One thread: several sum in any order, and the same seed would not lead to the same model.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct codes than clusters
            means = KMeans(n_clusters, init=start, n_init=1, random_state=0).fit((codes / scale).cpu().numpy())
        self.centroids = torch.as_tensor(means.cluster_centers_, dtype=codes.dtype, device=codes.device) * scale
        nearest = torch.cdist(codes, self.centroids).amin(1).square().mean().sqrt()
        self.unit = torch.where(nearest > 1e-6 * scale, nearest, scale)
        kernel = self._kernel(codes)
        self.frequencies = (kernel / kernel.sum(1, keepdim=True)).mean(0)
        self.seen, self.n_seen = torch.zeros_like(self.frequencies), torch.zeros_like(self.n_seen)
        self.refresh_at = torch.full_like(self.refresh_at, self.refresh_every * len(codes))

    def regularizer(self, codes: Tensor) -> Tensor:
        """Return the weighted mean divergence."""
        kernel = self._kernel(codes)
        q = kernel / kernel.sum(1, keepdim=True)
        p = target(q.detach(), self.frequencies)
        self._refresh(q.detach())
        return self.weight * (p * (p / q).clamp(min=1e-30).log()).sum(1).mean()

    def score(self, codes: Tensor) -> Tensor:
        """Return the negative logarithm of the summed kernels, ``(batch,)``."""
        return -self._kernel(codes).sum(1).log()

    def _kernel(self, codes: Tensor) -> Tensor:
        """Student's t kernel of each code and centroid, ``(batch, cluster)``."""
        offsets = codes[:, None] - self.centroids
        return 1.0 / (1.0 + (offsets / self.unit).square().sum(2))

    def _refresh(self, q: Tensor) -> None:
        """Add up the memberships of training codes; once there are enough, their mean becomes the frequencies."""
        if not self.training:
            return
        seen, n_seen = self.seen + q.sum(0), self.n_seen + len(q)
        enough = n_seen >= self.refresh_at  # an `if` would wait for the device
        self.frequencies = torch.where(enough, seen / n_seen, self.frequencies)
        self.seen, self.n_seen = torch.where(enough, 0, seen), torch.where(enough, 0, n_seen)


def target(q: Tensor, frequencies: Tensor) -> Tensor:
    """Return the memberships p that the regularizer pulls q to, ``(batch, cluster)``.

    Example:
        >>> target(torch.tensor([[0.8, 0.2]]), torch.tensor([0.5, 0.5]))  # 0.64 : 0.04
        tensor([[0.9412, 0.0588]])
    """
    sharpened = q.square() / frequencies.clamp(min=1e-12)
    return sharpened / sharpened.sum(1, keepdim=True)
