"""Checks a tuner of NNI that an experiment file names, before a server starts."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import Experiment

__all__ = ["check_tuner"]


def check_tuner(experiment: Experiment) -> None:
    """Raise unless the tuner can be imported and looks for the highest reward.

    NNI's TPE, TPE_legacy and Anneal minimise by default: they search for the worst model.

    Raises:
        AutoADError: If NNI has no such tuner, it cannot be imported, or it does not maximise.
    """
    name, arguments = experiment.tuner_name, experiment.tuner_arguments
    mode = arguments.get("optimize_mode", _default_mode(experiment))
    if mode in ("maximize", None):
        return
    shown = {**arguments, "optimize_mode": "maximize"}
    listed = ", ".join(f"{key}: {value}" for key, value in shown.items())
    got = "has no optimize_mode" if mode is inspect.Parameter.empty else f"has optimize_mode {mode}"
    raise AutoADError(
        f"{experiment.name}: the tuner {name} {got}, which looks for the worst model: rewards are better when higher. "
        f"Expected maximize. Write classArgs: {{{listed}}}."
    )


def _default_mode(experiment: Experiment) -> Any:
    """Return ``optimize_mode`` where the file does not give it: None where it makes no difference."""
    target = _target(experiment)
    if not target.startswith("nni."):
        return None  # a tuner of the user's own knows what is better
    module, _, attribute = target.rpartition(".")
    try:
        tuner = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise AutoADError(
            f"{experiment.name}: the tuner {experiment.tuner_name} of NNI cannot be imported: {error}. "
            "Expected what it needs to be installed. Install that, or name another tuner, for instance TPE."
        ) from None
    parameter = inspect.signature(tuner).parameters.get("optimize_mode")
    return None if parameter is None else parameter.default


def _target(experiment: Experiment) -> str:
    from nni.tools.package_utils.config_manager import get_all_algo_meta

    name = str(experiment.tuner_name)
    if experiment.tuner_is_class:
        return name
    known = [meta for meta in get_all_algo_meta() if meta.algo_type in ("tuner", "advisor")]
    for meta in known:
        if name.lower() in (str(meta.name).lower(), str(meta.alias).lower()):
            return str(meta.class_name)
    listed = ", ".join(sorted(str(meta.name) for meta in known))
    raise AutoADError(f"{experiment.name}: NNI has no tuner {name!r}. Expected one of {listed}. Correct tuner.name.")
