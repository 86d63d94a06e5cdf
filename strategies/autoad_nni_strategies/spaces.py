"""An NNI model space as the controller sees it: an ordered list of categorical decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni.mutable import Categorical, Mutable, MutableAnnotation

__all__ = [
    "Action",
    "Decision",
    "decisions_of",
    "described",
    "neighbours",
    "size_of",
    "successor",
    "to_action",
    "to_sample",
]

Action = tuple[int, ...]
"""One index per decision: the tokens a_1 ... a_T of one candidate."""


@dataclass(frozen=True)
class Decision:
    """One token of the controller: a label and its values.

    Attributes:
        label: The mutable's label, a plain str (NNI's own label type cannot be loaded with ``weights_only=True``).
        values: The choices; any type.
    """

    label: str
    values: tuple[Any, ...]


def decisions_of(space: Mutable) -> tuple[Decision, ...]:
    """List the decisions of an NNI space, in the order in which the space declares them.

    Constraints and other annotations are not decisions; `AutoADStrategy` rejects the samples that break them.
    The prior ``weights`` of a Categorical are not used.

    Args:
        space: Any NNI mutable, for instance a model space.

    Raises:
        TypeError: If a mutable is not categorical.
        ValueError: If the space has no mutables.

    Example:
        >>> from nni.mutable import Categorical, MutableList
        >>> decisions_of(MutableList([Categorical([8, 16], label="width"), Categorical([True, False], label="bias")]))
        (Decision(label='width', values=(8, 16)), Decision(label='bias', values=(True, False)))
    """
    decisions = []
    for label, mutable in space.simplify().items():
        if isinstance(mutable, MutableAnnotation):
            continue
        if not isinstance(mutable, Categorical):
            raise TypeError(
                f"{str(label)!r} is a {type(mutable).__name__}, but the autoad strategy chooses among the values of "
                "Categorical mutables only. Declare it as a Categorical that lists the values to try."
            )
        decisions.append(Decision(str(label), tuple(mutable.values)))
    if not decisions:
        raise ValueError(
            "The model space has no mutables, so there is nothing to search. Declare one Categorical or more."
        )
    return tuple(decisions)


def to_sample(decisions: tuple[Decision, ...], action: Action) -> dict[str, Any]:
    """Return the sample of an action: the chosen value for each label, as ``freeze`` takes it.

    Example:
        >>> to_sample((Decision("width", (8, 16)), Decision("bias", (True, False))), (1, 0))
        {'width': 16, 'bias': True}
    """
    return {decision.label: decision.values[index] for decision, index in zip(decisions, action, strict=True)}


def to_action(decisions: tuple[Decision, ...], sample: Mapping[str, Any]) -> Action:
    """Return the action of a sample; the inverse of `to_sample`.

    Raises:
        ValueError: If a label is missing or unknown, or a value is not one of its label's.

    Example:
        >>> to_action((Decision("width", (8, 16)), Decision("bias", (True, False))), {"bias": True, "width": 16})
        (1, 0)
    """
    labels = [decision.label for decision in decisions]
    if set(sample) != set(labels):
        raise ValueError(
            f"The sample has the labels {sorted(sample)}. Expected {sorted(labels)}: give one of the space."
        )
    return tuple(_index_of(decision, sample[decision.label]) for decision in decisions)


def _index_of(decision: Decision, value: Any) -> int:
    for index, known in enumerate(decision.values):
        if type(known) is type(value) and known == value:  # 1 is not True
            return index
    raise ValueError(
        f"The sample has {decision.label} = {value!r}. Expected one of {list(decision.values)}: give one of the space."
    )


def described(decisions: tuple[Decision, ...]) -> list[list[str]]:
    """Return label and values of each decision as plain text: two spaces that agree in it are one.

    Example:
        >>> described((Decision("width", (8, 16)),))
        [['width', '8', '16']]
    """
    return [[decision.label, *map(repr, decision.values)] for decision in decisions]


def neighbours(decisions: tuple[Decision, ...], action: Action) -> list[Action]:
    """Return the actions that differ from one in a single decision.

    Example:
        >>> neighbours((Decision("width", (8, 16)), Decision("depth", (1, 2, 3))), (0, 2))
        [(1, 2), (0, 0), (0, 1)]
    """
    return [
        (*action[:t], choice, *action[t + 1 :])
        for t, decision in enumerate(decisions)
        for choice in range(len(decision.values))
        if choice != action[t]
    ]


def size_of(decisions: tuple[Decision, ...]) -> int:
    """Return the number of actions, ignoring constraints.

    Example:
        >>> size_of((Decision("width", (8, 16)), Decision("depth", (1, 2, 3))))
        6
    """
    size = 1
    for decision in decisions:
        size *= len(decision.values)
    return size


def successor(decisions: tuple[Decision, ...], action: Action) -> Action:
    """Return the next action in lexicographic order; the first one follows the last.

    Example:
        >>> decisions = (Decision("width", (8, 16)), Decision("depth", (1, 2, 3)))
        >>> successor(decisions, (0, 2)), successor(decisions, (1, 2))
        ((1, 0), (0, 0))
    """
    digits = list(action)
    for position in reversed(range(len(digits))):
        digits[position] = (digits[position] + 1) % len(decisions[position].values)
        if digits[position]:
            break
    return tuple(digits)
