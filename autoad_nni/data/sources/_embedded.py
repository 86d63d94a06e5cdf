"""Finds files inside installed packages without importing them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from autoad_nni.errors import AutoADError

__all__ = ["embedded_file"]


def embedded_file(package: str, path: str, distribution: str) -> Path:
    """Return the path of a file inside an installed package, without running its code.

    Args:
        package: Top-level package.
        path: Path of the file below the package's folder.
        distribution: What pip calls it.

    Raises:
        AutoADError: The package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        file = Path(folder, path)
        if file.is_file():
            return file
    looked_in = folders[0] if folders else "this Python"
    raise AutoADError(
        f"no file {path} of {distribution} in {looked_in}. Expected {distribution} with its embedded data. "
        f"Reinstall it: pip install --force-reinstall {distribution}"
    )
