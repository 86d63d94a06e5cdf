"""Reads a ``trialCommand`` as the shell does in which NNI starts it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError

__all__ = ["command_path", "trial_arguments", "trial_environment"]


def command_path() -> str:
    """Returns the PATH for trials: the folder of this Python first, also when its environment is not activated."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def trial_arguments(command: Any, path: Path) -> list[str]:
    """Returns the words of a ``trialCommand`` behind ``autoad-nni trial``.

    Raises:
        AutoADError: If it is another command, or one that is not found; ``path`` is where it stands.
    """
    if not isinstance(command, str) or not command.strip():
        raise AutoADError(
            f"{path}: trialCommand is {command!r}. Expected a command. "
            "Write trialCommand: autoad-nni trial --data NAME ..."
        )
    try:
        words = _shell_words(command)
    except ValueError as error:
        raise AutoADError(f"{path}: trialCommand cannot be split into words: {error}. Close the quotes.") from None
    words = words[len(_assignments(words)) :] or [""]
    if shutil.which(words[0], path=command_path()) is None:
        raise AutoADError(
            f"{path}: trialCommand starts with {words[0]!r}, which is not found on PATH. "
            "Expected a command that trials can start. Activate the environment in which autoad-nni is installed."
        )
    if "trial" not in words or not re.search(r"autoad[-_]nni", command):
        raise AutoADError(
            f"{path}: trialCommand is {command!r}. Expected 'autoad-nni trial' with its options. "
            "Another program can run under nnictl, not here."
        )
    return words[words.index("trial") + 1 :]


def trial_environment(command: str) -> dict[str, str]:
    """Returns the variables that a ``trialCommand`` sets before its program, for a trial in this process."""
    return _assignments(_shell_words(command))


def _shell_words(command: str) -> list[str]:
    """Splits a command as the shell does in which NNI starts it: with ``$NAME`` and a leading ``~`` replaced."""
    outside_quotes = re.split(r"('[^']*')", command)
    outside_quotes[::2] = [os.path.expandvars(part) for part in outside_quotes[::2]]
    return [os.path.expanduser(word) for word in shlex.split("".join(outside_quotes))]


def _assignments(words: list[str]) -> dict[str, str]:
    """The ``NAME=value`` before the program."""
    pairs = {}
    for word in words:
        if not re.match(r"[A-Za-z_]\w*=", word):
            break
        name, _, value = word.partition("=")
        pairs[name] = value
    return pairs
