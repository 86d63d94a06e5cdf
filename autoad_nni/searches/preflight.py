"""Finds what is wrong with an experiment before a server starts or a folder is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoad_nni.data import Task, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import Experiment
from autoad_nni.searches.nni_config import check_nni_config
from autoad_nni.searches.nni_tuners import check_tuner
from autoad_nni.searches.plugins import check_components
from autoad_nni.searches.search import Search
from autoad_nni.searches.spaces import declare, narrow
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import check_task, check_whole_images
from autoad_nni.trial.settings import pick_device

__all__ = ["preflight"]


def preflight(experiment: Experiment, request: TrialRequest, arguments: Mapping[str, Any] | None) -> Task:
    """Check the keys, space, strategy or tuner, device and images, as every trial would need them.

    Args:
        experiment: What to search.
        request: What its ``trialCommand`` says.
        arguments: The advisor's arguments; None when a tuner of NNI proposes the trials.

    Returns:
        The task, loaded.

    Raises:
        AutoADError: For the first fault that is found.
    """
    check_nni_config(experiment)
    if arguments is not None:
        if request.space != arguments["space"]:
            raise AutoADError(
                f"trialCommand has --space {request.space}, tuner.classArgs has space {arguments['space']}. "
                "Expected the same in both. Correct one of them."
            )
        Search(search_space=experiment.search_space, journal_path=None, **arguments)
    else:
        check_tuner(experiment)
        narrow(declare(request.space, experiment.search_space), experiment.search_space)
    check_components(experiment.search_space, request.settings.extraction)
    if "extractor" in experiment.search_space:
        check_whole_images(request.settings)
    pick_device(request.settings.device)
    task = load_task(request.task)
    check_task(task, request.settings)
    return task
