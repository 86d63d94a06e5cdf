"""Removes what nnictl leaves of an experiment that never began."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from autoad_nni.engines.nnictl.database import has_begun
from autoad_nni.engines.nnictl.experiments import has_server

__all__ = ["remove_leftovers"]


def remove_leftovers(experiment_file: Path, experiment_id: str, *, since: float) -> None:
    """Remove the folder of an experiment that holds no trial and no journal, and NNI's note of it.

    Args:
        experiment_file: What nnictl was given.
        experiment_id: The experiment's; empty if nnictl did not come as far as naming it.
        since: When nnictl was started, in seconds since 1970. Without an id, a folder of this launch is one made later
            in which nnictl logged nothing but its own end.
    """
    experiments = _experiments_folder(experiment_file)
    if experiments is None or not experiments.is_dir():
        return
    folders = [experiments / experiment_id] if experiment_id else list(_unnamed(experiments, since))
    for folder in folders:
        if folder.is_dir() and not has_server(folder.name) and not has_begun(folder):
            _remove(folder)


def _experiments_folder(experiment_file: Path) -> Path | None:
    """Return where nnictl makes the experiment's folder, or None for a file that it refuses, and makes none."""
    from nni.experiment.config import ExperimentConfig

    try:
        config = ExperimentConfig.load(experiment_file).canonical_copy()
    except Exception:  # NNI raises whatever its checks come across
        return None
    return Path(config.experiment_working_directory)


def _unnamed(experiments: Path, since: float) -> Iterator[Path]:
    for log in experiments.glob("*/log/experiment.log"):
        folder = log.parents[1]
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        if not folder.is_symlink() and folder.stat().st_ctime >= since and files == [log]:
            text = log.read_text(encoding="utf-8", errors="replace")
            if "Stopping experiment" in text and "Experiment ID" not in text:
                yield folder


def _remove(folder: Path) -> None:
    from nni.tools.nnictl.config_utils import Experiments

    shutil.rmtree(folder, ignore_errors=True)
    Experiments().remove_experiment(folder.name)
    latest = folder.with_name("_latest")
    if latest.is_symlink() and latest.readlink().name == folder.name:
        latest.unlink()
