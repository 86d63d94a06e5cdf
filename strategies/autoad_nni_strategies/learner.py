"""The controller as it learns: what is drawn from it, and the updates of Algorithm 1."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoad_nni_strategies.adam import Adam
from autoad_nni_strategies.controller import Controller
from autoad_nni_strategies.curiosity import information_gain
from autoad_nni_strategies.posterior import GaussianPosterior, ScaleMixture, rate_for, sharpen
from autoad_nni_strategies.settings import Settings
from autoad_nni_strategies.spaces import Action

__all__ = ["Learner"]

# Not given by the paper; Fortunato et al. 2017.
_SIGMA_0 = 0.02


class Learner:
    """A controller whose weights have a distribution, and its optimizer.

    Without ``bayesian``, the distribution is a point: every draw of the weights is their mean.

    Args:
        n_choices: Number of choices of each decision.
        settings: See `Settings`.
        generator: Source of all randomness.

    Differs from the paper: the likelihood of L_explore (Eq. 14 to 16) weighs samples by their advantages, so that
    REINFORCE (Eq. 5) is part of it, one step does both, and sharpening moves the weights towards what is good. As
    printed, all samples weigh the same, in a step of its own (line 10 of Algorithm 1): of a policy's own samples that
    likelihood has no gradient on average. It was measured, and gave a best reward 0.007 +- 0.012 lower
    (experiments/RESULTS.md).
    """

    def __init__(self, n_choices: Sequence[int], settings: Settings, generator: torch.Generator) -> None:
        self._settings = settings
        self._generator = generator
        self._controller = Controller(n_choices, generator=generator)
        self._prior = ScaleMixture()
        self.posterior = GaussianPosterior(self._controller, sigma=settings.initial_sigma)
        learned = [self.posterior.mu, self.posterior.rho] if settings.bayesian else [self.posterior.mu]
        self._optimizer = Adam(learned, lr=settings.learning_rate)
        self.figures: dict[str, float] = {}
        """Diagnostics of the last updates, to plot."""
        self.draw_weights()

    def draw_weights(self) -> None:
        """Draw the weights with which the next candidates are sampled."""
        with torch.no_grad():
            self._use(self.posterior.sample(self._noise()))

    def sample(self, n: int) -> list[Action]:
        """Draw n candidates from the policy."""
        return [tuple(action) for action in self._controller.sample(n, self._generator).tolist()]

    def entropy(self, actions: Sequence[Action]) -> float:
        """Return the entropy, in nats, of the policy that drew these candidates."""
        with torch.no_grad():
            return self._controller.entropy(torch.tensor(actions)).sum(1).mean().item()

    def mutual_information(self, *, draws: int = 4, per_draw: int = 8) -> float:
        r"""Estimate how much the weights and the candidate say about each other, in nats: what curiosity is after.

        .. math:: \mathrm{E}\big[\log p(a | w) - \log \tfrac1K \sum_k p(a | w_k)\big], \quad
            w, w_k \sim q, \; a \sim p(\cdot | w)

        w is one of the K draws, so that the estimate is at most log K. Randomness of its own: it changes no sample.
        """
        generator = torch.Generator().manual_seed(self._settings.seed)
        in_use = torch.cat([parameter.detach().flatten() for parameter in self._controller.parameters()])
        weights, drawn = [], []
        with torch.no_grad():
            for _ in range(draws):
                noise = torch.randn(self.posterior.mu.shape, generator=generator) * float(self._settings.bayesian)
                weights.append(self.posterior.sample(noise))
                self._use(weights[-1])
                drawn += self._controller.sample(per_draw, generator).tolist()
            self._use(in_use)
            of_each = torch.stack([self._log_prob(each, drawn) for each in weights])
        own = of_each.gather(0, torch.arange(draws).repeat_interleave(per_draw)[None])[0]
        return (own - of_each.logsumexp(0) + math.log(draws)).mean().item()

    def _use(self, weights: Tensor) -> None:
        named = self.posterior.named(weights)
        for name, parameter in self._controller.named_parameters():
            parameter.copy_(named[name])

    def gains(self, actions: Sequence[Action]) -> list[float]:
        """Return the information gain of each sample (Eq. 6, 7), in nats."""
        noise = self._noise()
        gains = []
        for action in actions:
            weights = self.posterior.sample(noise).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._log_prob(weights, [action]).sum(), weights)
            gains.append(information_gain(self.posterior, gradient, noise))
        return gains

    def reinforce(self, actions: Sequence[Action], advantages: Sequence[float]) -> None:
        """Take one step along Eq. 5, with Eq. 15 and 16 if the weights have a distribution."""
        self.figures = {"kl_prior": 0.0, "kl_sharpening": 0.0, "sharpening_share": 0.0}
        self._step(actions, advantages)

    def imitate(self, actions: Sequence[Action], advantages: Sequence[float]) -> None:
        """Take one step along Eq. 19, as `reinforce` does; ``advantages`` are clipped at zero."""
        if any(advantage > 0 for advantage in advantages):
            self._step(actions, advantages)

    def follow(self, actions: Sequence[Action]) -> None:
        """Take one step up the mean log-likelihood of imagined samples; these are no data to sharpen by."""
        self._descend(-self._log_prob(self.posterior.sample(self._noise()), actions).mean())

    def _step(self, actions: Sequence[Action], advantages: Sequence[float]) -> None:
        weights = self.posterior.sample(self._noise())
        loss = torch.zeros(())
        if self._settings.bayesian and self._settings.kl_weight > 0:
            divergence = self.posterior.divergence_from(self._prior, weights)
            loss = loss + self._settings.kl_weight * divergence
            self.figures["kl_prior"] = divergence.item()
        if self._settings.bayesian and self._settings.sharpening:
            at = weights.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._policy_loss(at, actions, advantages), at)
            rate = rate_for(gradient, self._settings.sharpening_divergence, sigma_0=_SIGMA_0)
            weights, cost = sharpen(weights, gradient, rate=rate, sigma_0=_SIGMA_0, noise=self._noise())
            # The rate is not learned, so this term of Eq. 16 has no gradient; it is only reported.
            self.figures["kl_sharpening"] = cost.item()
            step = _SIGMA_0 * math.sqrt(2 * cost.item())
            self.figures["sharpening_share"] = step / self.posterior.sigma.detach().norm().item()
        self._descend(loss + self._policy_loss(weights, actions, advantages))

    def _descend(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        with torch.no_grad():
            self.posterior.mu.mul_(1 - self._settings.weight_decay)

    def _policy_loss(self, weights: Tensor, actions: Sequence[Action], advantages: Sequence[float]) -> Tensor:
        # Eq. 5 ascends, the optimizer descends.
        return -(torch.tensor(advantages) * self._log_prob(weights, actions)).mean()

    def _log_prob(self, weights: Tensor, actions: Sequence[Action]) -> Tensor:
        """Return log P(a_1 ... a_T) of each sample under these weights, ``(n,)``."""
        tokens = torch.tensor(actions)
        policies = torch.func.functional_call(self._controller, dict(self.posterior.named(weights)), (tokens,))
        return torch.cat([policy.gather(1, tokens[:, [t]]) for t, policy in enumerate(policies)], 1).sum(1)

    def _noise(self) -> Tensor:
        if not self._settings.bayesian:
            return torch.zeros_like(self.posterior.mu)
        return torch.randn(self.posterior.mu.shape, generator=self._generator)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain types and tensors."""
        return copy.deepcopy(
            {
                "posterior": dict(self.posterior.state_dict()),
                "controller": dict(self._controller.state_dict()),
                "optimizer": self._optimizer.state_dict(),
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state."""
        state = copy.deepcopy(state)
        self.posterior.load_state_dict(state["posterior"])
        self._controller.load_state_dict(state["controller"])
        self._optimizer.load_state_dict(state["optimizer"])
