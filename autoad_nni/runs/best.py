"""What a search keeps of its best model beside the record: weights, and pictures of test images."""

from __future__ import annotations

import contextlib
from pathlib import Path

from autoad_nni.data import Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.scoring import predict_scores
from autoad_nni.runs.mistakes import threshold_of_good
from autoad_nni.runs.pictures import write_pictures
from autoad_nni.storing import replace_file, storing
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import make_scorer
from autoad_nni.verdicts import RejectedTrial

__all__ = ["load_weights", "save_pictures", "save_weights"]


def save_weights(detector: Detector, path: Path) -> None:
    """Write the state of a detector, atomically; StorageError if the disk refuses."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}
    with storing(path):
        replace_file(path, save(state))


def load_weights(detector: Detector, path: Path) -> None:
    """Read the state of a detector.

    Raises:
        AutoADError: If the file is missing, or that of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        detector.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AutoADError(
            f"the weights {path} cannot be read: {reason}. Expected those of the best model. Restore the file, or "
            "search again."
        ) from None


def save_pictures(folder: Path, detector: Detector, task: Task, request: TrialRequest, number: int) -> None:
    """Write ``pictures/`` and ``pictures.png`` of the test images, for a set with defects of its own.

    The threshold between good and defective is that of the good validation images, never of the test images.

    Args:
        folder: Of the search.
        detector: The best model.
        task: Its images.
        request: The options of its trial.
        number: Of its trial.
    """
    if request.task.abnormal:
        return  # thousands of small images with nothing to point at
    settings = request.settings
    scorer = make_scorer(detector, task.train[0], settings.scoring, max_memory=settings.max_memory)
    with contextlib.suppress(RejectedTrial):  # the evaluation on test says why
        threshold, origin = threshold_of_good(predict_scores(scorer, task.validation.normal).numpy())
        write_pictures(
            folder / "pictures",
            scorer,
            task.test,
            title=f"{folder.name}: {task.name}, trial {number}",
            threshold=threshold,
            origin=origin,
        )
