"""Lines that a report is made of: one for each model of a task, and one for each number of real defects."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoad_nni.searches.known import known_methods
from benchmarks.planted.choosing import DEFECTS, Setting, choose, few, planted_reward, settings_of, winner
from benchmarks.planted.recorded import NAMES, Floats, Recorded, read_task
from benchmarks.planted.sets import TASKS

__all__ = ["lines_of", "read_lines", "write_lines"]

Line = dict[str, Any]
_USUAL = NAMES.index("code/raw/max")


def lines_of(folder: Path, passes: Sequence[str]) -> Iterator[Line]:
    """Give the lines of all tasks that are recorded."""
    recorded = [each for task in TASKS if (each := read_task(task, folder, passes)) is not None]
    settings = list(settings_of(recorded))
    for each in recorded:
        yield from _model_lines(each, settings)
        for setting in settings:
            reward = planted_reward(each.planted, setting)
            if reward is not None:
                yield from _setting_lines(each, setting, reward)


def _setting_lines(recorded: Recorded, setting: Setting, reward: Floats) -> Iterator[Line]:
    about = {"task": recorded.task.name, "setting": setting.name}
    real, planted = (choose(by, recorded.test) for by in (recorded.real.mean(-1), reward))
    found = winner(recorded, real), winner(recorded, planted), winner(recorded, planted, planted=True)
    yield {**about, "winners": [round(each, 4) for each in found]}
    if not setting.kinds and setting.strength == "any":
        for defects in DEFECTS:
            picks = {way: round(test, 4) for way, test in few(recorded, reward, defects).items()}
            yield {**about, "defects": defects, "picks": picks}


def _model_lines(recorded: Recorded, settings: Sequence[Setting]) -> Iterator[Line]:
    real = choose(recorded.real.mean(-1), recorded.test)
    rewards = {setting.name: planted_reward(recorded.planted, setting) for setting in settings}
    planted = {name: choose(reward, recorded.test) for name, reward in rewards.items() if reward is not None}
    known = known_methods("features")
    for i, model in enumerate(recorded.models):
        usual = recorded.test[i, _USUAL]
        yield {
            "task": recorded.task.name,
            **{key: model[key] for key in ("name", "space", "seed", "seconds")},
            "known": model["name"] in known,
            "usual": None if np.isnan(usual) else round(float(usual), 4),
            "real": [round(float(real.reward[i]), 4), round(float(real.test[i]), 4)],
            "planted": {
                name: [round(float(each.reward[i]), 3), round(float(each.test[i]), 3)] for name, each in planted.items()
            },
        }


def write_lines(lines: Iterator[Line], path: Path) -> None:
    """Write lines, compressed; the same lines give the same bytes."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_lines(path: Path) -> list[Line]:
    """Read what `write_lines` wrote."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
