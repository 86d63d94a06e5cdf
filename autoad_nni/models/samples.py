"""Reads and checks the labels and values of a sample of a search space."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from autoad_nni.errors import AutoADError

__all__ = ["check_labels_of", "check_value", "stages_of"]


def check_labels_of(given: Iterable[str], expected: Sequence[str], described: str = "") -> None:
    """Raise AutoADError unless exactly the expected labels are given.

    Args:
        given: The labels of a sample.
        expected: Those of its space.
        described: How the message names them; by default each.
    """
    labels, keys = list(given), described or ", ".join(expected)
    for label in labels:
        if label not in expected:
            near = difflib.get_close_matches(str(label), expected, n=1, cutoff=0.5)
            advice = f"Did you mean '{near[0]}'?" if near else "Remove it."
            raise AutoADError(f"Unknown label '{label}'. Expected: {keys}. {advice}")
    for label in expected:
        if label not in labels:
            raise AutoADError(f"The label '{label}' is missing. Expected: {keys}. Add it.")


def check_value(label: str, value: Any, known: Sequence[Any]) -> None:
    """Raise AutoADError unless a value is a known one, of its type: as in JSON, 1 is neither True nor 1.0.

    Example:
        >>> check_value("layer1_kernel", True, (1, 3))
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: layer1_kernel is True. Expected one of: 1, 3. Choose one of these.
    """
    if not any(value == other and type(value) is type(other) for other in known):
        raise AutoADError(f"{label} is {value!r}. Expected one of: {', '.join(map(str, known))}. Choose one of these.")


def stages_of(value: Any) -> tuple[int, ...]:
    """Return the strides of the stages that a value of the label ``stages`` names.

    Example:
        >>> stages_of("8+16")
        (8, 16)
    """
    return tuple(int(stage) for stage in str(value).split("+"))
