"""What computing, and plugins, may change for their process, kept as it is."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

__all__ = ["keeping_random_states", "keeping_surroundings", "torch_threads"]


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
        devices: Whose states are kept, too, if they have one of their own: those of CUDA.

    Example:
        >>> random.seed(0)
        >>> with keeping_random_states():
        ...     first = random.random()
        >>> random.random() == first
        True
    """
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device for device in devices if device.type == "cuda"]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


@contextlib.contextmanager
def keeping_surroundings(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Give back after the block what a plugin may change for the whole process, also if the block raises.

    The current folder; torch's gradient mode, default dtype, default device, deterministic algorithms and precision of
    products; handlers of signals; filters of warnings; random states.

    Args:
        devices: CUDA devices whose random state is kept too.

    Example:
        >>> with keeping_surroundings():
        ...     torch.set_default_dtype(torch.float64)
        >>> torch.get_default_dtype()
        torch.float32
    """
    before = [(read, write, read()) for read, write in _SWITCHES]
    try:
        with keeping_random_states(devices):
            yield
    finally:
        for read, write, value in before:
            if read() != value:
                write(value)


def _folder() -> str:
    with contextlib.suppress(OSError):  # somebody removed it
        return os.getcwd()
    return ""


def _go_to(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _set_default_device(device: torch.device) -> None:
    # None is what it is before anybody sets one: the CPU, without a look at every call.
    torch.set_default_device(None if device.type == "cpu" else device)


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(handlers: dict[int, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # where nobody can have changed them
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _filters() -> list[Any]:
    return list(warnings.filters)


def _set_filters(filters: list[Any]) -> None:
    # Not by warnings.catch_warnings, after which whatever is shown once is shown once more.
    warnings.resetwarnings()
    warnings.filters[:] = filters  # type: ignore[index]


_SWITCHES: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (_folder, _go_to),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, _set_default_device),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (_handlers, _set_handlers),
    (_filters, _set_filters),
]
