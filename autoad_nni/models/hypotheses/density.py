"""The density hypothesis."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from autoad_nni.models.hypotheses._scale import root_mean_square_deviation
from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["DensityHypothesis"]


# Added to the diagonals of the covariances: in the score against rounding, in training against huge gradients.
_RIDGE, _TRAINING_RIDGE = 1e-4, 0.1


class DensityHypothesis(Hypothesis):
    r"""Normal codes follow a Gaussian mixture; an improbable code is anomalous.

    With weights :math:`\phi_k`, means :math:`\mu_k` and covariances :math:`\Sigma_k` of the training codes, the energy
    of a code is its negative log-likelihood (Table I, density):

    .. math:: E(z) = -\log \sum_k \phi_k \frac{\exp(-\frac12 (z - \mu_k)^T \Sigma_k^{-1} (z - \mu_k))}
        {\sqrt{|2 \pi \Sigma_k|}} .

    It is the score. The regularizer of a batch is :math:`0.1\, \overline{E} / d` plus the covariance penalty: 0.005
    times the mean of :math:`1 / (s_j^2 + 0.01)` over the d numbers of a code, with :math:`s_j^2` the variance of the
    j-th number within the components, estimated on the batch. Its energies are those of :math:`\Sigma_k + 0.1\, I`.
    Codes are first divided by the root mean square deviation of the first training codes from their mean, so that
    neither term depends on the autoencoder's scale.

    Args:
        n_components: Components of the mixture; fewer when there are fewer codes.
        energy_weight: Weight of the mean energy per number of a code.
        covariance_weight: Weight of the covariance penalty, which keeps components from shrinking to points.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``, in nats

    Differs from the source: there, a second network assigns each code to a component, and the mixture of each batch of
    1,024 follows from that, for codes of 1 to 3 numbers. Here codes have up to 128 numbers, and a batch of 64 is too
    small for a covariance: the mixture is estimated by expectation maximization (scikit-learn's GaussianMixture,
    double precision, full covariances with 1e-4 added to the diagonal) from the training codes after each epoch and
    when training ends, and is fixed in between. Energies are per number, so that a long code does not outweigh the
    distance, and the regularizer adds 0.1 to the diagonals: without it, numbers that hardly vary caused gradients so
    large that encoders died. Not given by the paper: the settings, here those of the source.

    Reference:
        Zong et al., "Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly Detection", ICLR 2018.

    Example:
        >>> codes = torch.tensor([[-1.0], [1.0]]).repeat(50, 1)
        >>> hypothesis = DensityHypothesis(n_components=1)
        >>> hypothesis.fit(codes)  # mean 0, variance 1
        >>> hypothesis.score(torch.tensor([[0.0], [2.0]]))  # log(2 pi) / 2, and 2 more
        tensor([0.9190, 2.9188])
    """

    max_code_size: ClassVar[int] = 128

    weights: Tensor
    means: Tensor
    factors: Tensor
    training_factors: Tensor
    scale: Tensor

    def __init__(self, n_components: int = 4, *, energy_weight: float = 0.1, covariance_weight: float = 0.005) -> None:
        super().__init__()
        self.n_components = n_components
        self.energy_weight = energy_weight
        self.covariance_weight = covariance_weight
        self.register_buffer("weights", torch.empty(0, dtype=torch.float64))
        self.register_buffer("means", torch.empty(0, dtype=torch.float64))
        self.register_buffer("factors", torch.empty(0, dtype=torch.float64))
        self.register_buffer("training_factors", torch.empty(0, dtype=torch.float64))
        self.register_buffer("scale", torch.zeros((), dtype=torch.float64))

    def fit(self, codes: Tensor) -> None:
        """Estimate the mixture, starting from its last state if there is one."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        codes = codes.double().expand(max(len(codes), 2), -1)  # scikit-learn needs two
        if self.scale == 0:
            self.scale = root_mean_square_deviation(codes)
        warm = {}
        if len(self.weights) > 0:
            precisions = self.factors @ self.factors.mT
            warm = {"weights_init": self.weights, "means_init": self.means, "precisions_init": precisions}
        mixture = GaussianMixture(
            min(self.n_components, len(codes)) if not warm else len(self.weights),
            covariance_type="full",
            reg_covar=_RIDGE,
            max_iter=20,
            random_state=0,
            **{name: value.cpu().numpy() for name, value in warm.items()},
        )
        # One thread: several sum in any order, and the same seed would not lead to the same model.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # 20 iterations from the last state are enough
            mixture.fit((codes / self.scale).cpu().numpy())
        self.weights = torch.as_tensor(mixture.weights_, device=codes.device)
        self.means = torch.as_tensor(mixture.means_, device=codes.device)
        self.factors = torch.as_tensor(mixture.precisions_cholesky_, device=codes.device)
        ridge = _TRAINING_RIDGE * torch.eye(codes.shape[1], dtype=torch.float64)
        widened = torch.as_tensor(mixture.covariances_) + ridge
        self.training_factors = torch.linalg.inv(torch.linalg.cholesky(widened)).mT.to(codes.device)

    def regularizer(self, codes: Tensor) -> Tensor:
        """Return the weighted energy per number plus the weighted covariance penalty."""
        codes = (codes / self.scale).to(codes.dtype)
        joint = self._log_joint(codes, self.training_factors)
        energy = -torch.logsumexp(joint, 1).mean() / codes.shape[1]
        shares = torch.softmax(joint, 1).detach()
        own_mean = shares @ (shares.mT @ codes / shares.sum(0).clamp(min=1e-6)[:, None])
        variances = (codes - own_mean).square().mean(0)
        penalty = (1.0 / (variances + 0.01)).mean()
        return self.energy_weight * energy + self.covariance_weight * penalty

    def score(self, codes: Tensor) -> Tensor:
        """Return the energy per code, ``(batch,)``."""
        return -torch.logsumexp(self._log_joint(codes.double() / self.scale, self.factors), 1).to(codes.dtype)

    def _log_joint(self, codes: Tensor, factors: Tensor) -> Tensor:
        """The logarithm of weight times density, ``(batch, component)``, of codes in units of `scale`."""
        dtype = codes.dtype
        offsets = codes - self.means.to(dtype)[:, None]  # (component, batch, d)
        squared = (offsets @ factors.to(dtype)).square().sum(2)
        log_roots = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        constants = self.weights.clamp(min=1e-300).log() + log_roots - 0.5 * codes.shape[1] * math.log(2 * math.pi)
        return (constants.to(dtype)[:, None] - 0.5 * squared).mT
