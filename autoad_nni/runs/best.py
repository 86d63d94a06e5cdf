"""Pictures of the winner at work on test images."""

from __future__ import annotations

import contextlib
from pathlib import Path

from autoad_nni.data import Task
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Scorer, predict_scores
from autoad_nni.runs.mistakes import threshold_of_good
from autoad_nni.runs.pictures import write_pictures
from autoad_nni.trial.request import TrialRequest
from autoad_nni.verdicts import RejectedTrial

__all__ = ["save_pictures"]


def save_pictures(folder: Path, scorer: Scorer | Ensemble, task: Task, request: TrialRequest, origin: str) -> None:
    """Write ``pictures/`` and ``pictures.png`` of the test images, for a set with defects of its own.

    The threshold between good and defective is that of the good validation images, never of the test images.

    Args:
        folder: Of the search.
        scorer: The winner.
        task: Its images.
        request: The options of its trials.
        origin: Which trials it is of.
    """
    if request.task.abnormal:
        return  # thousands of small images with nothing to point at
    with contextlib.suppress(RejectedTrial):  # the evaluation on test says why
        threshold, rule = threshold_of_good(predict_scores(scorer, task.validation.normal).numpy())
        write_pictures(
            folder / "pictures",
            scorer,
            task.test,
            title=f"{folder.name}: {task.name}, {origin}",
            threshold=threshold,
            origin=rule,
        )
