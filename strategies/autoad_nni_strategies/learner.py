"""The controller as it learns: what is drawn from it, and the updates of Algorithm 1."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoad_nni_strategies.adam import Adam
from autoad_nni_strategies.controller import Controller
from autoad_nni_strategies.curiosity import information_gain
from autoad_nni_strategies.posterior import GaussianPosterior, ScaleMixture, sharpen
from autoad_nni_strategies.settings import Settings
from autoad_nni_strategies.spaces import Action

__all__ = ["Learner"]


class Learner:
    """A controller whose weights are a distribution, and its optimizer.

    Without ``bayesian``, the distribution is its mean: every sample of weights is that.

    Args:
        n_choices: Number of choices of each decision.
        settings: See `Settings`.
        generator: Source of all randomness.
    """

    def __init__(self, n_choices: Sequence[int], settings: Settings, generator: torch.Generator) -> None:
        self._settings = settings
        self._generator = generator
        self._controller = Controller(n_choices, generator=generator)
        self._prior = ScaleMixture()
        self.posterior = GaussianPosterior(self._controller, sigma=settings.initial_sigma)
        learned = [self.posterior.mu, self.posterior.rho] if settings.bayesian else [self.posterior.mu]
        self._optimizer = Adam(learned, lr=settings.learning_rate)
        self._context: Tensor | None = None
        self.figures: dict[str, float] = {}
        """Numbers to plot of the last updates."""
        self.draw_weights()

    def draw_weights(self) -> None:
        """Draws the weights with which the next candidates are sampled."""
        with torch.no_grad():
            named = self.posterior.named(self.posterior.sample(self._noise()))
            for name, parameter in self._controller.named_parameters():
                parameter.copy_(named[name])

    def sample(self, n: int) -> list[Action]:
        """Draws n architectures from the policy."""
        return [tuple(action) for action in self._controller.sample(n, self._generator, self._context).tolist()]

    def entropy(self, actions: Sequence[Action]) -> float:
        """Returns the entropy, in nats, of the policy that drew these."""
        with torch.no_grad():
            policies = self._controller(torch.tensor(actions), self._context)
            return float(sum(-(policy.exp() * policy).sum(1).mean().item() for policy in policies))

    def gains(self, actions: Sequence[Action]) -> list[float]:
        """Returns the information gain of each architecture (Eq. 6, 7), in nats."""
        noise = self._noise()
        gains = []
        for action in actions:
            weights = self.posterior.sample(noise).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._log_prob(weights, [action]).sum(), weights)
            gains.append(information_gain(self.posterior, gradient, noise))
        return gains

    def reinforce(self, actions: Sequence[Action], advantages: Sequence[float]) -> None:
        """Takes one step along Eq. 5, with Eq. 15 and 16 where the weights are a distribution.

        With the plain likelihood these are a step of their own, before it (lines 10 and 12 of Algorithm 1).
        """
        self.figures = {"kl_prior": 0.0, "kl_sharpening": 0.0}
        if self._apart:
            self._step(actions, [1.0] * len(actions), explore=True)
        self._step(actions, advantages, explore=not self._apart)

    def imitate(self, actions: Sequence[Action], advantages: Sequence[float]) -> None:
        """Takes one step along Eq. 19; ``advantages`` are clipped at zero."""
        if any(advantage > 0 for advantage in advantages):
            self._step(actions, advantages, explore=not self._apart)

    @property
    def _apart(self) -> bool:
        """Whether L_explore is a step of its own."""
        return self._settings.bayesian and self._settings.explore_likelihood == "plain"

    def hand_on(self, actions: Sequence[Action]) -> None:
        """Has the outputs for these, averaged, join the first input from now on (Fig. 1)."""
        if actions:
            self._context = self._controller.output(torch.tensor(actions), self._context).mean(0)

    def _step(self, actions: Sequence[Action], advantages: Sequence[float], *, explore: bool) -> None:
        """Takes one step; ``explore``: with the prior and the sharpening of L_explore."""
        explore = explore and self._settings.bayesian
        weights = self.posterior.sample(self._noise())
        loss = torch.zeros(())
        if explore and self._settings.kl_weight > 0:
            divergence = self.posterior.divergence_from(self._prior, weights)
            loss = loss + self._settings.kl_weight * divergence
            self.figures["kl_prior"] = divergence.item()
        if explore and self._settings.sharpening:
            at = weights.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._policy_loss(at, actions, advantages), at)
            weights, cost = sharpen(
                weights, gradient, rate=self._settings.sharpening_rate, sigma_0=_SIGMA_0, noise=self._noise()
            )
            # The rate is no parameter here, so this term of Eq. 16 has no gradient; it is shown.
            self.figures["kl_sharpening"] = cost.item()
        loss = loss + self._policy_loss(weights, actions, advantages)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def _policy_loss(self, weights: Tensor, actions: Sequence[Action], advantages: Sequence[float]) -> Tensor:
        # Eq. 5 ascends, the optimizer descends.
        return -(torch.tensor(advantages) * self._log_prob(weights, actions)).mean()

    def _log_prob(self, weights: Tensor, actions: Sequence[Action]) -> Tensor:
        """Log P(a_1 ... a_T) of each architecture under these weights, ``(n,)``."""
        tokens = torch.tensor(actions)
        policies = torch.func.functional_call(
            self._controller, dict(self.posterior.named(weights)), (tokens, self._context)
        )
        return torch.cat([policy.gather(1, tokens[:, [t]]) for t, policy in enumerate(policies)], 1).sum(1)

    def _noise(self) -> Tensor:
        if not self._settings.bayesian:
            return torch.zeros_like(self.posterior.mu)
        return torch.randn(self.posterior.mu.shape, generator=self._generator)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state in plain types and tensors."""
        return copy.deepcopy(
            {
                "posterior": dict(self.posterior.state_dict()),
                "controller": dict(self._controller.state_dict()),
                "optimizer": self._optimizer.state_dict(),
                "context": self._context,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state."""
        state = copy.deepcopy(state)
        self.posterior.load_state_dict(state["posterior"])
        self._controller.load_state_dict(state["controller"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._context = state["context"]


# Not given by the paper; Fortunato et al. 2017.
_SIGMA_0 = 0.02
