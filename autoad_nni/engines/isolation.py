"""What a search may change for its process is as before when it has ended."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch

__all__ = ["isolated", "quiet_nni"]


@contextlib.contextmanager
def isolated(environment: Mapping[str, str]) -> Iterator[None]:
    """Keep random states, the number of threads and the environment as they are, also if the block raises.

    Args:
        environment: Variables that are set within the block.

    Example:
        >>> before = torch.get_num_threads()
        >>> with isolated({"COLOUR": "red"}):
        ...     torch.set_num_threads(before + 1)
        ...     os.environ["COLOUR"]
        'red'
        >>> torch.get_num_threads() == before, "COLOUR" in os.environ
        (True, False)
    """
    variables = {name: os.environ.get(name) for name in environment}
    threads, python, legacy = torch.get_num_threads(), random.getstate(), np.random.get_state()
    os.environ.update(environment)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(python)
        np.random.set_state(legacy)
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
