"""AutoAD's search loop (Section IV, Algorithm 1)."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from nni.nas.execution import ExecutionEngine
from nni.nas.space import ExecutableModelSpace
from nni.nas.strategy.base import Strategy

from autoad_nni_strategies.baseline import MovingBaseline
from autoad_nni_strategies.curiosity import InformationGain
from autoad_nni_strategies.learner import Learner
from autoad_nni_strategies.predictor import RewardPredictor
from autoad_nni_strategies.replay import ReplayBuffer
from autoad_nni_strategies.settings import settings_from
from autoad_nni_strategies.spaces import Action, decisions_of, size_of, successor, to_action, to_sample

__all__ = ["AutoADStrategy"]

_logger = logging.getLogger(__name__)

# Drawing this many in one call takes the time of two or three: most of it goes into the T steps of the LSTM.
_DRAWS_PER_CALL = 16
_MAX_CALLS = 16
_MAX_INVALID_STEPS = 10_000
# Sums of squares of larger ones overflow 32 bits.
_LARGEST_METRIC = 1e15
# With fewer results the predictor knows nothing; its time grows with their cube: 0.1 s per trial with 400.
_LEAST_TO_PREDICT, _MOST_TO_PREDICT = 10, 400


class AutoADStrategy(Strategy):  # type: ignore[misc]  # nni ships no types
    r"""A recurrent controller that proposes samples, learns from their rewards, and imitates its best (Algorithm 1).

    Each iteration draws the controller's weights from their distribution (`posterior`) and M candidates from the
    policy, keeps the n candidates with the highest expected improvement (`predictor`), submits these, waits for all
    their rewards, and then

    1. adds to each reward the information gain of its sample (`curiosity`, Eq. 7);
    2. takes one step of Adam along REINFORCE with a moving baseline of these sums (Eq. 5, 15, 16);
    3. takes several steps of self-imitation on the best samples so far (`replay`, Eq. 19), whose advantages r - b are
       clipped at zero, where b is the moving baseline of the rewards alone;
    4. updates both baselines.

    The last iteration is smaller if the budget ends in it. Everything runs in the thread that calls ``run``. What is
    proposed next depends on the seed, the space and the rewards in order of submission, not on when or in which order
    they arrive. At the end of a batch workers may be idle: choose ``batch_size`` as a multiple of the number of
    parallel trials.

    *No sample is submitted twice, and none that the space rejects.* Constraints are met by resampling: up to 256
    draws, then the first new and valid candidate after the last draw in lexicographic order. If none is left (in a
    constrained space: none within 10,000 invalid steps), the search ends.

    *Failed trials.* A model without a metric, or with one that is not finite or beyond 10^15, gets the lowest reward
    measured so far, its own batch included. Before the first measured reward it gets 0.0, which is replaced by that
    reward as soon as it is known.

    Args:
        seed: Seed of all randomness. Same seed, space and rewards: same samples, also in another process. Torch's
            global generator is neither read nor changed.
        preset: ``default`` or ``paper``; see `PRESETS`.
        on_iteration: Called in the thread of ``run`` after each iteration with numbers to plot: ``iteration`` (from 1),
            ``trials`` (submitted so far), ``failed`` and ``reward`` (count and mean over this batch), ``best`` (NaN
            before the first measured reward), ``baseline``, ``intrinsic`` (mean scaled information gain),
            ``kl_prior``, ``kl_sharpening``, ``entropy`` (of the policy that drew the batch, in nats), ``imitated``
            (samples in the buffer), ``buffer_min``, ``buffer_mean`` and ``buffer_max`` (their rewards; NaN while
            there are none); and with ``buffer``, these samples themselves, best first, as a list of
            ``{"reward": ..., "sample": {label: value}}``. May be set later, as an attribute.
        batch_size: This and all that follow are described at `Settings`; None is the preset's value.

    Raises:
        ValueError: If an argument is out of its range. Later, ``initialize`` raises TypeError on a mutable that is not
            categorical, and ``run`` raises ValueError if the constraints reject 256 draws and the 10,000 steps after
            the last of them.

    Differs from / not given by the paper: shared child weights (Eq. 3) are up to the trials, not to the strategy;
    everything that `Settings` says is not given; candidates found by resampling or by the filter count as if the
    policy had drawn them at once. Imitation learns from the whole buffer, not from a part of it (line 19), and each of
    its steps is sharpened and held by the prior as those of REINFORCE are. The baseline of REINFORCE averages the
    rewards that it is given, intrinsic ones included. The outputs of the best candidates are not fed back
    (`controller`), and the likelihood of L_explore is weighted by advantages (`learner`). Fixed: the prior and sigma_0
    (`posterior`), the step and the scale of the intrinsic reward (`curiosity`).

    Time: 25 to 30 ms per trial in a search of 200 trials over 20 decisions, more towards its end. The predictor is
    fitted to at most 400 results, half of them the best and half the newest.

    Reference: "AutoAD", IEEE TNNLS 2022, Eq. 4 to 19, Algorithm 1, Section V-C; Williams 1992.

    Example:
        >>> AutoADStrategy(seed=7, preset="paper").settings.learning_rate
        0.00035
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        preset: str = "default",
        on_iteration: Callable[[dict[str, Any]], None] | None = None,
        batch_size: int | None = None,
        candidates: int | None = None,
        varied: int | None = None,
        learning_rate: float | None = None,
        baseline_decay: float | None = None,
        normalize_advantage: bool | None = None,
        eta: float | None = None,
        buffer_size: int | None = None,
        replay_updates: int | None = None,
        bayesian: bool | None = None,
        sharpening: bool | None = None,
        sharpening_rate: float | None = None,
        initial_sigma: float | None = None,
        kl_weight: float | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings_from(
            preset,
            seed=seed,
            batch_size=batch_size,
            candidates=candidates,
            varied=varied,
            learning_rate=learning_rate,
            baseline_decay=baseline_decay,
            normalize_advantage=normalize_advantage,
            eta=eta,
            buffer_size=buffer_size,
            replay_updates=replay_updates,
            bayesian=bayesian,
            sharpening=sharpening,
            sharpening_rate=sharpening_rate,
            initial_sigma=initial_sigma,
            kl_weight=kl_weight,
        )
        self.on_iteration = on_iteration
        self._generator = torch.Generator().manual_seed(self.settings.seed)
        # REINFORCE's baseline includes the intrinsic rewards, that of the replay does not: with one for both, curiosity
        # would raise every advantage, and make likelier whatever was drawn.
        self._baseline, self._curious_baseline = (
            MovingBaseline(decay=self.settings.baseline_decay, normalize=self.settings.normalize_advantage)
            for _ in range(2)
        )
        self._gains = InformationGain()
        self._buffer = ReplayBuffer(self.settings.buffer_size)
        self._iteration = 0
        self._tried: dict[Action, float | None] = {}
        """Every submitted sample with its reward; None until it has one."""
        self._lowest: float | None = None
        self._best: float | None = None
        # NNI's training-service engine keeps weak references only, so without these list_models() would forget them.
        self._models: list[ExecutableModelSpace] = []
        self._state: dict[str, Any] | None = None

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join(f"{name}={value!r}" for name, value in vars(self.settings).items())

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        self._decisions = decisions_of(model_space)
        self._n_choices = [len(each.values) for each in self._decisions]
        self._predictor = RewardPredictor(self._decisions)
        self._learner = Learner(self._n_choices, self.settings, self._generator)
        self._state = self._capture()
        return model_space

    def _run(self) -> None:
        while batch := self._submit_batch():
            self.engine.wait_models(*(model for _, model in batch))
            actions = [action for action, _ in batch]
            metrics = [_measured(model.metric) for _, model in batch]
            rewards = self._rewards_of(metrics)
            self._tried.update(zip(actions, rewards, strict=True))
            entropy = self._learner.entropy(actions)
            is_curious = self.settings.eta > 0
            intrinsic = self._gains.scaled(self._learner.gains(actions)) if is_curious else [0.0] * len(batch)
            curious = [r + self.settings.eta * gain for r, gain in zip(rewards, intrinsic, strict=True)]
            self._learner.reinforce(actions, self._curious_baseline.advantages(curious))
            self._imitate(zip(actions, metrics, strict=True))
            if self._lowest is not None:  # or stand-ins of 0.0 would pull the baselines away from the rewards
                self._baseline.update(rewards)
                self._curious_baseline.update(curious)
            self._learner.draw_weights()
            self._finish_iteration(
                {
                    "failed": float(metrics.count(None)),
                    "reward": math.fsum(rewards) / len(rewards),
                    "intrinsic": math.fsum(intrinsic) / len(intrinsic),
                    "entropy": entropy,
                }
            )

    def learn(self, results: Iterable[tuple[Mapping[str, Any], float | None]]) -> None:
        """Learn from samples that were tried before the search; to be called between ``initialize`` and ``run``.

        They are proposed no more; their rewards go into the buffer, into the baseline that it is compared with, and to
        the predictor, and the buffer is imitated as after an iteration. REINFORCE and its baseline leave them out: the
        policy did not draw them.

        Args:
            results: Samples of the space with their rewards; None for one that failed.

        Raises:
            RuntimeError: Before ``initialize``.
            ValueError: If a sample is not in the space. Nothing is changed then.

        Example:
            >>> from nni.mutable import Categorical, MutableList
            >>> from nni.nas.execution import SequentialExecutionEngine
            >>> from nni.nas.space import RawFormatModelSpace
            >>> space = RawFormatModelSpace(MutableList([Categorical([8, 16], label="width")]), None)
            >>> strategy = AutoADStrategy()
            >>> _ = strategy.initialize(space, SequentialExecutionEngine())
            >>> strategy.learn([({"width": 16}, 0.9)])
            >>> strategy.state_dict()["buffer"]
            [[[1], 0.9]]
        """
        if self._state is None:
            raise RuntimeError("The strategy has no space yet. Expected initialize() before learn(): call it first.")
        given = [(to_action(self._decisions, sample), _measured(reward)) for sample, reward in results]
        if not given:
            return
        actions, metrics = [action for action, _ in given], [metric for _, metric in given]
        rewards = self._rewards_of(metrics)
        self._tried.update(zip(actions, rewards, strict=True))
        self._imitate(given)
        if self._lowest is not None:
            self._baseline.update(rewards)
        self._learner.draw_weights()
        self._state = self._capture()

    def _submit_batch(self) -> list[tuple[Action, ExecutableModelSpace]]:
        """Submit up to n new candidates, fewer if the budget or the space ends."""
        batch: list[tuple[Action, ExecutableModelSpace]] = []
        proposals: list[Action] = []
        while len(batch) < self.settings.batch_size and self.wait_for_resource():
            if not batch:
                proposals = self._propose()
            if len(batch) == len(proposals):
                break
            action = proposals[len(batch)]
            model = self.model_space.freeze(to_sample(self._decisions, action))
            self._tried[action] = None
            self._models.append(model)
            batch.append((action, model))
            self.engine.submit_models(model)
        return batch

    def _propose(self) -> list[Action]:
        """Return up to n new and valid candidates, best first; none if the space is exhausted."""
        found: dict[Action, None] = {}
        wanted = self.settings.candidates
        for _ in range(max(_MAX_CALLS, -(-wanted // _DRAWS_PER_CALL))):
            for action in self._learner.sample(_DRAWS_PER_CALL):
                if len(found) < wanted and action not in found and self._is_new(action):
                    found[action] = None
            if len(found) >= wanted:
                break
        # Of len(tried) + n different candidates n are untried, so without constraints this always finds them.
        missing = self.settings.batch_size - len(found)
        n_all, n_steps = size_of(self._decisions), len(self._tried) + missing + _MAX_INVALID_STEPS
        for _ in range(min(n_all, n_steps)):
            if len(found) >= self.settings.batch_size:
                break
            action = successor(self._decisions, action)
            if action not in found and self._is_new(action):
                found[action] = None
        if not found and not self._tried:
            raise ValueError(
                f"The model space rejects every sample drawn, and the {_MAX_INVALID_STEPS:,} after the last one. "
                "Expected constraints that leave more: loosen them."
            )
        if not found and n_all <= n_steps:
            _logger.info("All %d valid samples of the space have been tried. The search ends.", len(self._tried))
        elif not found:
            _logger.warning(
                "The search ends after %d candidates: all drawn, and the %d after the last one, were rejected by the "
                "constraints or tried before. Loosen the constraints to go on.", len(self._tried), n_steps,
            )  # fmt: skip
        return self._filter(list(found))[: self.settings.batch_size]

    def _filter(self, candidates: list[Action]) -> list[Action]:
        """Return the candidates and variations of the best samples, the highest expected improvement first."""
        known = [(action, reward) for action, reward in self._tried.items() if reward is not None]
        if len(candidates) <= self.settings.batch_size or len(known) < _LEAST_TO_PREDICT:
            return candidates
        if len(known) > _MOST_TO_PREDICT:  # half of them the best, half the newest
            old, new = known[: -_MOST_TO_PREDICT // 2], known[-_MOST_TO_PREDICT // 2 :]
            known = sorted(old, key=lambda entry: -entry[1])[: _MOST_TO_PREDICT - len(new)] + new
        self._predictor.fit([action for action, _ in known], [reward for _, reward in known])
        candidates = candidates + self._variations(set(candidates))
        improvement = self._predictor.expected_improvement(candidates)
        return [candidates[i] for i in improvement.argsort(descending=True, stable=True).tolist()]

    def _variations(self, drawn: set[Action]) -> list[Action]:
        """Return the new and valid candidates that differ from one of the best samples in one decision."""
        varied: dict[Action, None] = {}
        for action, _ in self._buffer.entries[: self.settings.varied]:
            for t, n_choices in enumerate(self._n_choices):
                varied.update(dict.fromkeys((*action[:t], choice, *action[t + 1 :]) for choice in range(n_choices)))
        return [action for action in varied if action not in drawn and self._is_new(action)]

    def _imitate(self, results: Iterable[tuple[Action, float | None]]) -> None:
        """Add the measured samples to the buffer, and learn from it (lines 13 to 22 of Algorithm 1)."""
        for action, reward in results:
            if reward is not None:
                self._buffer.add(action, reward)
        if not self._buffer.entries:
            return
        actions = [action for action, _ in self._buffer.entries]
        advantages = [max(0.0, a) for a in self._baseline.advantages([reward for _, reward in self._buffer.entries])]
        for _ in range(self.settings.replay_updates):
            self._learner.imitate(actions, advantages)

    def _is_new(self, action: Action) -> bool:
        return action not in self._tried and self.model_space.contains(to_sample(self._decisions, action))

    def _rewards_of(self, metrics: Sequence[float | None]) -> list[float]:
        """Return the metrics, with the lowest one so far in place of missing ones."""
        measured = [metric for metric in metrics if metric is not None]
        if measured:
            if self._lowest is None:  # all trials before failed
                self._lowest = min(measured)
                self._tried = {a: None if reward is None else self._lowest for a, reward in self._tried.items()}
            self._lowest = min(self._lowest, *measured)
            self._best = max(measured) if self._best is None else max(self._best, *measured)
        stand_in = 0.0 if self._lowest is None else self._lowest
        return [stand_in if metric is None else metric for metric in metrics]

    def _finish_iteration(self, figures: dict[str, float]) -> None:
        self._iteration += 1
        self._state = self._capture()
        if self.on_iteration is None:
            return
        kept = [reward for _, reward in self._buffer.entries]
        self.on_iteration(
            {
                "iteration": float(self._iteration),
                "trials": float(len(self._tried)),
                "best": math.nan if self._best is None else self._best,
                "baseline": math.nan if self._baseline.value is None else self._baseline.value,
                "imitated": float(len(kept)),
                "buffer_min": min(kept, default=math.nan),
                "buffer_mean": math.fsum(kept) / len(kept) if kept else math.nan,
                "buffer_max": max(kept, default=math.nan),
                **figures,
                **self._learner.figures,
                "buffer": [
                    {"reward": reward, "sample": to_sample(self._decisions, action)}
                    for action, reward in self._buffer.entries
                ],
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state at the end of the last iteration, in plain types and tensors.

        A strategy with the same arguments, initialised with the same space, that loads it continues bit for bit. An
        unfinished iteration is not included: its samples are proposed again.

        Raises:
            RuntimeError: Before ``initialize``.
        """
        if self._state is None:
            raise RuntimeError(
                "The strategy has no state yet. Expected initialize() before state_dict(): call it first."
            )
        return copy.deepcopy(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state; to be called between ``initialize`` and ``run``.

        Args:
            state_dict: What `state_dict` returned, also after ``torch.save`` and ``torch.load(weights_only=True)``.

        Raises:
            RuntimeError: Before ``initialize``.
            ValueError: If it is no such state, or that of other settings (the seed aside) or of another space: other
                decisions, other values (compared by their repr), or another order of them. Nothing is changed then.
        """
        if self._state is None:
            raise RuntimeError(
                "The strategy has no space yet. Expected initialize() before load_state_dict(): call it first."
            )
        if not isinstance(state_dict, dict) or state_dict.keys() != self._state.keys():
            found = sorted(state_dict) if isinstance(state_dict, dict) else repr(state_dict)
            raise ValueError(f"The state has {found}. Expected {sorted(self._state)}: give what state_dict() returned.")
        for name, value in self._state["settings"].items():
            recorded = state_dict["settings"].get(name)
            if recorded != value:
                raise ValueError(
                    f"The state is of a search with {name} = {recorded!r}, but this strategy has {value!r}. Resume "
                    "with the settings of that search, or start anew."
                )
        if state_dict["decisions"] != self._state["decisions"]:
            raise ValueError(
                f"The state is of a search over {state_dict['decisions']} (label, values), but this space has "
                f"{self._state['decisions']}. Resume with the space of that search, or start anew."
            )
        state = copy.deepcopy(state_dict)
        self._learner.load_state_dict(state["learner"])
        self._gains.load_state_dict(state["gains"])
        self._predictor.load_state_dict(state["predictor"])
        self._buffer.load_state_dict(state["buffer"])
        self._generator.set_state(state["generator"])
        self._baseline.load_state_dict(state["baseline"])
        self._curious_baseline.load_state_dict(state["curious_baseline"])
        self._iteration, self._lowest, self._best = state["iteration"], state["lowest"], state["best"]
        self._tried = {tuple(action): reward for action, reward in state["tried"]}
        self._state = self._capture()

    def _capture(self) -> dict[str, Any]:
        state = copy.deepcopy(
            {
                "settings": {name: value for name, value in vars(self.settings).items() if name != "seed"},
                "decisions": [[each.label, *map(repr, each.values)] for each in self._decisions],
                "learner": self._learner.state_dict(),
                "gains": self._gains.state_dict(),
                "predictor": self._predictor.state_dict(),
                "buffer": self._buffer.state_dict(),
                "generator": self._generator.get_state(),
                "baseline": self._baseline.state_dict(),
                "curious_baseline": self._curious_baseline.state_dict(),
                "iteration": self._iteration,
                "lowest": self._lowest,
                "best": self._best,
            }
        )
        # Not copied once more: after each iteration it is all that was tried so far.
        return {**state, "tried": [[list(action), reward] for action, reward in self._tried.items()]}


def _measured(metric: float | None) -> float | None:
    """Return a final metric, or None if it is missing, not finite or too large."""
    value = math.nan if metric is None else float(metric)
    return value if abs(value) <= _LARGEST_METRIC else None
