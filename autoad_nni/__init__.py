"""AutoAD on NNI: searches the best anomaly-detection model for an image data set.

::

    import autoad_nni as ad

    run = ad.search("/data/screws", trials=30, output="runs/screws")
    model = ad.load("runs/screws")
    prediction = model.predict(images)

Importing this package imports neither torch nor nni; the names below do, when they are used.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from autoad_nni.errors import AutoADError
from autoad_nni.version import __version__

if TYPE_CHECKING:
    from autoad_nni.data import Task, TaskOptions, load_task
    from autoad_nni.engines.estimator import AnomalyDetector
    from autoad_nni.engines.search import search
    from autoad_nni.models.distances.base import Distance
    from autoad_nni.models.hypotheses.base import Hypothesis
    from autoad_nni.models.scoring import Prediction, ScoringSettings
    from autoad_nni.models.training import TrainingSettings
    from autoad_nni.runs.model import Model, load
    from autoad_nni.runs.records import BestRecord
    from autoad_nni.runs.run import Run
    from autoad_nni.trial.record import TrialRecord
    from autoad_nni.trial.run import TrialResult, run_trial
    from autoad_nni.trial.settings import TrialSettings

__all__ = [
    "AnomalyDetector",
    "AutoADError",
    "BestRecord",
    "Distance",
    "Hypothesis",
    "Model",
    "Prediction",
    "Run",
    "ScoringSettings",
    "Task",
    "TaskOptions",
    "TrainingSettings",
    "TrialRecord",
    "TrialResult",
    "TrialSettings",
    "__version__",
    "load",
    "load_task",
    "run_trial",
    "search",
]

_HOME = {
    "AnomalyDetector": "engines.estimator",
    "BestRecord": "runs.records",
    "Distance": "models.distances.base",
    "Hypothesis": "models.hypotheses.base",
    "Model": "runs.model",
    "Prediction": "models.scoring",
    "Run": "runs.run",
    "ScoringSettings": "models.scoring",
    "Task": "data",
    "TaskOptions": "data",
    "TrainingSettings": "models.training",
    "TrialRecord": "trial.record",
    "TrialResult": "trial.run",
    "TrialSettings": "trial.settings",
    "load": "runs.model",
    "load_task": "data",
    "run_trial": "trial.run",
    "search": "engines.search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'autoad_nni' has no attribute {name!r}")
    with warnings.catch_warnings():  # NNI and torch add filters of their own when they are imported
        value = getattr(importlib.import_module(f"autoad_nni.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
