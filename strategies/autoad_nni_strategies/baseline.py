"""The moving baseline b of Eq. 5, and the scale of the advantages."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["MovingBaseline"]


class MovingBaseline:
    r"""An exponential moving average of the rewards, updated once per iteration.

    .. math:: b \leftarrow \gamma b + (1 - \gamma) \bar r, \qquad
        v \leftarrow \gamma v + (1 - \gamma) \overline{(r - b)^2}, \qquad
        A_k = \frac{r_k - b}{\sqrt v}

    :math:`\bar r` is the mean over the batch. The variance v already includes the batch whose advantages it scales, so
    that no advantage exceeds :math:`\sqrt{n / (1 - \gamma)}`, whatever the rewards.

    Args:
        decay: gamma, in [0, 1).
        normalize: Whether to divide by the running standard deviation; otherwise the advantage is r - b.

    Differs from / not given by the paper: how b moves is not given (ENAS uses decay 0.99, starts at 0 and moves b
    before it subtracts it). Here b starts at the mean of the first batch, so that the first advantages have both
    signs, and moves after the update. Division by the standard deviation is ours.

    Reference: Williams 1992, "Simple statistical gradient-following algorithms"; Pham et al. 2018 (ENAS).

    Example:
        >>> baseline = MovingBaseline(decay=0.5, normalize=False)
        >>> baseline.update([1.0, 3.0])
        >>> baseline.advantages([4.0, 1.0])
        [2.0, -1.0]
    """

    def __init__(self, *, decay: float, normalize: bool) -> None:
        self.decay = decay
        self.normalize = normalize
        self.value: float | None = None
        """b; None before the first batch."""
        self.variance: float | None = None
        """v; None before the first batch."""

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Return the advantage of each reward; change nothing."""
        baseline, variance = self._centre(rewards), self._next_variance(rewards)
        # v = 0 only if every reward so far equals b, and then every advantage is 0.
        scale = math.sqrt(variance) if self.normalize and variance > 0 else 1.0
        return [(reward - baseline) / scale for reward in rewards]

    def update(self, rewards: Sequence[float]) -> None:
        """Move v and b towards a batch of rewards."""
        self.variance = self._next_variance(rewards)
        baseline = self._centre(rewards)
        self.value = self.decay * baseline + (1 - self.decay) * math.fsum(rewards) / len(rewards)

    def state_dict(self) -> dict[str, float | None]:
        """Return b and v."""
        return {"value": self.value, "variance": self.variance}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Load b and v."""
        self.value, self.variance = state["value"], state["variance"]

    def _centre(self, rewards: Sequence[float]) -> float:
        return math.fsum(rewards) / len(rewards) if self.value is None else self.value

    def _next_variance(self, rewards: Sequence[float]) -> float:
        baseline = self._centre(rewards)
        squared = math.fsum((reward - baseline) ** 2 for reward in rewards) / len(rewards)
        return squared if self.variance is None else self.decay * self.variance + (1 - self.decay) * squared
