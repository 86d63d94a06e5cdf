"""Pictures of the winner at work on test images."""

from __future__ import annotations

from pathlib import Path

from autoad_nni.data import Task
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Prediction, Scorer
from autoad_nni.runs.pictures import write_pictures
from autoad_nni.runs.summary import claim
from autoad_nni.trial.request import TrialRequest

__all__ = ["save_pictures"]


def save_pictures(
    folder: Path,
    scorer: Scorer | Ensemble,
    task: Task,
    request: TrialRequest,
    origin: str,
    *,
    calibration: Calibration,
    test: Prediction,
) -> None:
    """Write ``pictures/`` and ``pictures.png`` of the test images, for a set with defects, its own or planted.

    The threshold between good and defective is the one for a false-alarm rate; no test image has a part in it.

    Args:
        folder: Of the search.
        scorer: The winner.
        task: Its images.
        request: The options of its trials.
        origin: Which trials it is of.
        calibration: Scores that its thresholds come from.
        test: Its prediction of the test images.
    """
    if request.task.abnormal:
        return  # thousands of small images with nothing to point at
    write_pictures(
        folder / "pictures",
        scorer,
        task.test,
        test,
        title=f"{folder.name}: {task.name}, {origin}",
        threshold=calibration.default().value,
        origin=claim(calibration),
    )
