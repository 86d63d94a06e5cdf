"""A search that was run: what its folder holds, for Python."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autoad_nni.errors import AutoADError
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
        if not any((self.folder / name).exists() for name in (HISTORY, BEST, STARTED)):
            raise AutoADError(
                f"{self.folder} holds no search. Expected a folder that ad.search, 'autoad-nni search' or 'autoad-nni "
                "launch' wrote. Correct the path."
            )

    def __repr__(self) -> str:
        """Return the folder and the best reward."""
        best = "no trial ended well" if self.best is None else f"best {self.best.reward:.4f}"
        count = len(self.records)
        return f"Run({str(self.folder)!r}: {count} trial{'' if count == 1 else 's'}, {best})"

    @cached_property
    def best(self) -> BestRecord | None:
        """The best model's record; None if no trial ended well.

        Raises:
            AutoADError: If the file was changed by hand.
        """
        return BestRecord.read(self.folder) if (self.folder / BEST).exists() else None

    @cached_property
    def records(self) -> list[TrialRecord]:
        """The record of every trial, in the order in which they ended."""
        return read_history(self.folder)

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """Every trial as a row: ``number``, ``verdict``, ``reward``, metrics, costs, ``known``, the sample's labels."""
        import pandas

        metrics = list(dict.fromkeys(name for record in self.records for name in record.validation))
        return pandas.DataFrame([_row(record, metrics) for record in self.records])

    def load(self) -> Model:
        """Load the best model."""
        return load(self.folder)


def _row(record: TrialRecord, metrics: list[str]) -> dict[str, object]:
    return {
        "number": record.number,
        "verdict": record.verdict.value,
        "reward": record.reward,
        **{name: record.validation.get(name) for name in metrics},  # in one order, also if the first trial failed
        "seconds": record.seconds,
        "macs": record.macs,
        "parameters": record.parameters,
        "known": record.known,
        **record.sample,
        "detail": record.detail,
    }
