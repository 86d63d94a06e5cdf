"""Has NNI itself check an experiment file, in both modes: what nnictl refuses, a search in this process refuses too."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from autoad_nni.errors import AutoADError

__all__ = ["check_nni_config"]


def check_nni_config(path: Path) -> None:
    """Raises unless NNI takes the file.

    Raises:
        AutoADError: If a key is unknown or missing, or has a value of another type.
    """
    from nni.experiment.config import ExperimentConfig, utils

    names = [field.name for field in dataclasses.fields(ExperimentConfig)]
    try:
        ExperimentConfig.load(path).validate()
    except Exception as error:
        raise AutoADError(
            f"{path}: NNI refuses it: {_reason(error, names)}. "
            "Expected the keys and types of an NNI experiment. Correct that key; start from a file in experiments/."
        ) from None
    finally:
        utils.unset_base_path()  # NNI leaves it set after a fault, and then refuses every other file


def _reason(error: Exception, fields: list[str]) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, AttributeError) and "does not have field" not in text:
        return "trainingService, tuner or assessor is missing, has an unknown platform, or is no mapping"
    for field in fields:
        text = re.sub(rf"\b{field}\b", re.sub(r"_(\w)", lambda letter: letter[1].upper(), field), text)
    # Its assertions have no text.
    return text or "a value is out of range, for instance trialConcurrency (1 or more), maxTrialDuration or logLevel"
