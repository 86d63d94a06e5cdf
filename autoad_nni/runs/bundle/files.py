"""``detector.json`` and ``threshold.json`` of a bundle: written once, checked whenever they are read."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch

from autoad_nni.data import ImageShape
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.opening import open_regular, read_json
from autoad_nni.runs.bundle.record import Member, ModelRecord
from autoad_nni.storing import reason_of, write_json
from autoad_nni.trial.plugins import WEIGHTS
from autoad_nni.trial.request import TrialRequest
from autoad_nni.version import __version__

__all__ = [
    "DETECTOR",
    "MODEL",
    "ONNX",
    "THRESHOLD",
    "is_bundle",
    "read_bundle",
    "sha256_of",
    "write_detector",
    "write_threshold",
]

DETECTOR: Final = "detector.json"
THRESHOLD: Final = "threshold.json"
MODEL: Final = "model.safetensors"
ONNX: Final = "model.onnx"

_FORMAT: Final = 1
_T = TypeVar("_T")


def is_bundle(folder: Path) -> bool:
    """Return whether a folder is a bundle, not that of a search."""
    return os.path.exists(folder / DETECTOR)


def write_threshold(folder: Path, calibration: Calibration) -> None:
    """Write ``threshold.json``: the thresholds for the false-alarm rate and the best F1, and the scores behind them.

    Raises:
        StorageError: If the disk refuses.
    """
    f1 = calibration.best_f1()
    content = {
        "rule": "An image is defective if its score, as a double, is greater than the threshold's value.",
        "threshold": asdict(calibration.default()),
        "f1": None if f1 is None else asdict(f1),
        "calibration": calibration.to_json(),
    }
    write_json(folder / THRESHOLD, content)


def write_detector(folder: Path, record: ModelRecord) -> None:
    """Write ``detector.json``, the last file of a bundle: it has the SHA-256 of those that a program reads.

    Raises:
        StorageError: If the disk refuses.
    """
    content = {
        "format": _FORMAT,
        "versions": {
            "autoad-nni": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        "image_shape": list(record.image_shape),
        "preprocessing": _preprocessing(record.image_shape),
        "space": record.settings.space,
        "members": [{**vars(member), "sample": dict(member.sample)} for member in record.members],
        "score": _score_in_words(record),
        "scoring": vars(record.settings.scoring),
        "max_memory": record.settings.max_memory,
        "extraction": {
            "download": record.settings.download,
            "weights": None if record.settings.weights is None else str(record.settings.weights.absolute()),
        },
        "extractors": _extractors(record),
        "sha256": {
            name: sha256_of(folder / name) for name in (MODEL, ONNX, THRESHOLD) if os.path.exists(folder / name)
        },
    }
    write_json(folder / DETECTOR, {**content, "digest": _digest(content)})


def read_bundle(folder: Path) -> tuple[ModelRecord, Path]:
    """Read a bundle, and check that its files are those that were written.

    Returns:
        What the model is made of, and the file with its weights.

    Raises:
        AutoADError: A file is missing, damaged, or of another format.
    """
    content = _read(folder / DETECTOR, _checked)
    for name in (MODEL, THRESHOLD):
        _check_file(folder / name, content["sha256"].get(name))
    calibration = _read(folder / THRESHOLD, lambda found: Calibration.from_json(found["calibration"]))
    return _read(folder / DETECTOR, lambda found: _record(found, calibration)), folder / MODEL


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    total = hashlib.sha256()
    with open_regular(path) as file:
        while part := file.read(2**20):
            total.update(part)
    return total.hexdigest()


def _read(path: Path, of_json: Callable[[Any], _T]) -> _T:
    try:
        return of_json(read_json(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AutoADError) as error:
        raise _unusable(path, f"cannot be read: {reason_of(error)}") from None


def _checked(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
    if not isinstance(content["sha256"], dict):
        raise ValueError("sha256 is no mapping")
    if _digest({name: value for name, value in content.items() if name != "digest"}) != content["digest"]:
        raise ValueError("its content is not what its digest was made of")
    return content


def _check_file(path: Path, expected: str | None) -> None:
    try:
        found = sha256_of(path)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {reason_of(error)}") from None
    if found != expected:
        raise _unusable(path, f"has the SHA-256 {found[:16]}..., and {DETECTOR} names {str(expected)[:16]}...")


def _unusable(path: Path, fault: str) -> AutoADError:
    return AutoADError(
        f"{path} {fault}. Expected the file that 'autoad-nni export' wrote. Copy the bundle again, or export it anew."
    )


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _record(content: Mapping[str, Any], calibration: Calibration) -> ModelRecord:
    if not content["members"]:
        raise ValueError("members is empty")
    names = ("space", "max_memory")
    options = {**{name: content[name] for name in names}, **content["scoring"], **content["extraction"]}
    given = {name: value for name, value in options.items() if value is not None}
    return ModelRecord(
        members=tuple(map(_member, content["members"])),
        image_shape=ImageShape.from_json(content["image_shape"]),
        settings=TrialRequest.from_options(data="", **given).settings,  # checks the types; the images do not matter
        calibration=calibration,
    )


def _member(content: Mapping[str, Any]) -> Member:
    member = Member(**content)
    plugins = {**member.plugins}.items()
    sound = type(member.number) is int and isinstance(member.sample, dict) and isinstance(member.reading, str)
    if not sound or not all(isinstance(version, str) for _, version in plugins):
        raise ValueError("a member has values of other types")
    return member


def _preprocessing(shape: ImageShape) -> dict[str, Any]:
    """For those who write it anew elsewhere; ``autoad_nni.data.to_image_shape`` is what is used."""
    grey = "colour becomes grey as 0.299 R + 0.587 G + 0.114 B" if shape.channels == 1 else "grey is repeated"
    return {
        "channels": shape.channels,
        "height": shape.height,
        "width": shape.width,
        "range": [0.0, 1.0],
        "in_words": (
            f"Whole image, {'grey' if shape.channels == 1 else 'RGB'} ({grey}), values divided by 255, resized to "
            f"{shape.width} x {shape.height} pixels (bilinear, antialiased, pixel centres at halves; the proportions "
            "are not kept), clamped to [0, 1], float32, (batch, channels, height, width)."
        ),
    }


def _score_in_words(record: ModelRecord) -> str:
    if len(record.members) == 1:
        return "The model's score; higher is more anomalous."
    return (
        f"The mean of the scores of {len(record.members)} models, each in units of normal images that it was not "
        "trained on; higher is more anomalous."
    )


def _extractors(record: ModelRecord) -> list[dict[str, str]]:
    """The extractors whose weights are not in the bundle, and where they come from."""
    if record.settings.weights is not None:
        where = f"a file of yours: ad.load(BUNDLE, weights=FILE); without it, {record.settings.weights.absolute()}"
    elif record.settings.download:
        where = "downloaded from their authors into torch's cache"
    else:
        where = "in an installed package"
    found: dict[str, str] = {}
    for member in record.members:
        for key, weights in member.plugins.items():
            noun, _, name = key.rpartition(" ")
            if noun == WEIGHTS:
                found[name] = weights
    return [
        {"name": name, "weights": weights.rpartition(" ")[0], "sha256": weights.rpartition(" ")[2], "where": where}
        for name, weights in found.items()
    ]
