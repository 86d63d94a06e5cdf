"""Looks up the experiments that NNI knows on this machine: their folders, ports and servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError

__all__ = ["check_closed", "experiment_folder", "find_experiment_folder", "has_server", "known_experiments"]


def known_experiments() -> dict[str, dict[str, Any]]:
    """Return what NNI notes of its experiments by their id: ``port``, ``pid``, ``logDir`` and more."""
    from nni.tools.nnictl.config_utils import Experiments

    known: dict[str, dict[str, Any]] = Experiments().get_all_experiments()
    return known


def find_experiment_folder(experiment_id: str) -> Path | None:
    """Return the folder of an experiment, or None while NNI does not know it."""
    known = known_experiments()
    return Path(known[experiment_id]["logDir"]) / experiment_id if experiment_id in known else None


def experiment_folder(experiment_id: str) -> Path:
    """Return the folder in which NNI keeps an experiment.

    Raises:
        AutoADError: If NNI knows no experiment of that id.
    """
    folder = find_experiment_folder(experiment_id)
    if folder is None:
        listed = ", ".join(known_experiments()) or "none"
        raise AutoADError(
            f"NNI knows no experiment {experiment_id!r}. Known: {listed}. See 'nnictl experiment list --all'."
        )
    return folder


def has_server(experiment_id: str) -> bool:
    """Return whether the process that NNI noted runs, and is what NNI noted: numbers are used again."""
    import psutil

    pid = known_experiments().get(experiment_id, {}).get("pid")
    try:
        return pid is not None and experiment_id in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def check_closed(experiment_id: str) -> None:
    """Raise unless the experiment has no server; nnictl would fail with a traceback.

    Raises:
        AutoADError: It is open already.
    """
    if has_server(experiment_id):
        port = known_experiments()[experiment_id]["port"]
        raise AutoADError(
            f"experiment {experiment_id} is open already, at http://127.0.0.1:{port}. Expected one whose server has "
            f"ended. Look there, or close it first: nnictl stop {experiment_id}"
        )
