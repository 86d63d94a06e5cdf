"""What a search may change for its process is as before when it has ended."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping

from autoad_nni.models.surroundings import keeping_surroundings, torch_threads

__all__ = ["isolated", "quiet_nni"]


@contextlib.contextmanager
def isolated(environment: Mapping[str, str]) -> Iterator[None]:
    """Keep what plugins may change, the number of threads and the environment as they are, also if the block raises.

    Args:
        environment: Variables that are set within the block.

    Example:
        >>> with isolated({"COLOUR": "red"}):
        ...     os.environ["COLOUR"]
        'red'
        >>> "COLOUR" in os.environ
        False
    """
    variables = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with keeping_surroundings(), torch_threads(None):
            yield
    finally:
        for name, value in variables.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def quiet_nni() -> Iterator[None]:
    """Silence what NNI logs of every crash, which the history has, and its warnings about torch; within the block."""
    logger = logging.getLogger("nni")
    level = logger.level
    with warnings.catch_warnings():
        # For every torch class that NNI does not know; harmless, and not to be fixed in an archived package.
        warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
