"""Which weights a trial's feature extractor has: recorded with it, and compared before its model is used again."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.feature_model import FeatureModel
from autoad_nni.trial.plugins import WEIGHTS, PluginVersions

__all__ = ["check_weights", "weights_of"]


def weights_of(model: nn.Module) -> PluginVersions:
    """Return the name of a model's feature extractor and the SHA-256 of its weights; nothing where there are none."""
    if not isinstance(model, FeatureModel) or not model.weights:
        return {}
    return {f"{WEIGHTS} {model.extractor_name}": model.weights}


def check_weights(recorded: Mapping[str, str], model: nn.Module) -> None:
    """Raise AutoADError unless the features of a model come from the weights that were recorded with it."""
    for key, found in weights_of(model).items():
        expected = recorded.get(key, found)
        if found != expected:
            raise AutoADError(
                f"The {key} are {found}. Expected {expected}, with which the model was trained. Give their file in "
                "[[weights=FILE]], or restore it."
            )
