"""Records scores: trains every model of a set once, and scores its real and its planted images by every reading."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import LabelledImages, Task
from autoad_nni.models.build import build_architecture
from autoad_nni.models.detector import Detector
from autoad_nni.models.feature_model import FEATURE_CHOICES, FeatureModel
from autoad_nni.models.scoring import Scorer, predict_parts, size_of
from autoad_nni.runs.winner import build_trained, load_weights, save_weights
from autoad_nni.searches.known import known_methods
from autoad_nni.trial.features import extract
from autoad_nni.trial.fitting import inputs_of
from autoad_nni.trial.reading import predictions
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import make_scorer, run_trial
from autoad_nni.verdicts import RejectedTrial
from benchmarks.planted.models import Candidate, candidates, settings_of
from benchmarks.planted.plants import planted_set
from benchmarks.planted.sets import PARTS, ImageSet, load_set

__all__ = ["Group", "groups_of", "record"]

_FEW = 4
_STAGES = (4, 8, 16, 32)


class Group(NamedTuple):
    """Images that are scored together.

    Attributes:
        name: ``good/PART`` or ``KIND/PART``.
        images: ``(n, 1, height, width)``.
    """

    name: str
    images: Tensor


def groups_of(images: ImageSet) -> Iterator[Group]:
    """Give the real images of a set, good ones and every kind's, of validation and test."""
    for kind, parts in {"good": images.good, **images.defects}.items():
        yield from (Group(f"{kind}/{part}", parts[part]) for part in PARTS)


def record(names: Sequence[str], folder: Path, passes: Sequence[str], numbers: Sequence[int]) -> None:
    """Record the models of sets; what is there is kept.

    Args:
        names: Of the sets.
        folder: Of the recordings.
        passes: Names of the planted sets.
        numbers: Of models: so many of all sets, then more of all sets.
    """
    prepared: dict[str, tuple[Task, dict[str, Tensor], list[Candidate]]] = {}
    for number in numbers:
        for name in names:
            if name not in prepared:
                prepared[name] = _prepare(name, folder, passes)
            task, scored, models = prepared[name]
            for index, candidate in enumerate(models[:number]):
                _record_model(folder / name / f"{index:03}", candidate, task, scored)


def _prepare(name: str, folder: Path, passes: Sequence[str]) -> tuple[Task, dict[str, Tensor], list[Candidate]]:
    images = load_set(name, folder)
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    groups = list(groups_of(images))
    (own / "groups.json").write_text(json.dumps([(group.name, len(group.images)) for group in groups]))
    scored = {"real": torch.cat([group.images for group in groups])}
    for each in passes:
        pixels = planted_set(each, images.train, images.hosts, own / f"{each}.planted.npz").images
        planted = torch.from_numpy(pixels)[:, None].float() / 255
        # Where a set has no background, two passes are one.
        scored[each] = next((known for known in scored.values() if torch.equal(known, planted)), planted)
    task = _task_of(name, images)
    _extract([task.train, task.validation.images, *scored.values()])
    return task, scored, candidates(name, images.train[0].numel())


def _task_of(name: str, images: ImageSet) -> Task:
    """What a trial trains on; its reading, which is chosen on a few real images, is not used."""
    bad = torch.cat([parts["validation"][:_FEW] for parts in images.defects.values()])
    good = images.good["validation"][:_FEW]
    held = LabelledImages(torch.cat([good, bad]), torch.tensor([0] * len(good) + [1] * len(bad), dtype=torch.uint8))
    return Task(name=name, train=images.train, validation=held, test=held)


def _extract(images: list[Tensor]) -> None:
    """Put the features of all stages into the cache in one pass, not one for each stage."""
    for enlargement in FEATURE_CHOICES["enlargement"]:
        sample = known_methods("features")["patchcore"] | {"enlargement": enlargement}
        model = build_architecture(sample, channels=1, space="features")
        assert isinstance(model, FeatureModel)
        for each in images:
            extract(model.extractor, each, _STAGES, name=model.extractor_name)


def _record_model(stem: Path, candidate: Candidate, task: Task, scored: dict[str, Tensor]) -> None:
    """Train one model unless it is there, and score what is not scored yet."""
    about, weights = stem.with_suffix(".json"), stem.with_suffix(".safetensors")
    missing = [each for each in scored if not _scores_file(stem, each).is_file()]
    if about.is_file():
        record = TrialRecord.from_json(json.loads(about.read_text())["record"])
        if not record.ok or not missing:
            return
        detector: Detector | None = build_trained(record, channels=task.channels, settings=settings_of(candidate))
        assert detector is not None
        load_weights(detector, weights)
    else:
        used = time.process_time()
        result = run_trial(candidate.sample, task, settings_of(candidate))
        seconds, record, detector = time.process_time() - used, result.record, result.detector
        if detector is not None:
            save_weights(detector, weights)
        about.write_text(json.dumps({**asdict(candidate), "seconds": round(seconds, 2), "record": record.to_json()}))
    if detector is not None:
        found: dict[int, dict[str, Any]] = {}
        for each in missing:
            images = scored[each]
            if id(images) not in found:
                found[id(images)] = _scores(detector, images, candidate)
            np.savez_compressed(_scores_file(stem, each), **found[id(images)])
        print(stem, candidate.name, record.reward, flush=True)


def _scores_file(stem: Path, name: str) -> Path:
    return stem.with_suffix(f".{name}.npz")


def _scores(detector: Detector, images: Tensor, candidate: Candidate) -> dict[str, Any]:
    """Scores by every reading, ``(readings, images)``; none if one is not finite."""
    scorer: Scorer = make_scorer(detector, images[0], settings_of(candidate).scoring)
    inputs = inputs_of(detector, images)
    try:
        whole, maps = predict_parts(scorer, inputs)
    except RejectedTrial:
        return {"readings": np.array([], str), "scores": np.empty((0, len(images)), np.float32)}
    found = {reading.name: each.score.numpy() for reading, each in predictions(scorer, whole, maps, size_of(inputs))}
    return {"readings": np.array(list(found)), "scores": np.stack(list(found.values())).astype(np.float32)}
