"""Adam, without the cost of importing ``torch.optim``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam

__all__ = ["Adam"]


class Adam:
    """Adam by torch's functional form: bit for bit what ``torch.optim.Adam`` computes.

    Creating an instance of that class imports torch._dynamo: 1.2 to 2.5 s, more than everything else that the strategy
    does in a short search.

    Args:
        parameters: Leaves; each has a gradient at every step.
        lr: Step size.

    Example:
        >>> weight = torch.ones(1, requires_grad=True)
        >>> optimizer = Adam([weight], lr=0.25)
        >>> (3 * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.item()
        0.75
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float) -> None:
        self._parameters = list(parameters)
        self._lr = lr
        self._means: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._steps: list[Tensor] = []

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters against their gradients."""
        if not self._steps:
            self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
            self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
            self._steps = [torch.zeros(()) for _ in self._parameters]
        adam(
            self._parameters,
            [gradient for parameter in self._parameters if (gradient := parameter.grad) is not None],
            self._means,
            self._squares,
            [],
            self._steps,
            foreach=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return the moments and the number of steps of each parameter; empty before the first step."""
        return {"means": list(self._means), "squares": list(self._squares), "steps": list(self._steps)}

    def load_state_dict(self, state: Mapping[str, list[Tensor]]) -> None:
        """Load a state."""
        self._means, self._squares, self._steps = ([*state[name]] for name in ("means", "squares", "steps"))
