"""Where a trained model lies: a folder, or what NNI calls an experiment."""

from __future__ import annotations

import os
from pathlib import Path

from autoad_nni.errors import AutoADError

__all__ = ["run_folder"]


def run_folder(source: str) -> Path:
    """Return the folder that a user names: its path, or the id of an NNI experiment.

    Raises:
        AutoADError: It is neither.
    """
    folder = Path(source).expanduser()
    if os.path.exists(folder):
        return folder
    if source.isalnum():  # no other id is; asking NNI takes seconds
        from autoad_nni.engines.nnictl.experiments import find_experiment_folder

        found = find_experiment_folder(source)
        if found is not None:
            return found
    raise AutoADError(
        f"there is no folder {source}, nor does NNI know an experiment of that id. Expected a folder of a search, or "
        "the id of an experiment. Correct it; 'nnictl experiment list --all' shows all ids."
    )
