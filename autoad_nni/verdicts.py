"""Names for the ways in which a trial can end; a failure is named, never hidden behind an AUROC of 0.5."""

from __future__ import annotations

from enum import Enum

__all__ = ["RejectedTrial", "Verdict"]


class Verdict(str, Enum):
    """How a trial ended; the value is what the metrics show."""

    OK = "ok"
    OVER_MACS = "over_macs"
    """Refused before training: more multiply-adds per image than ``--max-macs``."""
    OVER_MS = "over_ms"
    """Refused, before training if the network alone shows it: more milliseconds per image than ``--max-ms``."""
    OVER_MEMORY = "over_memory"
    """Refused before training: not even a small batch fits into ``--max-memory``."""
    OVER_TIME = "over_time"
    """Stopped: training and scoring would take longer than ``--max-seconds``."""
    NON_FINITE = "non_finite"
    """A loss or a score was infinite or not a number."""
    CONSTANT_SCORE = "constant_score"
    """Every validation image got the same score."""
    COLLAPSED = "collapsed"
    """Every training image got the same code, so that no hypothesis on codes can separate images."""
    IGNORES_INPUT = "ignores_input"
    """Every training image got the same reconstruction, and only the distance could separate them."""
    COPIES_INPUT = "copies_input"
    """Images are reconstructed whatever is in them, and only the distance could separate them."""
    STOPPED = "stopped"
    """Stopped at a part of its steps, where others did better; its reward is the last one measured."""
    CRASHED = "crashed"
    """The trial raised an error, or its process ended without a result."""


class RejectedTrial(Exception):
    """Ends a trial with a verdict of failure; its reward is the lowest, 0.0.

    Args:
        verdict: The name of what happened.
        detail: One sentence with the figures.
    """

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(f"{verdict.value}: {detail}")
        self.verdict = verdict
        self.detail = detail
