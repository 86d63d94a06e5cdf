"""A finding: what was seen, how bad it is, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["Check", "Finding", "Level", "run_checks"]


class Level(Enum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Something that not everybody needs is missing."""
    WARNING = "warning"
    """Works, but with a risk."""
    FAILURE = "FAIL"
    """Something will fail."""


@dataclass(frozen=True)
class Finding:
    """What a check saw.

    Attributes:
        level: How bad it is.
        what: In one line.
        advice: What to do about it; "" if there is nothing to do.
    """

    level: Level
    what: str
    advice: str = ""


Check = Callable[[], Iterable[Finding]]


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Give the findings of all checks; one that breaks is a failure itself, and hides no other.

    Example:
        >>> def broken():
        ...     raise OSError("no such device")
        >>> [finding.what for finding in run_checks([broken, lambda: [Finding(Level.OK, "fine")]])]
        ['the check broken ended in OSError: no such device', 'fine']
    """
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # a broken installation can raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(
                Level.FAILURE, f"the check {check.__name__} ended in {reason}", "Repair what the reason names."
            )
