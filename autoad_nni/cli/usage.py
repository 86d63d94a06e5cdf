"""What a command line prints: faults in its words, whichever click typer is built on; names as they are safe."""

from __future__ import annotations

import io
import sys

import typer

__all__ = ["UsageFault", "allow_any_text", "one_line", "printable", "say"]

# typer carries a click of its own since 0.26 and exports only some of its exceptions; their base is the same in both.
UsageFault: type[Exception] = typer.BadParameter.__mro__[2]


def one_line(error: Exception) -> str:
    """Returns the message of a fault in one line, ending with a full stop."""
    text = " ".join(str(getattr(error, "format_message", lambda: error)()).split())
    # Since typer validates with pydantic, its message says what was expected but not what was got.
    for problem in getattr(error.__cause__, "errors", list)()[:1]:
        text = f"{text.rstrip('.')}, got {problem['input']!r}"
    return text if text.endswith((".", "?", "!")) else f"{text}."


def printable(text: str) -> str:
    r"""Return a text for a terminal: one line, in which a name of a file steers nothing.

    Example:
        >>> print(printable("a\x1b[2J\nb.png"))
        a\x1b[2J\nb.png
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def say(text: str, *, err: bool = False) -> None:
    """Print lines, each of them `printable`."""
    # Not typer.echo, which writes UTF-8 where ASCII was asked for.
    print("\n".join(map(printable, text.split("\n"))), file=sys.stderr if err else sys.stdout, flush=True)


def allow_any_text() -> None:
    """Let an output of any encoding take any text: what it lacks is escaped, where Python would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
