"""A search that was run: what its folder holds, for Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoad_nni.errors import AutoADError
from autoad_nni.runs.competing import read_competitors
from autoad_nni.runs.front import front_of
from autoad_nni.runs.model import Model, load
from autoad_nni.runs.records import BEST, HISTORY, BestRecord, read_history
from autoad_nni.runs.start import STARTED
from autoad_nni.trial.record import TrialRecord

if TYPE_CHECKING:
    import pandas

__all__ = ["Run"]


class Run:
    """The results of a search.

    Args:
        folder: The run folder, or the folder of an NNI experiment that ``autoad-nni launch`` ended.

    Raises:
        AutoADError: If it holds no search.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser()
        if not any(os.path.exists(self.folder / name) for name in (HISTORY, BEST, STARTED)):
            raise AutoADError(
                f"{self.folder} holds no search. Expected a folder that ad.search, 'autoad-nni search' or 'autoad-nni "
                "launch' wrote. Correct the path."
            )

    def __repr__(self) -> str:
        """Return the folder and the best reward."""
        best = "no trial ended well"
        if self.best is not None:
            best = f"best {'planted ' if self.best.request.task.planted else ''}{self.best.reward:.4f}"
        count = len(self.records)
        return f"Run({str(self.folder)!r}: {count} trial{'' if count == 1 else 's'}, {best})"

    @cached_property
    def best(self) -> BestRecord | None:
        """The best model's record; None if no trial ended well.

        Raises:
            AutoADError: If the file was changed by hand.
        """
        return BestRecord.read(self.folder) if os.path.exists(self.folder / BEST) else None

    @cached_property
    def records(self) -> list[TrialRecord]:
        """The record of every trial, in the order in which they ended."""
        return read_history(self.folder)

    @cached_property
    def competitors(self) -> list[dict[str, Any]]:
        """What was trained and tested beside the search: `autoad_nni.runs.competing.read_competitors`."""
        return read_competitors(self.folder)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Every trial as a flat row, in the order in which they ended, all with the same names in one order.

        ``number``, ``verdict``, ``reward``, metrics, ``ms``, ``front`` (whether no other trial is both faster and
        better), ``seconds``, ``macs``, ``parameters``, ``known``, ``reading``, the sample's labels, ``detail``; None
        where a trial has no such value.
        """
        metrics = list(dict.fromkeys(name for record in self.records for name in record.validation))
        labels = list(dict.fromkeys(label for record in self.records for label in record.sample))
        front = {record.number for record in front_of(self.records)}
        return [_row(record, metrics, labels, is_front=record.number in front) for record in self.records]

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """Every trial as a row of a table, with the columns of `rows`."""
        import pandas

        return pandas.DataFrame(self.rows)

    def load(self) -> Model:
        """Load the best model."""
        return load(self.folder)


def _row(record: TrialRecord, metrics: Sequence[str], labels: Sequence[str], *, is_front: bool) -> dict[str, Any]:
    own = {
        "number": record.number,
        "verdict": record.verdict.value,
        "reward": record.reward,
        **{name: record.validation.get(name) for name in metrics},
        "ms": record.ms,
        "front": None if record.ms is None else is_front,
        "seconds": record.seconds,
        "macs": record.macs,
        "parameters": record.parameters,
        "known": record.known,
        "reading": record.reading,
    }
    # A search space may have a label of the same name.
    sample = {f"sample.{label}" if label in (*own, "detail") else label: record.sample.get(label) for label in labels}
    return {**own, **sample, "detail": record.detail}
