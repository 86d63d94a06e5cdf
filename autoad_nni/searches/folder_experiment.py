"""Writes the experiment for a folder of images: the choices that a user would otherwise make in an experiment file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from autoad_nni.searches.experiment_file import ADVISOR, Experiment, make_experiment
from autoad_nni.searches.spaces import to_search_space
from autoad_nni.trial.request import TrialRequest

__all__ = ["folder_experiment"]

_LAYERS = 2
_IMAGE_SIZE = 64
_MAX_MACS = 5_000_000
_MAX_SECONDS = 60


def folder_experiment(folder: Path, **options: Any) -> Experiment:
    """Write the experiment for a folder of images in one of the two layouts.

    Chosen where ``options`` leaves it open: two layers, images of 64 x 64 pixels, and limits that keep any one trial
    under a minute on one core.

    Args:
        folder: See `autoad_nni.data.sources.folder.Folder` for the layouts.
        options: Any option of a trial, by name.

    Raises:
        AutoADError: If an option is unknown or out of its range.
    """
    from autoad_nni_search_spaces import AutoencoderSpace

    chosen = {
        "data": "folder",
        "root": folder.absolute(),
        "image_size": _IMAGE_SIZE,
        "max_macs": _MAX_MACS,
        "max_seconds": _MAX_SECONDS,
        "threads": 1,
    }
    request = TrialRequest.from_options(**{**chosen, **options})
    content = {
        "trialCommand": shlex.join(["autoad-nni", "trial", *request.to_words()]),
        "maxTrialNumber": 30,
        "trialConcurrency": 1,
        "trainingService": {"platform": "local"},
        "tuner": {
            "className": ADVISOR,
            "codeDirectory": ".",
            "classArgs": {"strategy": "autoad", "seed": 0, "known": True},
        },
        "searchSpace": to_search_space(AutoencoderSpace(_LAYERS)),
    }
    return make_experiment(content, name=str(folder), folder=Path())
