"""Local search: the best sample so far, changed in one choice."""

from __future__ import annotations

import random

from autoad_nni_strategies.ask_tell import Sample
from autoad_nni_strategies.extras import whole
from autoad_nni_strategies.guarded import Guarded
from autoad_nni_strategies.spaces import Action, Decision, neighbours, to_action, to_sample
from autoad_nni_strategies.strategy import AskTellStrategy

__all__ = ["LocalSearch", "local_search"]


def local_search(*, seed: int, n_startup_trials: int = 10) -> AskTellStrategy:
    """Try the samples that differ from the best one in one choice; see `LocalSearch`.

    Args:
        seed: Seed of the order in which they are tried.
        n_startup_trials: Random samples at the start.

    Raises:
        ValueError: If an argument is out of its range.
    """
    n_startup_trials = whole("n_startup_trials", n_startup_trials)
    return AskTellStrategy(
        lambda decisions, is_valid: Guarded(
            LocalSearch(decisions, seed=seed, n_startup_trials=n_startup_trials), decisions, is_valid
        )
    )


class LocalSearch:
    """Proposes neighbours of the best sample so far, in random order; of the next best, when it has no new ones.

    A neighbour differs in one choice. As soon as one is better, the search goes on from there.

    Args:
        decisions: Of the space.
        seed: Seed of all randomness.
        n_startup_trials: Random samples at the start.

    Example:
        >>> search = LocalSearch((Decision("width", (8, 16)), Decision("depth", (1, 2))), seed=0, n_startup_trials=1)
        >>> search.tell([({"width": 16, "depth": 2}, 0.9)])
        >>> sorted(sample["width"] for sample in search.ask(2))
        [8, 16]
    """

    def __init__(self, decisions: tuple[Decision, ...], *, seed: int, n_startup_trials: int) -> None:
        self._decisions = decisions
        self._random = random.Random(seed)
        self._n_startup_trials = n_startup_trials
        self._seen: set[Action] = set()
        self._rewards: dict[Action, float] = {}

    def ask(self, n: int) -> list[Sample]:
        """Return n samples."""
        actions = [self._ask_one() for _ in range(n)]
        return [to_sample(self._decisions, action) for action in actions]

    def _ask_one(self) -> Action:
        action = self._neighbour() if len(self._seen) >= self._n_startup_trials else None
        action = action or tuple(self._random.randrange(len(each.values)) for each in self._decisions)
        self._seen.add(action)
        return action

    def _neighbour(self) -> Action | None:
        """Return a new neighbour of the best sample that has one; None if no sample has."""
        for action in sorted(self._rewards, key=lambda action: -self._rewards[action]):
            if new := [near for near in neighbours(self._decisions, action) if near not in self._seen]:
                return self._random.choice(new)
        return None

    def tell(self, results: list[tuple[Sample, float]]) -> None:
        """Take rewards."""
        for sample, reward in results:
            action = to_action(self._decisions, sample)
            self._seen.add(action)
            self._rewards[action] = reward
