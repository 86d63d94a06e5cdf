"""Has NNI itself check an experiment file, in both modes: what nnictl refuses, a search in this process refuses too.

And writes for nnictl what it would not understand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import Experiment

__all__ = ["check_nni_config", "file_for_nni"]


def check_nni_config(experiment: Experiment) -> None:
    """Raise unless NNI takes the experiment.

    Raises:
        AutoADError: If a key is unknown or missing, or has a value of another type.
    """
    from nni.experiment.config import ExperimentConfig, utils

    names = [field.name for field in dataclasses.fields(ExperimentConfig)]
    try:
        utils.set_base_path(experiment.folder.absolute())
        ExperimentConfig(**experiment.content).validate()
    except Exception as error:
        raise AutoADError(
            f"{experiment.name}: NNI refuses it: {_reason(error, names)}. "
            "Expected the keys and types of an NNI experiment. Correct that key; start from a file in experiments/."
        ) from None
    finally:
        utils.unset_base_path()  # NNI leaves it set after a fault, and then refuses every other file


@contextlib.contextmanager
def file_for_nni(experiment: Experiment, path: Path) -> Iterator[Path]:
    """Give the file for nnictl, within the block: ``path``, or one with the long form of the search space.

    Args:
        experiment: What was read from ``path``, and checked.
        path: The user's file.
    """
    if not experiment.was_short:
        yield path
        return
    from nni.experiment.config import ExperimentConfig, utils

    utils.set_base_path(experiment.folder.absolute())
    try:
        # With absolute paths, so that it may lie anywhere.
        content = ExperimentConfig(**experiment.content).canonical_copy().json()
    finally:
        utils.unset_base_path()
    with tempfile.TemporaryDirectory(prefix="autoad-nni-") as folder:
        written = Path(folder, path.name)
        written.write_text(json.dumps(content), encoding="utf-8")
        yield written


def _reason(error: Exception, fields: list[str]) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, AttributeError) and "does not have field" not in text:
        return "trainingService, tuner or assessor is missing, has an unknown platform, or is no mapping"
    for field in fields:
        text = re.sub(rf"\b{field}\b", re.sub(r"_(\w)", lambda letter: letter[1].upper(), field), text)
    # Its assertions have no text.
    return text or "a value is out of range, for instance trialConcurrency (1 or more), maxTrialDuration or logLevel"
