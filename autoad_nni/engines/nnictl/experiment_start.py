"""What an nnictl experiment began with, kept in its folder: images, trial command, plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError
from autoad_nni.storing import write_json
from autoad_nni.trial.plugins import check_plugins

__all__ = ["check_start", "keep_start", "read_start"]

_NAME = "started.json"


def keep_start(folder: Path, start: Mapping[str, Any]) -> None:
    """Writes what an experiment began with; what is there already stays.

    Args:
        folder: The experiment's.
        start: ``images`` (their digest), ``trial_arguments``, ``plugins``.
    """
    if not (folder / _NAME).exists():
        write_json(folder / _NAME, start)


def read_start(folder: Path) -> dict[str, Any]:
    """Returns what `keep_start` wrote; empty for an experiment that plain nnictl created.

    Raises:
        AutoADError: If the file was changed by hand.
    """
    path = folder / _NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AutoADError(f"{path} cannot be read: {error}. Expected JSON. Restore the file, or remove it.") from None
    if not isinstance(content, dict) or not isinstance(content.get("plugins", {}), dict):
        raise AutoADError(f"{path} was changed by hand. Expected an object with plugins. Restore it, or remove it.")
    return content


def check_start(folder: Path, now: Mapping[str, Any]) -> None:
    """Raises unless an experiment goes on as it began; NNI itself would go on with anything.

    Raises:
        AutoADError: For the first difference.
    """
    start = read_start(folder)
    check_plugins(start.get("plugins", {}))
    for key, what in (("trial_arguments", "the options of trialCommand"), ("images", "images with the digest")):
        if key in start and start[key] != now[key]:
            old, new = (" ".join(value) if isinstance(value, list) else value for value in (start[key], now[key]))
            raise AutoADError(
                f"the experiment {folder.name} began with {what} {old}, now it is {new}. Expected the same: rewards do "
                "not compare. Put the old ones back, or start a new experiment."
            )
