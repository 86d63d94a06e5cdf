"""The smallest experiment on real images: 200 digits, one layer, one epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

TRIAL = "autoad-nni trial --data digits --abnormal photos --limit 200 --epochs 1 --threads 1"
# Eight trials of it: the winner is the mean of a few, none of which is perfect.
HARDER = TRIAL.replace("--limit 200", "--limit 400") + " --seed 1"
SPACE: dict[str, list[Any]] = {
    "hypothesis": ["reconstruction"],
    "distance": ["l1", "l2"],
    "layer1_channels": [3, 8],
    "layer1_kernel": [1, 3],
    "layer1_pooling": ["max"],
    "layer1_pooling_kernel": [1, 3],
    "layer1_normalization": ["none", "batch"],
    "layer1_activation": ["elu", "tanh"],
}
SAMPLE = {label: values[0] for label, values in SPACE.items()} | {"layer1_kernel": 3}


def content(**changes: Any) -> dict[str, Any]:
    """The experiment file with some keys changed; None takes a key out."""
    whole = {
        "trialCommand": TRIAL,
        "maxTrialNumber": 8,
        "trialConcurrency": 1,
        "trainingService": {"platform": "local"},
        "tuner": tuner(),
        "searchSpace": space(),
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def tuner(**class_args: Any) -> dict[str, Any]:
    return {
        "className": "autoad_nni.bridge.StrategyAdvisor",
        "codeDirectory": ".",
        "classArgs": {"strategy": "autoad", "seed": 0, **class_args},
    }


def space(**changes: Any) -> dict[str, Any]:
    """The search space with some labels' values changed; None takes a label out."""
    values = {label: choice for label, choice in {**SPACE, **changes}.items() if choice is not None}
    return {label: {"_type": "choice", "_value": choice} for label, choice in values.items()}


def write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(content(**changes), sort_keys=False), encoding="utf-8")
    return path


def history(run: Path) -> list[dict[str, Any]]:
    """The trials of a run, without the times that differ from run to run."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["ms"]
    return lines


def best_of(run: Path) -> dict[str, Any]:
    best: dict[str, Any] = json.loads((run / "best.json").read_text())
    return best


def members(run: Path) -> list[int]:
    """The numbers of the trials whose models make the winner, the best first."""
    return [member["number"] for member in best_of(run)["members"]]
