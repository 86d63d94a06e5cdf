"""The start of a search: decisions with few values are covered before the rest is left to the filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autoad_nni_strategies.spaces import Action

__all__ = ["Looks"]

_FEW = 5
_FAILED = 0.5


class Looks:
    """Counts how often each value of the decisions with few values was tried, and picks what has been tried least.

    Few are up to five: in the paper's space those of hypothesis, distance, kernels, pooling and normalization. What one
    of few values is worth shows in a trial or two, and all of them together need hardly more trials than one decision.

    A trial that failed counts half: it says little about its values, but one that always fails must not hold up the
    search.

    Args:
        n_choices: Number of choices of each decision.
        wanted: How many trials each value of those decisions is to have.

    Not in the paper, whose answer is curiosity.

    Example:
        >>> looks = Looks([2, 3], wanted=1)
        >>> looks.add((0, 1))
        >>> looks.pick([(0, 0), (0, 2), (1, 2)], 5, only_missing=True)
        [(1, 2), (0, 0)]
        >>> looks.is_complete
        True
    """

    def __init__(self, n_choices: Sequence[int], *, wanted: float) -> None:
        self._wanted = wanted
        self._counts = {t: [0.0] * n for t, n in enumerate(n_choices) if 1 < n <= _FEW}

    @property
    def is_complete(self) -> bool:
        """Whether every value that is to be covered has had its trials."""
        return all(count >= self._wanted for row in self._counts.values() for count in row)

    def add(self, action: Action, *, failed: bool = False) -> None:
        """Count a trial."""
        for t, row in self._counts.items():
            row[action[t]] += _FAILED if failed else 1.0

    def pick(self, candidates: Iterable[Action], n: int, *, only_missing: bool) -> list[Action]:
        """Return up to n candidates whose values were tried least, one after the other, and count them.

        Args:
            candidates: All different.
            n: How many.
            only_missing: Whether to stop when no candidate has a value that still lacks trials.
        """
        left, picked = list(candidates), list[Action]()
        while left and len(picked) < n:
            action = max(left, key=self._novelty)
            if only_missing and not self._is_missing(action):
                break
            left.remove(action)
            self.add(action)
            picked.append(action)
        return picked

    def _is_missing(self, action: Action) -> bool:
        return any(row[action[t]] < self._wanted for t, row in self._counts.items())

    def _novelty(self, action: Action) -> tuple[bool, float]:
        """Return whether a value lacks trials, and a sum over the decisions that falls with every trial of a value."""
        shares = (len(row) / (len(row) + sum(row)) / (1 + row[action[t]]) for t, row in self._counts.items())
        return self._is_missing(action), sum(shares)
