"""The experiment that benchmarks of searching run: one trial at a time, in this process."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["experiment", "file_of_lines"]


def experiment(trial: str, space: Mapping[str, Any], trials: int, **arguments: Any) -> dict[str, Any]:
    """Return the content of an experiment file.

    Args:
        trial: The trial command.
        space: The search space.
        trials: How many.
        arguments: ``classArgs``: ``strategy``, ``seed``, ...
    """
    return {
        "trialCommand": trial,
        "maxTrialNumber": trials,
        "trialConcurrency": 1,
        "trainingService": {"platform": "local"},
        "tuner": {
            "className": "autoad_nni.bridge.StrategyAdvisor",
            "codeDirectory": ".",
            "classArgs": arguments,
        },
        "searchSpace": dict(space),
    }


def file_of_lines(parser: ArgumentParser, asked: Iterable[str], known: Iterable[str], output: Path) -> Path:
    """Return where a benchmark writes a line for each search, in a folder that is there; unknown names end it.

    Args:
        parser: Says which names are unknown.
        asked: Names that the user gave.
        known: All there are.
        output: The folder.
    """
    if unknown := set(asked) - set(known):
        parser.error(f"got {', '.join(sorted(unknown))}; expected some of {', '.join(known)}")
    output.mkdir(parents=True, exist_ok=True)
    return output / "searches.jsonl"
