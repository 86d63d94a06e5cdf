"""Where NNI keeps what belongs to the running trial."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["nni_experiment_folder", "nni_scalar_folder"]


def nni_experiment_folder() -> Path:
    """Return the folder of the experiment that the running trial belongs to; all its trials see the same."""
    return Path(os.environ["NNI_OUTPUT_DIR"]).parents[3]


def nni_scalar_folder() -> Path:
    """Return the folder in which NNI's TensorBoard button looks for the running trial.

    It is not below ``$NNI_OUTPUT_DIR``, which belongs to the environment that the trial runs in.
    """
    return nni_experiment_folder() / "trials" / os.environ["NNI_TRIAL_JOB_ID"] / "output" / "tensorboard"
