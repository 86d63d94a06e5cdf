"""What computing may change for its process, kept as it is: torch's threads, random states."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch

__all__ = ["keeping_random_states", "torch_threads"]


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Set torch's number of CPU threads within the block; None leaves it.

    Example:
        >>> before = torch.get_num_threads()
        >>> with torch_threads(1):
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def keeping_random_states(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Give the global random states of Python, numpy and torch back as they were before the block.

    Args:
        devices: CUDA devices whose state is kept too.

    Example:
        >>> random.seed(0)
        >>> with keeping_random_states():
        ...     first = random.random()
        >>> random.random() == first
        True
    """
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
