"""Downloads, only when asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autoad_nni.data.source import SourceOptions
from autoad_nni.errors import AutoADError

__all__ = ["download_into"]


def download_into(options: SourceOptions, name: str, fetch: Callable[[Path], object]) -> Path:
    """Download a set into ``options.root``.

    Args:
        options: With ``download``; the folder is ``root``.
        name: What is fetched, for messages.
        fetch: Fetches and unpacks into the folder that it is given.

    Returns:
        The folder.

    Raises:
        AutoADError: No folder is given, or the download fails.
    """
    if options.root is None:
        raise AutoADError(
            f"[[download=True]] of {name} without [[root]]. Expected a folder to store it in. Give [[root=DIR]]."
        )
    try:
        fetch(options.root)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise AutoADError(
            f"cannot download {name} into {options.root}: {reason}. Expected a connection to its site and a "
            "folder that can be written. Fetch the files by hand and leave out [[download=True]]."
        ) from error
    return options.root
