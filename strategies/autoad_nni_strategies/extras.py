"""Strategies of other libraries: how a missing one is reported, and how a wrong argument is."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["require", "whole"]


def require(package: str, extra: str) -> Any:
    """Import a package that an extra of autoad-nni brings.

    Raises:
        ImportError: If it cannot be imported, with what to install.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{error}. Expected the package {package}: pip install 'autoad-nni[{extra}]'") from None


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number, also if YAML has read it as 5.0.

    Raises:
        ValueError: If it is none, or less than ``least``.

    Example:
        >>> whole("n_initial", 5.0)
        5
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0 or not least <= value <= 10**6:
        raise ValueError(f"{name} is {value!r}. Expected a whole number from {least} to 10^6")
    return int(value)
