"""The experiment that benchmarks of searching run: one trial at a time, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["experiment"]


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
