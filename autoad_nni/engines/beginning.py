"""What every search begins with, whatever runs its trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoad_nni.data import Task
from autoad_nni.registry import DEFECTS
from autoad_nni.runs.competing import check_competitors, check_images
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.winner import check_false_alarm_rate
from autoad_nni.searches.experiment_file import Experiment
from autoad_nni.searches.plugins import plugins_of_search
from autoad_nni.searches.preflight import preflight
from autoad_nni.trial.plugins import versions_of
from autoad_nni.trial.request import TrialRequest

__all__ = ["check_and_load"]


def check_and_load(
    experiment: Experiment, request: TrialRequest, arguments: Mapping[str, Any] | None
) -> tuple[Task, RunStart]:
    """Find all that can be wrong with a search, before a folder is made or a server started.

    Args:
        experiment: What to search.
        request: What its ``trialCommand`` says.
        arguments: The advisor's arguments; None when a tuner of NNI proposes the trials.

    Returns:
        The images, and what the search begins with.

    Raises:
        AutoADError: For the first fault that is found.
    """
    check_competitors(request)
    task = preflight(experiment, request, arguments)
    check_false_alarm_rate(request.false_alarm_rate, task)
    check_images(request, task)
    strategy, seed = (None, None) if arguments is None else (arguments["strategy"], arguments["seed"])
    plugins = plugins_of_search(
        experiment.search_space, strategy=strategy, space=request.space, data_sets=request.data_sets
    )
    if request.task.planted:
        plugins |= versions_of([(DEFECTS, name) for name in DEFECTS.names()])
    name = Path(experiment.name).name
    return task, RunStart.of(request, task, plugins, experiment=name, strategy=strategy, seed=seed)
