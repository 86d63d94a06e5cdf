"""AutoAD's search loop: sample, train, reinforce (Section IV-B, lines 5 to 16 of Algorithm 1)."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from nni.nas.execution import ExecutionEngine
from nni.nas.space import ExecutableModelSpace
from nni.nas.strategy.base import Strategy

from autoad_nni_strategies.baseline import MovingBaseline
from autoad_nni_strategies.controller import Controller
from autoad_nni_strategies.settings import settings_from
from autoad_nni_strategies.spaces import Action, decisions_of, size_of, successor, to_sample

__all__ = ["AutoADStrategy"]

_logger = logging.getLogger(__name__)

# One call draws this many at the price of two or three: most of the time goes into the T steps of the LSTM.
_DRAWS_PER_CALL = 16
_MAX_CALLS = 16
_MAX_INVALID_STEPS = 10_000


class AutoADStrategy(Strategy):  # type: ignore[misc]  # nni ships no types
    r"""An LSTM controller that writes candidates and learns by REINFORCE which of them are good.

    .. math:: \nabla_\theta J \approx \frac{1}{n} \sum_{k=1}^{n} \sum_{t=1}^{T}
        (r_k - b) \nabla_\theta \log P(a_t | a_{1:t-1}; \theta)

    Each iteration samples n candidates from the same policy, submits them, waits for all their rewards, takes one step
    of Adam along the gradient, and moves the baseline b. The last iteration is smaller when the budget ends. All
    happens in the thread that calls ``run``; what is proposed next depends on the seed, the space and the rewards in
    the order of submission, not on the order or the time of their arrival. While a batch ends, workers may be idle:
    choose ``batch_size`` a multiple of the number of parallel trials.

    *No candidate is submitted twice, and none that the space rejects.* Constraints are met by resampling: up to 256
    draws, then the first new and valid candidate after the last draw in lexicographic order. When there is none left
    (for a constrained space: none within 10,000 invalid steps), the search is finished.

    *Failed trials.* A model without a metric, or with one that is not finite, is given the lowest reward measured so
    far, that of its own batch included; 0.0 before the first measured one.

    Args:
        seed: Seed of all randomness. Same seed, space and rewards: same samples, also in another process. Torch's
            global generator is neither read nor changed.
        preset: ``default`` or ``paper``; see `PRESETS`. The next four arguments replace single values of it.
        batch_size: Candidates per iteration (n).
        learning_rate: Adam's step size.
        baseline_decay: Decay of the moving average b.
        normalize_advantage: Whether to divide r - b by its running deviation.
        on_iteration: Called in the thread of ``run`` after each iteration with numbers to plot: ``iteration`` (from 1),
            ``trials`` (submitted so far), ``failed`` and ``reward`` (count and mean over this batch), ``best`` (NaN
            before the first measured reward), ``baseline``, ``entropy`` (of the policy that drew the batch, in nats).
            May be set later, as an attribute.

    Raises:
        ValueError: If an argument is out of its range. Later, ``initialize`` raises TypeError on a mutable that is not
            categorical, ``run`` ValueError when the constraints leave nothing to submit.

    Differs from / not given by the paper: n, the decay of b and its start (see `MovingBaseline`) are not given;
    learning rate, decay and normalised advantage of the default preset were measured at 100 trials, together with
    self-imitation, which is not here; candidates found by resampling count as if the policy had drawn them at once.

    Reference: "AutoAD", IEEE TNNLS 2022, Eq. 4 and 5, Section V-C; Williams 1992.

    Example:
        >>> AutoADStrategy(seed=7, preset="paper")
        AutoADStrategy(seed=7, batch_size=5, learning_rate=0.00035, baseline_decay=0.99, normalize_advantage=False)
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        preset: str = "default",
        batch_size: int | None = None,
        learning_rate: float | None = None,
        baseline_decay: float | None = None,
        normalize_advantage: bool | None = None,
        on_iteration: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings_from(
            preset,
            seed=seed,
            batch_size=batch_size,
            learning_rate=learning_rate,
            baseline_decay=baseline_decay,
            normalize_advantage=normalize_advantage,
        )
        self.on_iteration = on_iteration
        self._generator = torch.Generator().manual_seed(self.settings.seed)
        self._baseline = MovingBaseline(decay=self.settings.baseline_decay, normalize=self.settings.normalize_advantage)
        self._iteration = 0
        self._tried: dict[Action, None] = {}
        self._lowest: float | None = None
        self._best: float | None = None
        # NNI's training-service engine keeps weak references only, so without these list_models() would forget them.
        self._models: list[ExecutableModelSpace] = []
        self._state: dict[str, Any] | None = None

    def extra_repr(self) -> str:
        """Returns the settings."""
        return ", ".join(f"{name}={value!r}" for name, value in vars(self.settings).items())

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        self._decisions = decisions_of(model_space)
        self._controller = Controller([len(each.values) for each in self._decisions], generator=self._generator)
        self._optimizer = torch.optim.Adam(self._controller.parameters(), lr=self.settings.learning_rate)
        self._state = self._capture()
        return model_space

    def _run(self) -> None:
        while batch := self._submit_batch():
            self.engine.wait_models(*(model for _, model in batch))
            metrics = [_metric_of(model) for _, model in batch]
            rewards = self._rewards_of(metrics)
            advantages = self._baseline.advantages(rewards)
            entropy = self._reinforce([action for action, _ in batch], advantages)
            self._baseline.update(rewards)
            self._finish_iteration(rewards, failed=metrics.count(None), entropy=entropy)

    def _submit_batch(self) -> list[tuple[Action, ExecutableModelSpace]]:
        """Submits up to n new candidates; fewer if the budget or the space ends."""
        batch: list[tuple[Action, ExecutableModelSpace]] = []
        while len(batch) < self.settings.batch_size and self.wait_for_resource():
            action = self._propose()
            if action is None:
                _logger.info("No untried candidate is left after %d. The search is finished.", len(self._tried))
                break
            model = self.model_space.freeze(to_sample(self._decisions, action))
            self._tried[action] = None
            self._models.append(model)
            batch.append((action, model))
            self.engine.submit_models(model)
        return batch

    def _propose(self) -> Action | None:
        """Draws a new, valid candidate; None if none is left."""
        for _ in range(_MAX_CALLS):
            for action in map(tuple, self._controller.sample(_DRAWS_PER_CALL, self._generator).tolist()):
                if self._is_new(action):
                    return action
        # Of len(tried) + 1 different candidates one is untried, so without constraints this always finds one.
        for _ in range(min(size_of(self._decisions), len(self._tried) + 1 + _MAX_INVALID_STEPS)):
            action = successor(self._decisions, action)
            if self._is_new(action):
                return action
        if not self._tried:
            raise ValueError(
                "The model space rejects every sample drawn. Expected constraints that leave some: loosen them."
            )
        return None

    def _is_new(self, action: Action) -> bool:
        return action not in self._tried and self.model_space.contains(to_sample(self._decisions, action))

    def _rewards_of(self, metrics: Sequence[float | None]) -> list[float]:
        """Returns the metrics with the lowest one so far in place of those that are missing."""
        measured = [metric for metric in metrics if metric is not None]
        if measured:
            self._lowest = min(measured) if self._lowest is None else min(self._lowest, *measured)
            self._best = max(measured) if self._best is None else max(self._best, *measured)
        stand_in = 0.0 if self._lowest is None else self._lowest
        return [stand_in if metric is None else metric for metric in metrics]

    def _reinforce(self, actions: Sequence[Action], advantages: Sequence[float]) -> float:
        """Takes one step along Eq. 5; returns the entropy of the policy before it."""
        tokens = torch.tensor(actions)
        with torch.no_grad():
            entropy = self._controller.entropy(tokens).sum(1).mean().item()
        # Eq. 5 ascends, the optimizer descends.
        loss = -(torch.tensor(advantages) * self._controller.log_prob(tokens).sum(1)).mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return entropy

    def _finish_iteration(self, rewards: Sequence[float], *, failed: int, entropy: float) -> None:
        self._iteration += 1
        self._state = self._capture()
        if self.on_iteration is None:
            return
        self.on_iteration(
            {
                "iteration": float(self._iteration),
                "trials": float(len(self._tried)),
                "failed": float(failed),
                "reward": math.fsum(rewards) / len(rewards),
                "best": math.nan if self._best is None else self._best,
                "baseline": math.nan if self._baseline.value is None else self._baseline.value,
                "entropy": entropy,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns the state at the end of the last iteration, in plain types and tensors.

        A strategy with the same arguments, initialised with the same space, that loads it goes on bit for bit. An
        iteration under way is not in it: its candidates are proposed again.

        Raises:
            RuntimeError: Before ``initialize``.
        """
        if self._state is None:
            raise RuntimeError(
                "The strategy has no state yet. Expected initialize() before state_dict(): call it first."
            )
        return copy.deepcopy(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state; to be called between ``initialize`` and ``run``.

        Args:
            state_dict: What `state_dict` returned, also after ``torch.save`` and ``torch.load(weights_only=True)``.

        Raises:
            RuntimeError: Before ``initialize``.
            ValueError: If the state belongs to another space.
        """
        if self._state is None:
            raise RuntimeError(
                "The strategy has no space yet. Expected initialize() before load_state_dict(): call it first."
            )
        if state_dict["decisions"] != self._state["decisions"]:
            raise ValueError(
                f"The state is of a search over {state_dict['decisions']} (label, number of choices), but this space "
                f"has {self._state['decisions']}. Resume with the space of that search, or start anew."
            )
        state = copy.deepcopy(state_dict)
        self._controller.load_state_dict(state["controller"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._baseline.load_state_dict(state["baseline"])
        self._iteration, self._lowest, self._best = state["iteration"], state["lowest"], state["best"]
        self._tried = {tuple(action): None for action in state["tried"]}
        self._state = self._capture()

    def _capture(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "decisions": [[each.label, len(each.values)] for each in self._decisions],
                "controller": dict(self._controller.state_dict()),
                "optimizer": self._optimizer.state_dict(),
                "generator": self._generator.get_state(),
                "baseline": self._baseline.state_dict(),
                "iteration": self._iteration,
                "lowest": self._lowest,
                "best": self._best,
                "tried": [list(action) for action in self._tried],
            }
        )


def _metric_of(model: ExecutableModelSpace) -> float | None:
    """Returns the final metric if there is one and it is finite."""
    value = math.nan if model.metric is None else float(model.metric)
    return value if math.isfinite(value) else None
