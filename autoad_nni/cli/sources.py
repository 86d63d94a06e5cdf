"""Which search is meant: a folder, or an experiment of NNI."""

from __future__ import annotations

import os
from pathlib import Path

from autoad_nni.errors import AutoADError

__all__ = ["folder_of"]


def folder_of(source: str) -> Path:
    """Return the folder of a search or a bundle, or that of the NNI experiment with this id.

    Raises:
        AutoADError: It is neither a path nor the id of an experiment that NNI knows.
    """
    path = os.path.expanduser(source)
    if os.path.lexists(path):
        return Path(path)
    from autoad_nni.engines.nnictl.experiments import find_experiment_folder

    folder = find_experiment_folder(source)
    if folder is None:
        raise AutoADError(
            f"there is no folder {source!r}, and NNI knows no experiment of that id. Expected the folder of a search, "
            "or an id that 'nnictl experiment list --all' shows. Correct it."
        )
    return folder
