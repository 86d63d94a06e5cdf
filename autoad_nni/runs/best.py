"""What a search keeps of its best model: weights, how it is used, and pictures of it at work."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoad_nni.trial.request import TrialRequest
from autoad_nni.data import ImageShape, Task
from autoad_nni.models.detector import Detector
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector
from autoad_nni.trial.run import make_scorer, score_test
from autoad_nni.runs.pictures import write_pictures
from autoad_nni.models.scoring import Scorer, ScoringSettings, map_images
from autoad_nni.storing import replace_file, storing
from autoad_nni.verdicts import RejectedTrial

__all__ = ["BestModel", "figures_on_test", "load_best", "load_weights", "model_of", "save_pictures", "save_weights"]

WEIGHTS = "best.safetensors"


@dataclass(frozen=True)
class BestModel:
    """The best model of a finished search.

    Attributes:
        form: Of the images that it takes.
        scorer: The model.
    """

    form: ImageShape
    scorer: Scorer

    def score_map(self, images: Tensor) -> Tensor:
        """Returns the smoothed score per pixel: ``(n, *form)`` in [0, 1] to ``(n, 1, height, width)`` on the CPU."""
        return map_images(self.scorer, images)[:, None]


def model_of(task: Task, request: TrialRequest) -> dict[str, Any]:
    """Returns what `load_best` needs to know beside the sample; stands in ``best.json`` as ``model``."""
    scoring = request.settings.scoring
    return {
        "space": request.settings.space,
        "form": [task.channels, task.height, task.width],
        "patch": scoring.patch,
        "two_sided": scoring.two_sided,
        "smoothing": scoring.smoothing,
    }


def load_best(run: Path | str) -> BestModel:
    """Loads the best model of a search.

    Args:
        run: The run folder, or the folder of an NNI experiment that ``autoad-nni launch`` ended.

    Raises:
        AutoADError: If the folder holds no finished search, or one whose plugins are not installed.
    """
    run = Path(run)
    try:
        content = json.loads((run / "best.json").read_text(encoding="utf-8"))
        sample, model = content["sample"], content["model"]
        form = ImageShape(*model["form"])
        settings = ScoringSettings(**{name: model[name] for name in ("patch", "two_sided", "smoothing")})
        space = model["space"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AutoADError(
            f"{run} holds no finished search: best.json is missing or lacks something ({error}). Expected the --output "
            "of 'autoad-nni search', or the folder of an experiment that 'autoad-nni launch' ended. Correct the path."
        ) from None
    detector = build_detector(sample, channels=form.channels, space=space)
    load_weights(detector, run / WEIGHTS)
    return BestModel(form, make_scorer(detector.eval(), torch.zeros(form), settings))


def save_weights(detector: Detector, path: Path) -> None:
    """Writes the state of a detector, atomically; StorageError if the disk refuses."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}
    with storing(path):
        replace_file(path, save(state))


def load_weights(detector: Detector, path: Path) -> None:
    """Reads the state of a detector.

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


def figures_on_test(detector: Detector, task: Task, request: TrialRequest) -> dict[str, Any]:
    """Reads the test set for the model that is kept.

    Returns:
        The figures as ``test``; None if they cannot be told, and why as ``test_verdict``.
    """
    try:
        return {"test": score_test(detector, task, request.settings)}
    except RejectedTrial as rejection:  # validation was in order: images of the test set are of another kind
        return {"test": None, "test_verdict": str(rejection)}


def save_pictures(folder: Path, detector: Detector, task: Task, request: TrialRequest, best: Mapping[str, Any]) -> None:
    """Writes ``pictures/`` and ``pictures.png`` of the test images, for a set with defects of its own."""
    if request.task.abnormal:
        return  # thousands of small images with nothing to point at
    title = f"{task.name}, trial {best['trial']}."
    settings = request.settings
    scorer = make_scorer(detector, task.train[0], settings.scoring, max_memory=settings.max_memory)
    with contextlib.suppress(RejectedTrial):  # `figures_on_test` says why
        write_pictures(folder / "pictures", scorer, task.test, title=title)
