"""Faults in the words of a command line, whichever click typer is built on."""

from __future__ import annotations

import typer

__all__ = ["UsageFault", "one_line"]

# typer carries a click of its own since 0.26 and exports only some of its exceptions; their base is the same in both.
UsageFault: type[Exception] = typer.BadParameter.__mro__[2]


def one_line(error: Exception) -> str:
    """Returns the message of a fault in one line, ending with a full stop."""
    text = " ".join(str(getattr(error, "format_message", lambda: error)()).split())
    # Since typer validates with pydantic, its message says what was expected but not what was got.
    for problem in getattr(error.__cause__, "errors", list)()[:1]:
        text = f"{text.rstrip('.')}, got {problem['input']!r}"
    return text if text.endswith((".", "?", "!")) else f"{text}."
