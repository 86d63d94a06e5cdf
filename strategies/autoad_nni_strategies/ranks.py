"""The values of a decision as search libraries want them: numbers in order, words without one."""

from __future__ import annotations

from autoad_nni_strategies.spaces import Decision

__all__ = ["in_order", "is_ordered"]


def is_ordered(decision: Decision) -> bool:
    """Return whether all values of a decision are numbers, and more than two: of two, either is next to the other.

    Example:
        >>> is_ordered(Decision("width", (8, 32, 16))), is_ordered(Decision("bias", (True, False, None)))
        (True, False)
    """
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in decision.values)
    return numbers and len(decision.values) > 2


def in_order(decision: Decision) -> Decision:
    """Return a decision with its values ascending, if they are ordered; otherwise as it is.

    Example:
        >>> in_order(Decision("width", (8, 32, 16))).values, in_order(Decision("kind", ("max", "average"))).values
        ((8, 16, 32), ('max', 'average'))
    """
    return Decision(decision.label, tuple(sorted(decision.values))) if is_ordered(decision) else decision
