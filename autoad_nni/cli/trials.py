"""``autoad-nni trials``: all trials of a search in one table."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from autoad_nni.cli.sources import run_folder
from autoad_nni.cli.usage import printable, say

__all__ = ["trials"]


def trials(
    run: Annotated[str, typer.Argument(help="Folder of a search, or id of an NNI experiment that ended.")],
    csv: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write every column as CSV to this file; - for the screen.")
    ] = None,
) -> None:
    """Shows all trials, the best first: reward, verdict, costs and sample.

    Columns that do not fit the terminal are left out, and named; --csv has all of them, trials in the order in which
    they ended.
    """
    from autoad_nni.runs.run import Run
    from autoad_nni.runs.trial_table import as_csv, as_lines

    search = Run(run_folder(run))
    # A trial's detail may quote the name of a file, or an error.
    rows = [{name: printable(v) if isinstance(v, str) else v for name, v in row.items()} for row in search.rows]
    if csv == "-":
        say(as_csv(rows).removesuffix("\n"))
    elif csv is not None:
        path = Path(csv).expanduser()
        _write(path, as_csv(rows))
        say(printable(f"{len(rows)} trial{'' if len(rows) == 1 else 's'} written to {path}"))
    elif rows:
        metrics = {name for record in search.records for name in record.validation}
        for line in as_lines(rows, shutil.get_terminal_size((120, 24)).columns, metrics=metrics):
            say(line)
        if search.best is not None and search.best.request.task.planted:
            say("Rewards and metrics are of planted defects.")
    else:
        say("no trial has ended")


def _write(path: Path, content: str) -> None:
    from autoad_nni.storing import replace_file, storing

    with storing(path, "Give another FILE."):
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device is written to, never replaced
            path.write_text(content, encoding="utf-8", errors="backslashreplace")
        else:
            replace_file(path, content.encode(errors="backslashreplace"))
