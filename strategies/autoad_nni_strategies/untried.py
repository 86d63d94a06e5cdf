"""What of a space may still be tried: nothing twice, and nothing that its constraints reject."""

from __future__ import annotations

import logging
from collections.abc import Collection

from autoad_nni_strategies.ask_tell import IsValid
from autoad_nni_strategies.spaces import Action, Decision, size_of, successor, to_sample

__all__ = ["Untried"]

_logger = logging.getLogger(__name__)
_MAX_INVALID_STEPS = 10_000


class Untried:
    """Knows what was tried, and finds what was not.

    Args:
        decisions: Of the space.
        is_valid: Whether the constraints allow a sample.

    Example:
        >>> untried = Untried((Decision("width", (8, 16, 32)),), lambda sample: sample["width"] > 8)
        >>> untried.tried[(2,)] = None
        >>> [untried.has((index,)) for index in range(3)], untried.after((2,), 5)
        ([False, True, False], [(1,)])
    """

    def __init__(self, decisions: tuple[Decision, ...], is_valid: IsValid) -> None:
        self._decisions = decisions
        self._is_valid = is_valid
        self.tried: dict[Action, float | None] = {}
        """Every sample that was tried with its reward; None until it has one."""

    def has(self, action: Action) -> bool:
        """Return whether an action is valid and has not been tried."""
        return action not in self.tried and self._is_valid(to_sample(self._decisions, action))

    def after(self, action: Action, n: int, *, besides: Collection[Action] = ()) -> list[Action]:
        """Return the first n untried actions after this one in lexicographic order, the first following the last.

        Without constraints it finds whatever is left; with them, it gives up after 10,000 invalid ones.

        Args:
            action: Where to begin.
            n: How many.
            besides: Actions that are about to be tried.

        Raises:
            ValueError: If there is none, and none was tried before.
        """
        found: list[Action] = []
        # Of len(tried) + len(besides) + n different actions n are untried.
        n_all, n_steps = size_of(self._decisions), len(self.tried) + len(besides) + n + _MAX_INVALID_STEPS
        for _ in range(min(n_all, n_steps)):
            if len(found) == n:
                break
            action = successor(self._decisions, action)
            if action not in besides and self.has(action):
                found.append(action)
        if not found and not besides:
            self._end(n_all, n_steps)
        return found

    def _end(self, n_all: int, n_steps: int) -> None:
        if not self.tried:
            raise ValueError(
                f"The model space rejects every sample drawn, and the {_MAX_INVALID_STEPS:,} after the last one. "
                "Expected constraints that leave more: loosen them."
            )
        if n_all <= n_steps:
            _logger.info("All %d valid samples of the space have been tried. The search ends.", len(self.tried))
        else:
            _logger.warning(
                "The search ends after %d candidates: all drawn, and the %d after the last one, were rejected by the "
                "constraints or tried before. Loosen the constraints to go on.", len(self.tried), n_steps,
            )  # fmt: skip
