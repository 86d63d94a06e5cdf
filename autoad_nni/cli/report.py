"""``autoad-nni report``: a search as one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoad_nni.cli.sources import run_folder
from autoad_nni.cli.usage import say

if TYPE_CHECKING:
    from autoad_nni.trial.record import TrialRecord

__all__ = ["report"]


def report(
    run: Annotated[
        str, typer.Argument(help="Folder of a search, --output of 'autoad-nni search'; or the id of an NNI experiment.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the page goes; default: report.html in the folder.")
    ] = None,
) -> None:
    """Write a search as one HTML page: the winner and its mistakes first, then how the search went.

    At any time: also of a search that goes on or was stopped. Nothing is trained, no image is read. The page opens
    without a server and loads nothing.
    """
    from autoad_nni.runs.report.page import write_report

    folder, records = _find(run)
    say(f"written to {write_report(folder, output, records=records)}")


def _find(run: str) -> tuple[Path, Sequence[TrialRecord] | None]:
    """The folder of a search; and for an NNI experiment its trials: until `launch` ends it, only NNI has them."""
    folder = run_folder(run)
    if not os.path.exists(folder / "db" / "nni.sqlite"):
        return folder, None
    from autoad_nni.engines.nnictl.database import finished_trials

    return folder, finished_trials(folder)
