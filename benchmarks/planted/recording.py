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
from autoad_nni.models.detector import Detector
from autoad_nni.models.scoring import Scorer, predict_parts, size_of
from autoad_nni.runs.winner import build_trained, load_weights, save_weights
from autoad_nni.trial.fitting import hold_out, inputs_of
from autoad_nni.trial.reading import predictions
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import make_scorer, run_trial
from autoad_nni.verdicts import RejectedTrial
from benchmarks.planted.models import Candidate, candidates, settings_of
from benchmarks.planted.plants import planted_set
from benchmarks.planted.sets import PARTS, ImageSet, load_set

__all__ = ["Group", "groups_of", "record_set"]


class Group(NamedTuple):
    """Images that are scored together.

    Attributes:
        name: ``held out``, ``good/PART`` or ``KIND/PART``.
        images: ``(n, 1, height, width)``.
    """

    name: str
    images: Tensor


def groups_of(images: ImageSet) -> Iterator[Group]:
    """Give the real images of a set: good ones held out of training, of validation and test, and every kind's."""
    yield Group("held out", hold_out(images.train)[1])
    for kind, parts in {"good": images.good, **images.defects}.items():
        yield from (Group(f"{kind}/{part}", parts[part]) for part in PARTS)


def record_set(name: str, folder: Path, passes: Sequence[str], number: int) -> None:
    """Record all models of a set; what is there is kept.

    Args:
        name: Of the set.
        folder: Of the recordings.
        passes: Names of the planted sets.
        number: Of models.
    """
    images = load_set(name, folder)
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    groups = list(groups_of(images))
    (own / "groups.json").write_text(json.dumps([(group.name, len(group.images)) for group in groups]))
    scored = {"real": torch.cat([group.images for group in groups])}
    for each in passes:
        pixels = planted_set(each, images.good["validation"], own / f"{each}.planted.npz")["images"]
        scored[each] = torch.from_numpy(pixels)[:, None].float() / 255
    task = _task_of(name, images)
    for index, candidate in enumerate(candidates(name, images.train[0].numel())[:number]):
        _record(own / f"{index:03}", candidate, task, scored)


def _task_of(name: str, images: ImageSet) -> Task:
    """What a trial trains on; its reading, chosen on the real validation, is not used."""
    bad = torch.cat([parts["validation"] for parts in images.defects.values()])
    good = images.good["validation"]
    held = LabelledImages(torch.cat([good, bad]), torch.tensor([0] * len(good) + [1] * len(bad), dtype=torch.uint8))
    return Task(name=name, train=images.train, validation=held, test=held)


def _record(stem: Path, candidate: Candidate, task: Task, scored: dict[str, Tensor]) -> None:
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
        for each in missing:
            used = time.process_time()
            np.savez_compressed(_scores_file(stem, each), **_scores(detector, scored[each], candidate))
            print(stem, candidate.name, each, record.reward, round(time.process_time() - used, 1), flush=True)


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
