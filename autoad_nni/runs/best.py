"""Pictures of the winner at work on test images."""

from __future__ import annotations

from pathlib import Path

from autoad_nni.data import Task
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Prediction, Scorer
from autoad_nni.runs.mistakes import threshold_of_good
from autoad_nni.runs.pictures import write_pictures
from autoad_nni.trial.request import TrialRequest

__all__ = ["save_pictures"]


def save_pictures(
    folder: Path,
    scorer: Scorer | Ensemble,
    task: Task,
    request: TrialRequest,
    origin: str,
    *,
    validation: Prediction,
    test: Prediction,
) -> None:
    """Write ``pictures/`` and ``pictures.png`` of the test images, for a set with defects of its own.

    The threshold between good and defective is that of the good validation images, never of the test images.

    Args:
        folder: Of the search.
        scorer: The winner.
        task: Its images.
        request: The options of its trials.
        origin: Which trials it is of.
        validation: Its prediction of the validation images.
        test: Its prediction of the test images.
    """
    if request.task.abnormal:
        return  # thousands of small images with nothing to point at
    threshold, rule = threshold_of_good(validation.score[task.validation.labels == 0].numpy())
    write_pictures(
        folder / "pictures",
        scorer,
        task.test,
        test,
        title=f"{folder.name}: {task.name}, {origin}",
        threshold=threshold,
        origin=rule,
    )
