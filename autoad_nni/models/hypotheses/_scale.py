"""The unit in which hypotheses measure codes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["root_mean_square_deviation"]


def root_mean_square_deviation(codes: Tensor) -> Tensor:
    """Return the root mean square deviation of the numbers of codes from their means; 1 if all codes are equal.

    Example:
        >>> root_mean_square_deviation(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))  # variances 1 and 0
        tensor(0.7071)
    """
    deviation = codes.var(0, correction=0).mean().sqrt()
    return torch.where(deviation > 0, deviation, torch.ones_like(deviation))
