"""The one base class of every error that a user can cause."""

from __future__ import annotations

import re

__all__ = ["AutoADError"]

# [[name]] or [[name=value]] in a message: an argument, which is an option on the command line.
_ARGUMENT = re.compile(r"\[\[(\w+)(?:=(.*?))?\]\](?!\])", re.DOTALL)


class AutoADError(Exception):
    """A fault in what the user gave; the command line prints it in one line and exits with 2.

    The message says what was got, what was expected and what to do. An argument of a function that is also an option of
    a command is written ``[[name]]`` or ``[[name=value]]``, so that Python and the command line each name it their way.

    Example:
        >>> error = AutoADError("[[image_size]] is 300. Expected 8 to 224 pixels. Give [[image_size=64]].")
        >>> str(error)
        'image_size is 300. Expected 8 to 224 pixels. Give image_size=64.'
        >>> error.on_command_line()
        '--image-size is 300. Expected 8 to 224 pixels. Give --image-size 64.'
    """

    def __str__(self) -> str:
        return _in_one_line(_ARGUMENT.sub(_in_python, super().__str__()))

    def on_command_line(self) -> str:
        """Return the message with options in place of arguments."""
        return _in_one_line(_ARGUMENT.sub(_as_option, super().__str__()))


def _in_one_line(message: str) -> str:
    """Escape the ends of lines, which names and values from files may have."""
    return message.replace("\n", r"\n").replace("\r", r"\r")


def _in_python(argument: re.Match[str]) -> str:
    name, value = argument.groups()
    return str(name) if value is None else f"{name}={value}"


def _as_option(argument: re.Match[str]) -> str:
    name, value = argument.groups()
    option = "--" + str(name).replace("_", "-")
    return option if value in (None, "True") else f"{option} {value}"
