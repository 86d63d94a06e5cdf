"""What was recorded of a task, as arrays: every figure is a mean over some of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from autoad_nni.models.readings import READINGS, WHOLE
from benchmarks.planted.plants import PlantedSet, read_planted
from benchmarks.planted.sets import TaskOfSet

__all__ = ["NAMES", "Planted", "Recorded", "beaten", "read_task"]

Floats = npt.NDArray[np.float64]
NAMES: Final = [reading.name for reading in (WHOLE, *READINGS)]


@dataclass(frozen=True)
class Planted:
    """Planted defects of a task.

    Attributes:
        beaten: Of each defect by each model and reading, as in `beaten`.
        about: Kind, strength and size of each.

    Shape:
        ``beaten`` ``(models, readings, n)``.
    """

    beaten: Floats
    about: PlantedSet


@dataclass(frozen=True)
class Recorded:
    """A task's recordings; what a model has no reading for is nan.

    Attributes:
        task: Which.
        models: What is written of each model.
        real: As `beaten`, of the real validation anomalies.
        test: AUROC on test.
        units: Scores on test, good images first, in units of good validation images: their mean is 0, deviation 1.
        n_good: Good images on test.
        planted: By name of the pass.

    Shape:
        ``real`` and ``units`` ``(models, readings, n)``, ``test`` ``(models, readings)``.
    """

    task: TaskOfSet
    models: Sequence[dict[str, Any]]
    real: Floats
    test: Floats
    units: Floats
    n_good: int
    planted: dict[str, Planted]


def beaten(anomalies: npt.NDArray[Any], good: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the part of the good images that each anomaly scores above, equal ones counting half.

    The mean over anomalies is AUROC.

    Args:
        anomalies: Scores, ``(readings, n)``.
        good: Scores, ``(readings, m)``.

    Example:
        >>> beaten(np.array([[1.0, 3.0]]), np.array([[1.0, 2.0]]))
        array([[0.25, 1.  ]])
    """
    above = (anomalies[:, :, None] > good[:, None]).mean(-1)
    equal = (anomalies[:, :, None] == good[:, None]).mean(-1)
    return above + equal / 2  # type: ignore[no-any-return]


def read_task(task: TaskOfSet, folder: Path, passes: Sequence[str]) -> Recorded | None:
    """Read the recordings of a task; models that failed, or whose scores are not all there, are left out.

    None if there are none.
    """
    own = folder / task.of
    if not (own / "groups.json").is_file():
        return None
    groups = [name for name, n in json.loads((own / "groups.json").read_text()) for _ in range(n)]
    models, real, test, units = [], [], [], []
    planted: dict[str, list[Floats]] = {each: [] for each in passes}
    for about in sorted(own.glob("[0-9][0-9][0-9].json")):
        files = {each: about.with_suffix(f".{each}.npz") for each in ("real", *passes)}
        if not all(file.is_file() for file in files.values()):
            continue
        scores = {each: _read(file) for each, file in files.items()}
        if any(np.isnan(each).all() for each in scores.values()):
            continue
        models.append(json.loads(about.read_text()))
        good = {part: scores["real"][:, _where(groups, "good", part)] for part in ("validation", "test")}
        bad = {
            part: np.concatenate([scores["real"][:, _where(groups, kind, part)] for kind in task.kinds], 1)
            for part in good
        }
        real.append(_known(bad["validation"], good["validation"]))
        test.append(_known(bad["test"], good["test"]).mean(-1))
        mean, deviation = good["validation"].mean(1, keepdims=True), good["validation"].std(1, keepdims=True)
        units.append((np.concatenate([good["test"], bad["test"]], 1) - mean) / np.maximum(deviation, 1e-12))
        for each in passes:
            planted[each].append(_known(scores[each], good["validation"]))
    if not models:
        return None
    return Recorded(
        task,
        models,
        np.stack(real),
        np.stack(test),
        np.stack(units),
        good["test"].shape[1],
        {each: _without(np.stack(planted[each]), read_planted(own / f"{each}.planted.npz"), task) for each in passes},
    )


def _read(path: Path) -> Floats:
    """Scores by every reading, ``(readings, n)``."""
    with np.load(path) as file:
        names, scores = list(file["readings"]), file["scores"]
    found = np.full((len(NAMES), scores.shape[1]), np.nan)
    for name, row in zip(names, scores, strict=True):
        found[NAMES.index(str(name))] = row
    return found


def _known(anomalies: Floats, good: Floats) -> Floats:
    found: Floats = beaten(anomalies, good)
    found[np.isnan(anomalies).any(1) | np.isnan(good).any(1)] = np.nan
    return found


def _where(groups: list[str], kind: str, part: str) -> npt.NDArray[Any]:
    return np.flatnonzero([group == f"{kind}/{part}" for group in groups])


def _without(beaten: Floats, about: PlantedSet, task: TaskOfSet) -> Planted:
    """Defects of the kinds that are the task's real ones must not be planted."""
    kept = ~np.isin(about.kind, task.same)
    return Planted(beaten[:, :, kept], PlantedSet(**{name: values[kept] for name, values in vars(about).items()}))
