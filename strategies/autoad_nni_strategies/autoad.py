"""AutoAD's search loop (Section IV, Algorithm 1), without an engine."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from autoad_nni_strategies.ask_tell import IsValid, Result, Sample, measured
from autoad_nni_strategies.baseline import MovingBaseline
from autoad_nni_strategies.cover import Looks
from autoad_nni_strategies.curiosity import standardised
from autoad_nni_strategies.imagination import imagine
from autoad_nni_strategies.learner import Learner
from autoad_nni_strategies.predictor import RewardPredictor, normal_scores
from autoad_nni_strategies.replay import ReplayBuffer
from autoad_nni_strategies.settings import Settings
from autoad_nni_strategies.spaces import Action, Decision, described, neighbours, to_action, to_sample
from autoad_nni_strategies.untried import Untried

__all__ = ["SOURCES", "AutoAD"]

SOURCES = ("drawn", "cover", "filtered", "varied")
"""Where a candidate comes from: drawn from the policy, and tried as it came, to cover a value, or for its expected
improvement; or varied from one of the best, without the policy."""

# Drawing this many in one call takes the time of two or three: most of it goes into the T steps of the LSTM.
_DRAWS_PER_CALL = 16
_LEAST_DRAWS = 256
# With fewer results the predictor knows nothing; its time grows with their cube: 0.1 s per trial with 400.
_LEAST_TO_PREDICT, _MOST_TO_PREDICT = 10, 400


class AutoAD:
    r"""A recurrent controller that proposes samples, learns from their rewards, and imitates its best (Algorithm 1).

    Each iteration teaches the controller by imagined trials (`imagination`), draws its weights from their distribution
    (`posterior`) and M candidates from the policy, and keeps the n candidates with the highest expected improvement
    (`predictor`), which ``ask`` hands out. The first iterations prefer what has not been tried (`cover`). When n
    rewards have been told, it

    1. replaces each reward by the normal score of its rank, and adds the information gain of its sample (`curiosity`,
       Eq. 7);
    2. takes one step of Adam along REINFORCE on these sums (Eq. 5, 15, 16);
    3. takes several steps of self-imitation on the best samples so far (`replay`, Eq. 19), whose scores are clipped at
       zero;
    4. updates the moving baselines, which take the place of ranks with ``rank_rewards`` false: then advantages are
       r - b, and b is that of the rewards alone for the imitation.

    *Asking never waits.* When n are handed out and rewards are missing, the next n are drawn from the same policy; the
    filter takes its prediction for the results of those that are being tried. After each iteration what is left of
    them is dropped, and n are drawn anew. So if each sample is told before the next is asked for, a batch is what one
    policy drew; if several are tried at a time, up to as many of a batch are what the policy before it drew.

    *No sample is proposed twice, and none that the space rejects.* Constraints are met by resampling: up to 256 draws,
    or two for each candidate that is wanted, then the first new and valid candidate after the last draw in
    lexicographic order. If none is left (in a constrained space: none within 10,000 invalid steps), the search ends.

    *Failed trials.* A sample without a reward, or with one that is not finite or beyond 10^15, gets the lowest reward
    measured so far, its own batch included. Before the first measured reward it gets 0.0, which is replaced by that
    reward as soon as it is known.

    *Known results.* Samples that were not asked for go into the buffer, into the baseline that it is compared with,
    and to the predictor, and the buffer is imitated as after an iteration. REINFORCE and its baseline leave them out:
    the policy did not draw them.

    Args:
        settings: See `Settings`.
        decisions: Of the space.
        is_valid: Whether the constraints of the space allow a sample.

    Raises:
        ValueError: From ``ask``, if the constraints reject 256 draws and the 10,000 steps after the last of them.

    Differs from / not given by the paper: everything that `Settings` says is not given; candidates found by
    resampling or by the filter count as if the policy had drawn them at once. Imitation learns from the whole buffer,
    not from a part of it (line 19), and each of its steps is sharpened and held by the prior as those of REINFORCE
    are. The baseline of REINFORCE averages the rewards that it is given, intrinsic ones included. The outputs of the
    best candidates are not fed back (`controller`), and the likelihood of L_explore is weighted by advantages
    (`learner`). Fixed: the prior and sigma_0 (`posterior`), the step and the scale of the intrinsic reward
    (`curiosity`).

    Time: 50 to 60 ms per trial in a search of 100 trials over 20 decisions, half of them for the imagined trials. The
    predictor is fitted to at most 400 results, half of them the best and half the newest.

    Reference: "AutoAD", IEEE TNNLS 2022, Eq. 4 to 19, Algorithm 1, Section V-C; Williams 1992.

    Example:
        >>> search = AutoAD(Settings(seed=7, batch_size=3), (Decision("width", (8, 16, 32)),))
        >>> for _ in range(3):
        ...     (sample,) = search.ask(1)
        ...     search.tell([(sample, sample["width"] / 32)])
        >>> search.figures["best"], search.ask(1)
        (1.0, [])
    """

    def __init__(
        self, settings: Settings, decisions: tuple[Decision, ...], is_valid: IsValid = lambda sample: True
    ) -> None:
        self.settings = settings
        self.figures: dict[str, Any] | None = None
        """Numbers to plot of the iteration that the last ``tell`` completed; `AutoADStrategy` lists them."""
        self._decisions = decisions
        self._n_choices = [len(each.values) for each in decisions]
        self._untried = Untried(decisions, is_valid)
        self._generator = torch.Generator().manual_seed(settings.seed)
        # REINFORCE's baseline includes the intrinsic rewards, that of the replay does not: with one for both, curiosity
        # would raise every advantage, and make likelier whatever was drawn.
        self._baseline, self._curious_baseline = (
            MovingBaseline(decay=settings.baseline_decay, normalize=settings.normalize_advantage) for _ in range(2)
        )
        self._buffer = ReplayBuffer(settings.buffer_size)
        self._predictor = RewardPredictor(decisions)
        self._learner = Learner(self._n_choices, settings, self._generator)
        self._iteration = 0
        self._proposals: list[Action] = []
        """The candidates that are not handed out yet, best first."""
        self._told: list[tuple[Action, float | None]] = []
        """The results of this iteration, of which there are less than n."""
        self._sources: dict[Action, str] = {}
        """Where each candidate comes from that has no result yet."""
        self._failed: set[Action] = set()
        self._lowest: float | None = None
        self._best: float | None = None

    @property
    def pending(self) -> list[Sample]:
        """What was asked for and has no result yet, in the order of asking."""
        return [to_sample(self._decisions, action) for action in self._pending]

    @property
    def _pending(self) -> list[Action]:
        told = {action for action, _ in self._told}
        return [action for action, reward in self._untried.tried.items() if reward is None and action not in told]

    def ask(self, n: int) -> list[Sample]:
        """Return n samples to try; fewer if no more are left."""
        asked: list[Action] = []
        while len(asked) < n:
            self._proposals = self._proposals or self._propose()
            if not self._proposals:
                break
            action = self._proposals.pop(0)
            self._untried.tried[action] = None
            asked.append(action)
        return [to_sample(self._decisions, action) for action in asked]

    def tell(self, results: Iterable[Result]) -> None:
        """Take results, and learn: from each n that were asked for, and at once from those that were known before.

        Args:
            results: Samples of the space with their rewards; None for one that failed.

        Raises:
            ValueError: If a sample is not in the space. Nothing is changed then.
        """
        given = [(to_action(self._decisions, sample), measured(reward)) for sample, reward in results]
        pending = set(self._pending)
        known = [each for each in given if each[0] not in pending]
        self._told += [each for each in given if each[0] in pending]
        self.figures = None
        if known:
            self._learn_known(known)
        while len(self._told) >= self.settings.batch_size:
            batch, self._told = self._told[: self.settings.batch_size], self._told[self.settings.batch_size :]
            self._learn(batch)

    def _learn(self, results: list[tuple[Action, float | None]]) -> None:
        """Finish an iteration (lines 5 to 22 of Algorithm 1)."""
        actions, rewards = self._take(results)
        entropy = self._learner.entropy(actions)
        gains = self._learner.gains(actions) if self.settings.eta > 0 else [0.0] * len(actions)
        scores = self._scores(rewards)
        surprise = [self.settings.eta * gain for gain in standardised(gains)]
        curious = [score + more for score, more in zip(scores, surprise, strict=True)]
        self._learner.reinforce(actions, self._advantages(self._curious_baseline, curious))
        self._imitate(results)
        if self._lowest is not None:  # or stand-ins of 0.0 would pull the baselines away from the rewards
            self._baseline.update(rewards)
            self._curious_baseline.update(curious)
        self._draw_weights()
        self._iteration += 1
        self.figures = self._figures(
            failed=float(sum(reward is None for _, reward in results)),
            reward=math.fsum(rewards) / len(rewards),
            intrinsic=math.fsum(gains) / len(gains),
            curiosity=statistics.pstdev(surprise) / (statistics.pstdev(scores) or math.inf),
            entropy=entropy,
            mutual_information=self._learner.mutual_information(),
            **self._picks(actions),
        )

    def _picks(self, actions: list[Action]) -> dict[str, Any]:
        sources = [self._sources.pop(action) for action in actions]
        return {"sources": sources, **{f"picks_{each}": float(sources.count(each)) for each in SOURCES}}

    def _learn_known(self, results: list[tuple[Action, float | None]]) -> None:
        _, rewards = self._take(results)
        self._imitate(results)
        if self._lowest is not None:
            self._baseline.update(rewards)
        self._draw_weights()

    def _draw_weights(self) -> None:
        self._learner.draw_weights()
        for action in self._proposals:
            del self._sources[action]
        self._proposals = []

    def _take(self, results: list[tuple[Action, float | None]]) -> tuple[list[Action], list[float]]:
        """Note results, and return actions and rewards, those of failures stood in for."""
        actions = [action for action, _ in results]
        rewards = self._rewards_of([reward for _, reward in results])
        self._untried.tried.update(zip(actions, rewards, strict=True))
        self._failed.update(action for action, reward in results if reward is None)
        return actions, rewards

    def _propose(self) -> list[Action]:
        """Return up to n new and valid candidates, best first; none if the space is exhausted."""
        predicts = self._fit_predictor()
        imagined = self._imagine() if predicts else []
        drawn = list(dict.fromkeys([*imagined, *self._draw()]))
        n = self.settings.batch_size
        covering = self._cover(drawn, n, only_missing=predicts) if self.settings.cover else []
        left = [action for action in drawn if action not in set(covering)]
        varied = self._variations(set(drawn)) if predicts else []
        rest = self._best_of(left + varied) if predicts else left
        picked = [*covering, *rest][:n]
        chosen = "filtered" if predicts else "drawn"
        sources = dict.fromkeys(left, chosen) | dict.fromkeys(varied, "varied") | dict.fromkeys(covering, "cover")
        self._sources.update((action, sources[action]) for action in picked)
        return picked

    def _imagine(self) -> list[Action]:
        updates = self.settings.imagined_updates
        return imagine(self._learner, self._predictor, updates, self._untried.has) if updates else []

    def _draw(self) -> list[Action]:
        """Return the new and valid candidates among draws from the policy; without any, the next ones in order."""
        found: dict[Action, None] = {}
        wanted = self.settings.candidates
        per_call = max(_DRAWS_PER_CALL, wanted // 3)
        for _ in range(-(-max(_LEAST_DRAWS, 2 * wanted) // per_call)):
            for action in self._learner.sample(per_call):
                if len(found) < wanted and action not in found and self._untried.has(action):
                    found[action] = None
            if len(found) >= wanted:
                break
        missing = self.settings.batch_size - len(found)
        if missing > 0:
            found.update(dict.fromkeys(self._untried.after(action, missing, besides=found)))
        return list(found)

    def _cover(self, drawn: list[Action], n: int, *, only_missing: bool) -> list[Action]:
        looks = Looks(self._n_choices, wanted=self.settings.cover)
        for action in self._untried.tried:
            looks.add(action, failed=action in self._failed)
        return [] if only_missing and looks.is_complete else looks.pick(drawn, n, only_missing=only_missing)

    def _fit_predictor(self) -> bool:
        """Fit the predictor; return whether there is a filter, and results enough for it."""
        known = self._results()
        if self.settings.candidates <= self.settings.batch_size or len(known) < _LEAST_TO_PREDICT:
            return False
        if len(known) > _MOST_TO_PREDICT:  # half of them the best, half the newest
            old, new = known[: -_MOST_TO_PREDICT // 2], known[-_MOST_TO_PREDICT // 2 :]
            known = sorted(old, key=lambda entry: -entry[1])[: _MOST_TO_PREDICT - len(new)] + new
        self._predictor.fit([action for action, _ in known], [reward for _, reward in known])
        if pending := self._pending:
            self._predictor.believe(pending)
        return True

    def _best_of(self, candidates: list[Action]) -> list[Action]:
        """Return the candidates, the highest expected improvement first."""
        if not candidates:
            return []
        improvement = self._predictor.expected_improvement(candidates)
        return [candidates[i] for i in improvement.argsort(descending=True, stable=True).tolist()]

    def _results(self) -> list[tuple[Action, float]]:
        """Return all samples with a reward, and those of this iteration; for failures, the lowest so far."""
        learned = [(action, reward) for action, reward in self._untried.tried.items() if reward is not None]
        told = [(action, self._lowest if reward is None else reward) for action, reward in self._told]
        return learned + [(action, reward) for action, reward in told if reward is not None]

    def _variations(self, drawn: set[Action]) -> list[Action]:
        """Return the new and valid candidates that differ from one of the best samples in one decision."""
        varied: dict[Action, None] = {}
        for action, _ in self._buffer.entries[: self.settings.varied]:
            varied.update(dict.fromkeys(neighbours(self._decisions, action)))
        return [action for action in varied if action not in drawn and self._untried.has(action)]

    def _imitate(self, results: Iterable[tuple[Action, float | None]]) -> None:
        """Add the measured samples to the buffer, and learn from it (lines 13 to 22 of Algorithm 1)."""
        for action, reward in results:
            if reward is not None:
                self._buffer.add(action, reward)
        if not self._buffer.entries:
            return
        actions = [action for action, _ in self._buffer.entries]
        scores = self._scores([reward for _, reward in self._buffer.entries])
        advantages = [max(0.0, advantage) for advantage in self._advantages(self._baseline, scores)]
        for _ in range(self.settings.replay_updates):
            self._learner.imitate(actions, advantages)

    def _scores(self, rewards: Sequence[float]) -> list[float]:
        """Return what the controller learns from: the rewards, or the normal scores of their ranks."""
        if not self.settings.rank_rewards:
            return list(rewards)
        among = [reward for reward in self._untried.tried.values() if reward is not None]
        tensors = (torch.tensor(values, dtype=torch.float64) for values in (rewards, among))
        scores: list[float] = normal_scores(*tensors).tolist()
        return scores

    def _advantages(self, baseline: MovingBaseline, scores: Sequence[float]) -> list[float]:
        # Normal scores average 0 over all results, with a deviation of about 1.
        return list(scores) if self.settings.rank_rewards else baseline.advantages(scores)

    def _rewards_of(self, metrics: Sequence[float | None]) -> list[float]:
        """Return the metrics, with the lowest one so far in place of missing ones."""
        measured = [metric for metric in metrics if metric is not None]
        if measured:
            if self._lowest is None:  # all trials before failed
                self._lowest = min(measured)
                tried = self._untried.tried
                tried.update({a: self._lowest for a, reward in tried.items() if reward is not None})
            self._lowest = min(self._lowest, *measured)
            self._best = max(measured) if self._best is None else max(self._best, *measured)
        stand_in = 0.0 if self._lowest is None else self._lowest
        return [stand_in if metric is None else metric for metric in metrics]

    def _figures(self, **figures: Any) -> dict[str, Any]:
        kept = [reward for _, reward in self._buffer.entries]
        return {
            "iteration": float(self._iteration),
            "trials": float(len(self._untried.tried)),
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

    def state_dict(self) -> dict[str, Any]:
        """Return the state, in plain types and tensors; what is asked for and not told yet included."""
        state = copy.deepcopy(
            {
                **self._described(),
                "learner": self._learner.state_dict(),
                "predictor": self._predictor.state_dict(),
                "buffer": self._buffer.state_dict(),
                "generator": self._generator.get_state(),
                "baseline": self._baseline.state_dict(),
                "curious_baseline": self._curious_baseline.state_dict(),
                "iteration": self._iteration,
                "lowest": self._lowest,
                "best": self._best,
                "proposals": [list(action) for action in self._proposals],
                "told": [[list(action), reward] for action, reward in self._told],
                "sources": [[list(action), source] for action, source in self._sources.items()],
                "failed": sorted(list(action) for action in self._failed),
            }
        )
        # Not copied once more: it is all that was tried so far.
        return {**state, "tried": [[list(action), reward] for action, reward in self._untried.tried.items()]}

    def _described(self) -> dict[str, Any]:
        """Return what two searches have in common if one can go on from the other's state."""
        return {
            "settings": {name: value for name, value in vars(self.settings).items() if name != "seed"},
            "decisions": described(self._decisions),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state_dict: What `state_dict` returned, also after ``torch.save`` and ``torch.load(weights_only=True)``.

        Raises:
            ValueError: If it is no such state, or that of other settings (the seed aside) or of another space: other
                decisions, other values (compared by their repr), or another order of them. Nothing is changed then.
        """
        self._check(state_dict)
        state = copy.deepcopy(state_dict)
        self._learner.load_state_dict(state["learner"])
        self._predictor.load_state_dict(state["predictor"])
        self._buffer.load_state_dict(state["buffer"])
        self._generator.set_state(state["generator"])
        self._baseline.load_state_dict(state["baseline"])
        self._curious_baseline.load_state_dict(state["curious_baseline"])
        self._iteration, self._lowest, self._best = state["iteration"], state["lowest"], state["best"]
        self._proposals = [tuple(action) for action in state["proposals"]]
        self._told = [(tuple(action), reward) for action, reward in state["told"]]
        self._sources = {tuple(action): source for action, source in state["sources"]}
        self._failed = {tuple(action) for action in state["failed"]}
        self._untried.tried = {tuple(action): reward for action, reward in state["tried"]}

    def _check(self, state_dict: dict[str, Any]) -> None:
        own = self.state_dict()
        if not isinstance(state_dict, dict) or state_dict.keys() != own.keys():
            found = sorted(state_dict) if isinstance(state_dict, dict) else repr(state_dict)
            raise ValueError(f"The state has {found}. Expected {sorted(own)}: give what state_dict() returned.")
        for name, value in own["settings"].items():
            recorded = state_dict["settings"].get(name)
            if recorded != value:
                raise ValueError(
                    f"The state is of a search with {name} = {recorded!r}, but this strategy has {value!r}. Resume "
                    "with the settings of that search, or start anew."
                )
        if state_dict["decisions"] != own["decisions"]:
            raise ValueError(
                f"The state is of a search over {state_dict['decisions']} (label, values), but this space has "
                f"{own['decisions']}. Resume with the space of that search, or start anew."
            )
