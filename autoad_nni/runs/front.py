"""The Pareto front of a search: the models than which no other is both faster and better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autoad_nni.runs.records import read_history
from autoad_nni.storing import write_json
from autoad_nni.trial.record import TrialRecord

__all__ = ["FRONT", "front_lines", "front_of", "pareto_front", "write_front"]

FRONT: Final = "front.json"

_MOST_LINES: Final = 6


def pareto_front(costs: Sequence[float], rewards: Sequence[float]) -> list[int]:
    """Return the indices of those that no other beats: none is as cheap and better, or cheaper and as good.

    The cheapest comes first; of equals the first one counts.

    Example:
        >>> pareto_front([3, 1, 2, 1], [0.9, 0.5, 0.4, 0.5])
        [1, 0]
    """
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -rewards[i], i)):
        if not front or rewards[i] > rewards[front[-1]]:
            front.append(i)
    return front


def front_of(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the good trials on the front of reward and time of one image, the fastest first.

    Trials whose time was not measured are left out.
    """
    timed = [(record.ms, record) for record in records if record.ok and record.ms is not None]
    front = pareto_front([ms for ms, _ in timed], [record.reward for _, record in timed])
    return [timed[i][1] for i in front]


def front_lines(records: Sequence[TrialRecord], reward: str) -> list[str]:
    r"""Return the front as a table to print, at most six trials of it; nothing where no time was measured.

    Args:
        records: Of all trials.
        reward: Name of the metric that is the reward.

    Example:
        >>> from autoad_nni.verdicts import Verdict
        >>> def ended(number, reward, ms):
        ...     return TrialRecord(number=number, sample={}, verdict=Verdict.OK, reward=reward, ms=ms)
        >>> print("\n".join(front_lines([ended(0, 0.9, 12.5), ended(1, 0.75, 0.25), ended(2, 0.5, 3.0)], "auroc")))
        time of one image, and reward: no trial is both faster and better than one of these
             1     0.25 ms  auroc 0.7500
             0     12.5 ms  auroc 0.9000
    """
    front = front_of(records)
    if not front:
        return []
    most = min(len(front), _MOST_LINES)
    places = {round(i * (len(front) - 1) / max(most - 1, 1)) for i in range(most)}  # both ends, others evenly spread
    lines = ["time of one image, and reward: no trial is both faster and better than one of these"]
    for record in (front[place] for place in sorted(places)):
        known = f"  {record.known}" if record.known else ""
        lines.append(f"{record.number:>6}{f'{record.ms:.3g}':>9} ms  {reward} {record.reward:.4f}{known}")
    left_out = len(front) - len(places)
    return [*lines, f"and {left_out} more in {FRONT}"] if left_out else lines


def write_front(folder: Path) -> None:
    """Write ``front.json`` of a search: the records of the trials on the front, the fastest first.

    Args:
        folder: Of the search, with its history.

    Raises:
        StorageError: If the disk refuses.
    """
    write_json(folder / FRONT, [record.to_json() for record in front_of(read_history(folder))])
