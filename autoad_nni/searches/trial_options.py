"""Parses the options in a ``trialCommand``."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from autoad_nni.errors import AutoADError
from autoad_nni.trial.request import OPTIONS, TrialRequest

__all__ = ["parse_request"]

_BY_HAND: Final = ("sample", "run", "number", "test", "help")
"""Options of ``autoad-nni trial`` that a ``trialCommand`` cannot have."""


def parse_request(words: Sequence[str], folder: Path = Path()) -> TrialRequest:
    """Parse the words behind ``autoad-nni trial``.

    Args:
        words: Options and values.
        folder: Where NNI starts the command: relative ``--root``, ``--roots`` and ``--weights`` are looked for there.

    Raises:
        AutoADError: If an option is unknown or for a trial by hand, or its value of another type or out of its range.
    """
    parser = _Parser(prog="autoad-nni trial", allow_abbrev=False, add_help=False)
    for option in OPTIONS.values():
        if option.kind is bool:
            parser.add_argument(option.flag, action="store_true", default=argparse.SUPPRESS)
        else:
            kinds = [kind for kind in (int, float) if kind in option.kinds]
            parser.add_argument(option.flag, type=kinds[0] if kinds else str, default=argparse.SUPPRESS)
    found, unknown = parser.parse_known_args(list(words))
    for word in unknown:
        raise _unknown(word)
    options = vars(found)
    for name in ("root", "weights"):
        if options.get(name) is not None:
            options[name] = _absolute(options[name], folder)
    if "roots" in options:
        pairs = (each.partition("=") for each in options["roots"].split(","))
        options["roots"] = [f"{name}={_absolute(root, folder)}" if root else name for name, _, root in pairs]
    return TrialRequest.from_options(**options)


def _absolute(path: str, folder: Path) -> Path:
    return folder.absolute() / Path(path).expanduser()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise AutoADError(f"trialCommand: {message}. See 'autoad-nni trial --help'. Correct it.")


def _unknown(word: str) -> AutoADError:
    option = word.partition("=")[0]
    if option.removeprefix("--") in _BY_HAND:
        return AutoADError(
            f"trialCommand has {option}, which is for a trial by hand. Expected options that hold for every trial. "
            "Remove it."
        )
    near = difflib.get_close_matches(option, [each.flag for each in OPTIONS.values()], n=1)
    advice = f"Did you mean {near[0]}?" if near else "See 'autoad-nni trial --help'."
    return AutoADError(f"trialCommand has {word!r}. Expected the options of 'autoad-nni trial'. {advice}")
