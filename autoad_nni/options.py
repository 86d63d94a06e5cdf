"""The options of a trial, each declared once: as the field of the settings that use it, with its help text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from typing import Any, get_type_hints

__all__ = ["Option", "option", "options_of"]


@dataclass(frozen=True)
class Option:
    """One option of a trial.

    Attributes:
        name: Argument in Python; with ``-`` for ``_``, the option on the command line.
        kind: Its type.
        default: Its value when it is not given; ``dataclasses.MISSING`` for one that must be.
        help: One sentence for ``--help``.
    """

    name: str
    kind: Any
    default: Any
    help: str


def option(default: Any = MISSING, *, help: str) -> Any:
    """Declare a field of a dataclass that is also an option of a trial.

    Args:
        default: Its default; none makes it mandatory.
        help: One sentence for ``--help``.
    """
    return dataclasses.field(default=default, metadata={"help": help})


def options_of(*kinds: Callable[..., Any]) -> dict[str, Option]:
    """Return the options that dataclasses declare, by name; of a name in several, the last counts.

    Args:
        kinds: Dataclasses.

    Example:
        >>> @dataclass
        ... class Speed:
        ...     limit: int = option(50, help="In km/h.")
        ...     measured: float = 0.0
        >>> options_of(Speed)["limit"].default, list(options_of(Speed))
        (50, ['limit'])
    """
    found: dict[str, Option] = {}
    for kind in kinds:
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if "help" in field.metadata:
                found[field.name] = Option(field.name, hints[field.name], field.default, field.metadata["help"])
    return found
