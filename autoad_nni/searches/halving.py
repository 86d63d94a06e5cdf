"""Asynchronous successive halving: which trials go on after a part of their training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.searches.journal import Journal

__all__ = ["DEFAULTS", "Halving", "halving_arguments", "is_among_best", "shares_of"]

DEFAULTS: Final = {"reduction": 4, "rungs": 1}


def halving_arguments(value: Any, name: str) -> dict[str, int] | None:
    """Complete and check what an experiment says of halving.

    Args:
        value: ``True``, ``False``, None, or a mapping with ``reduction`` and ``rungs``.
        name: Of the experiment, for messages.

    Returns:
        Both numbers, or None for no halving.

    Raises:
        AutoADError: If it is something else.

    Example:
        >>> halving_arguments(True, "my.yml"), halving_arguments({"rungs": 2}, "my.yml"), halving_arguments(False, "")
        ({'reduction': 4, 'rungs': 1}, {'reduction': 4, 'rungs': 2}, None)
    """
    if value is None or value is False:
        return None
    given = {} if value is True else value
    if not isinstance(given, Mapping) or not set(given) <= set(DEFAULTS):
        raise _unfit(name, "", value, "true, false or a mapping, for instance {reduction: 4, rungs: 1}")
    chosen = {**DEFAULTS, **given}
    for key, least, most in (("reduction", 2, 100), ("rungs", 1, 10)):
        if type(chosen[key]) is not int or not least <= chosen[key] <= most:
            raise _unfit(name, f".{key}", chosen[key], f"a whole number from {least} to {most}")
    return chosen


def _unfit(name: str, key: str, value: Any, expected: str) -> AutoADError:
    return AutoADError(f"{name}: tuner.classArgs.halving{key} is {value!r}. Expected {expected}. Correct it.")


def shares_of(reduction: int, rungs: int) -> tuple[float, ...]:
    """Return the share of its steps after which a trial comes to each rung.

    Example:
        >>> shares_of(4, 2)
        (0.0625, 0.25)
    """
    return tuple(float(reduction) ** -i for i in range(rungs, 0, -1))


def is_among_best(reward: float, before: Sequence[float], reduction: int) -> bool:
    """Return whether a reward is among the best ``1 / reduction`` of all at its rung so far, itself included.

    Of fewer than ``reduction`` rewards, that is the best one. Equal rewards have the same rank: a reward goes on if
    fewer than that many are higher.

    Args:
        reward: Of the trial.
        before: Those of the trials that came to the rung before, in any order.
        reduction: 2 or more.

    Example:
        >>> [is_among_best(reward, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], 4) for reward in (0.95, 0.85, 0.8, 0.75)]
        [True, True, True, False]
    """
    n_going = max(1, (len(before) + 1) // reduction)
    return sum(other > reward for other in before) < n_going


class Halving:
    """Decides which trials go on, and records it in the journal of the search.

    A trial is compared with those that came to the same rung before, so it need not wait for any other (Li et al., "A
    System for Massively Parallel Hyperparameter Tuning", MLSys 2020). The decision depends on nothing but the order in
    which trials come to rungs, which the journal has; a trial that runs again gets the same answer again.

    Differs from the paper, where a trial that was not among the best can go on later: here its model is gone. Many
    programs do that (Optuna's pruner, the stopping form of syne-tune).

    Args:
        journal: Of the search.
        reduction: One of so many trials goes on at each rung.
        rungs: Number of rungs; the last one is at ``1 / reduction`` of the steps, the one before at
            ``1 / reduction^2``, and so on.
    """

    def __init__(self, journal: Journal, *, reduction: int, rungs: int) -> None:
        self.shares = shares_of(reduction, rungs)
        """Of its steps, after which a trial comes to each rung."""
        self._journal = journal
        self._reduction = reduction
        self._rewards: dict[int, list[float]] = {rung: [] for rung in range(rungs)}
        self._answers: dict[tuple[int, int], bool] = {}
        for event in journal.recorded:
            if event["event"] == "rung":
                self._rewards.setdefault(event["rung"], []).append(event["reward"])
                self._answers[event["id"], event["rung"]] = event["goes_on"]

    def goes_on(self, trial: int, rung: int, reward: float, *, known: bool = False) -> bool:
        """Return whether a trial goes on.

        Args:
            trial: Its number.
            rung: Its index, from 0 for the first.
            reward: What the trial has reached.
            known: Whether it is a known method: it always goes on, as others are compared with what it ends with.

        Raises:
            StorageError: If the disk refuses the journal.
        """
        if (trial, rung) not in self._answers:
            answer = known or is_among_best(reward, self._rewards[rung], self._reduction)
            self._journal.came_to_rung(trial, rung, reward, goes_on=answer)
            self._rewards[rung].append(reward)
            self._answers[trial, rung] = answer
        return self._answers[trial, rung]

    def has_stopped(self, trial: int) -> bool:
        """Return whether a trial came to a rung and did not go on."""
        return any(number == trial and not answer for (number, _), answer in self._answers.items())
