"""Makes a search algorithm of anything that proposes samples."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from autoad_nni_strategies.ask_tell import IsValid, Proposer, Result, Sample, measured
from autoad_nni_strategies.spaces import Action, Decision, described, to_action, to_sample
from autoad_nni_strategies.untried import Untried

__all__ = ["Guarded"]

_MOST_ASKS = 16


class Guarded:
    """Keeps the promises of `AskTell` for a `Proposer`.

    - *Nothing twice, and no constraint broken.* A proposed sample that may not be tried is answered at once: with the
      reward that it had, or, if the constraints reject it, as a failure. Then the proposer is asked again, up to 16
      times; after that, the next untried samples in lexicographic order are taken.
    - *Failures.* The proposer is given the lowest reward measured so far; before there is one, nothing.
    - *State.* The calls so far, which are repeated when it is loaded: so the proposer has to be deterministic.

    Args:
        proposer: What proposes samples, fresh.
        decisions: Of the space.
        is_valid: Whether the constraints allow a sample.

    Example:
        >>> class Stubborn:
        ...     def ask(self, n):
        ...         return [{"width": 16}] * n
        ...     def tell(self, results):
        ...         print(results)
        >>> search = Guarded(Stubborn(), (Decision("width", (8, 16, 32)),))
        >>> search.ask(2)
        [{'width': 16}, {'width': 32}]
        >>> search.tell([({"width": 16}, None), ({"width": 32}, 0.5)])
        [({'width': 16}, 0.5), ({'width': 32}, 0.5)]
    """

    def __init__(
        self, proposer: Proposer, decisions: tuple[Decision, ...], is_valid: IsValid = lambda sample: True
    ) -> None:
        self._proposer = proposer
        self._decisions = decisions
        self._is_valid = is_valid
        self._untried = Untried(decisions, is_valid)
        self._calls: list[list[Any]] = []
        self._lowest: float | None = None
        self._pending: dict[Action, None] = {}
        self._failed: list[Action] = []
        """Failures that the proposer does not know of yet."""
        self.figures: dict[str, Any] | None = None

    @property
    def pending(self) -> list[Sample]:
        """What was asked for and has no result yet, in the order of asking."""
        return [to_sample(self._decisions, action) for action in self._pending]

    def ask(self, n: int) -> list[Sample]:
        """Return n samples to try; fewer if no more are left."""
        self._calls.append(["ask", n])
        found, last = self._proposed(n)
        if len(found) < n:
            found += self._untried.after(last, n - len(found), besides=found)
        self._untried.tried.update(dict.fromkeys(found))
        self._pending.update(dict.fromkeys(found))
        return [to_sample(self._decisions, action) for action in found]

    def _proposed(self, n: int) -> tuple[list[Action], Action]:
        """Return up to n new samples of the proposer, and its last proposal."""
        found: list[Action] = []
        last: Action = (0,) * len(self._decisions)
        for _ in range(_MOST_ASKS):
            refused: list[Action] = []
            for sample in self._proposer.ask(n - len(found)):
                last = to_action(self._decisions, sample)
                if last not in found and self._untried.has(last):
                    found.append(last)
                else:
                    refused.append(last)
            if len(found) >= n:
                break
            self._answer(refused)
        return found[:n], last

    def _answer(self, refused: list[Action]) -> None:
        """Give the proposer the rewards of samples that may not be tried, but for those that have none yet."""
        known = {
            action: self._untried.tried.get(action)
            if action in self._untried.tried or self._is_valid(to_sample(self._decisions, action))
            else self._lowest
            for action in refused
        }
        self._pass_on([(action, reward) for action, reward in known.items() if reward is not None])

    def tell(self, results: Iterable[Result]) -> None:
        """Take the rewards of samples; None, or one that is not finite, for a failure."""
        given = [(to_action(self._decisions, sample), measured(reward)) for sample, reward in results]
        self._calls.append(["tell", [[list(action), reward] for action, reward in given]])
        rewards = [reward for _, reward in given if reward is not None]
        if rewards:
            self._lowest = min(rewards) if self._lowest is None else min(self._lowest, *rewards)
        self._untried.tried.update(given)
        for action, _ in given:
            self._pending.pop(action, None)
        if self._lowest is None:
            self._failed += [action for action, _ in given]
            return
        given = [(action, None) for action in self._failed] + given
        self._failed = []
        known = [(action, self._lowest if reward is None else reward) for action, reward in given]
        self._untried.tried.update(known)
        self._pass_on(known)

    def _pass_on(self, results: list[tuple[Action, float]]) -> None:
        if results:
            self._proposer.tell([(to_sample(self._decisions, action), reward) for action, reward in results])

    def state_dict(self) -> dict[str, Any]:
        """Return the calls so far, in plain types."""
        return {"decisions": described(self._decisions), "calls": copy.deepcopy(self._calls)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Repeat the calls of a state; to be called before anything else.

        Raises:
            ValueError: If it is the state of a search over another space, or none at all.
        """
        if not isinstance(state_dict, dict) or state_dict.get("decisions") != described(self._decisions):
            raise ValueError(
                "The state is not of a search over this space. Resume with the space of that search, or start anew."
            )
        for call, given in state_dict["calls"]:
            if call == "ask":
                self.ask(given)
            else:
                self.tell((to_sample(self._decisions, tuple(action)), reward) for action, reward in given)
