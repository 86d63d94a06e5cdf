"""TensorBoard scalars: of a trial, where NNI's TensorBoard button finds them, and of a search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["ScalarWriter", "nni_experiment_folder", "nni_scalar_folder"]


def nni_experiment_folder() -> Path:
    """Returns the folder of the experiment that the running trial belongs to; all its trials see the same."""
    return Path(os.environ["NNI_OUTPUT_DIR"]).parents[3]


def nni_scalar_folder() -> Path:
    """Returns the folder in which NNI's TensorBoard button looks for the running trial.

    It is not below ``$NNI_OUTPUT_DIR``, which belongs to the environment that the trial runs in.
    """
    return nni_experiment_folder() / "trials" / os.environ["NNI_TRIAL_JOB_ID"] / "output" / "tensorboard"


class ScalarWriter:
    """Writes scalars; TensorBoard is imported at the first one, when training has begun long since.

    Args:
        folder: Where the event file goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def add(self, step: int, scalars: dict[str, float]) -> None:
        """Writes one value per name."""
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def add_iteration(self, figures: dict[str, float]) -> None:
        """Writes what a strategy tells of an iteration, to be seen at once: the next one can be an hour away."""
        self.add(int(figures["iteration"]), {f"strategy/{name}": value for name, value in figures.items()})
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the event file."""
        if self._writer is not None:
            self._writer.close()
