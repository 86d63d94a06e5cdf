"""``autoad-nni init``: what a search of a folder would choose, as an experiment file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from autoad_nni.cli.usage import say
from autoad_nni.errors import AutoADError

__all__ = ["init"]


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of images.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many models to train; default: 30, or all within --minutes.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for all trials.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the strategy.")] = 0,
    max_ms: Annotated[
        float | None, typer.Option(help="Refuse models that take more milliseconds for one image; default: no limit.")
    ] = None,
) -> None:
    """Writes what 'autoad-nni search FOLDER' would do as an experiment file to standard output.

    Change the file, and give it to 'autoad-nni search', 'autoad-nni launch' or 'nnictl create --config'. Paths in it
    are absolute, so it may lie anywhere.
    """
    from autoad_nni.engines.isolation import quiet_nni
    from autoad_nni.engines.search import open_experiment
    from autoad_nni.searches.file_text import experiment_text

    if not os.path.isdir(folder):
        raise AutoADError(f"{folder} is not a folder. Expected a folder of images. Check the path.")
    with quiet_nni():
        options: dict[str, Any] = {} if max_ms is None else {"max_ms": max_ms}
        experiment = open_experiment(folder, trials=trials, minutes=minutes, seed=seed, **options)
    say(experiment_text(experiment).removesuffix("\n"))
