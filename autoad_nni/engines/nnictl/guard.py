"""Guards NNI's manager: whom it answers, and how long it lives.

``python -m autoad_nni.engines.nnictl.guard`` prints a value of ``NODE_OPTIONS`` for those who call nnictl themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from autoad_nni.searches.trial_command import command_path

__all__ = ["guarded_environment", "node_options"]

_PRELOAD = Path(__file__).with_name("preload") / "index.js"


def node_options() -> str:
    """Return the ``NODE_OPTIONS`` that hold NNI's manager to 127.0.0.1, this user and its own pages.

    Example:
        >>> "--require=" in node_options()
        True
    """
    return f"{os.environ.get('NODE_OPTIONS', '')} --require={json.dumps(str(_PRELOAD))}".strip()


def guarded_environment(*, ends_with: int | None = None) -> dict[str, str]:
    """Return this process's environment, for an nnictl whose manager is guarded.

    Args:
        ends_with: The process with which the manager ends, however that ends; None for a manager that stays.
    """
    environment = {**os.environ, "NODE_OPTIONS": node_options(), "PATH": command_path(), "PYTHONWARNINGS": "ignore"}
    return environment if ends_with is None else {**environment, "AUTOAD_NNI_LAUNCH": str(ends_with)}


if __name__ == "__main__":
    print(node_options())
