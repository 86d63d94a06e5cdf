"""A search algorithm as the strategy that drives it sees it: it is asked for samples, and told their rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

__all__ = ["AskTell", "IsValid", "Proposer", "Result", "Sample", "measured"]

Sample = dict[str, Any]
"""A value for each label."""
Result = tuple[Mapping[str, Any], float | None]
"""A sample with its reward; None for one whose trial failed."""
IsValid = Callable[[Sample], bool]
"""Says whether the constraints of a space allow a sample."""

# Sums of squares of larger ones overflow 32 bits.
_LARGEST_REWARD = 1e15


class AskTell(Protocol):
    """A search algorithm that knows no engine, no trial and no NNI.

    `AskTellStrategy` makes an NNI strategy of it. Higher rewards are better.

    Attributes:
        figures: What to plot of the iteration that the last ``tell`` completed, with ``iteration`` (from 1) among
            them; None if it completed none, and always for algorithms without iterations.
    """

    figures: dict[str, Any] | None

    @property
    def pending(self) -> list[Sample]:
        """What was asked for and has no result yet, in the order of asking."""

    def ask(self, n: int) -> list[Sample]:
        """Return n samples to try; fewer, or none, only if nothing is left to try.

        Each one satisfies the constraints, and none has been returned or told before. What is returned depends on the
        seed, the space and the calls so far, and on nothing else. Earlier samples may have no result yet.
        """

    def tell(self, results: Iterable[Result]) -> None:
        """Take the rewards of samples, also of some that were not asked for: known before, they are tried no more.

        Args:
            results: Samples of the space with their rewards. None, NaN, an infinity or more than 10^15: it failed.

        Raises:
            ValueError: If a sample is not in the space. Nothing is changed then.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return all that what follows depends on, in plain types and tensors; samples without a result included."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of the same algorithm over the same space; to be called before anything else.

        Raises:
            ValueError: If it is no such state.
        """


class Proposer(Protocol):
    """The least that a search algorithm has to be: `Guarded` makes an `AskTell` of it.

    It may propose a sample twice, or one that breaks the constraints; it keeps no state for resuming.
    """

    def ask(self, n: int) -> list[Sample]:
        """Return n samples, or fewer."""

    def tell(self, results: list[tuple[Sample, float]]) -> None:
        """Take finite rewards of samples, also of some that were not asked for."""


def measured(reward: float | None) -> float | None:
    """Return a reward, or None if it is missing, not finite or too large.

    Example:
        >>> measured(0.5), measured(float("nan")), measured(None)
        (0.5, None, None)
    """
    value = math.nan if reward is None else float(reward)
    return value if abs(value) <= _LARGEST_REWARD else None
