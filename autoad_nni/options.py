"""The options of a trial, each declared once: as the field of the settings that use it, with its help text."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from typing import Any

__all__ = ["Option", "option", "options_of"]


@dataclass(frozen=True)
class Option:
    """One option of a trial.

    Attributes:
        name: Argument in Python.
        kind: Its type.
        default: Its value when it is not given; ``dataclasses.MISSING`` for one that must be.
        help: One sentence for ``--help``.
    """

    name: str
    kind: Any
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """The option on the command line, ``--image-size``."""
        return "--" + self.name.replace("_", "-")

    @property
    def kinds(self) -> tuple[type, ...]:
        """The types of its values: ``kind``, or the members of a union."""
        return typing.get_args(self.kind) or (self.kind,)


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
        >>> options_of(Speed)["limit"].flag, options_of(Speed)["limit"].kinds
        ('--limit', (<class 'int'>,))
    """
    found: dict[str, Option] = {}
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if "help" in field.metadata:
                found[field.name] = Option(field.name, hints[field.name], field.default, field.metadata["help"])
    return found
