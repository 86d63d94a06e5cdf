"""What a check is, and how one says what was expected and what was got."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

__all__ = ["Check", "Factory", "Plugin", "check", "expect", "expect_equal", "loaded"]

P = TypeVar("P")
Plugin = TypeVar("Plugin", bound=Callable[..., Any])
M = TypeVar("M", bound=nn.Module)
Factory = Callable[..., P]
"""Makes a plugin; the class itself, when its constructor needs no arguments. A strategy's takes a seed."""
Check = Callable[[Factory[P]], None]
"""Takes a factory and raises AssertionError if what it makes is not what is expected."""


class _Missed(AssertionError):
    """What was got instead of what a check expects."""


def check(function: Callable[[Plugin], None]) -> Callable[[Plugin], None]:
    """Make a function a check: its docstring says what is expected, also when the plugin raises an error itself.

    The global random state starts from the same seed and is put back afterwards. One thread computes: on tensors this
    small more are slower, and add up in another order each time.

    Example:
        >>> @check
        ... def is_even(plugin):
        ...     '''The plugin makes an even number.'''
        ...     expect(plugin() % 2 == 0, f"{plugin()}")
        >>> is_even(lambda: 3)
        Traceback (most recent call last):
        AssertionError: Expected: The plugin makes an even number. Got: 3.
    """
    expected = " ".join((inspect.getdoc(function) or "").split())

    @functools.wraps(function)
    def run(plugin: Plugin) -> None:
        __tracebackhide__ = True
        n_threads = torch.get_num_threads()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            torch.set_num_threads(1)
            try:
                function(plugin)
            except (Exception, SystemExit) as error:  # a plugin may raise anything
                own = isinstance(error, _Missed)
                got = " ".join((str(error) if own else f"{type(error).__name__}: {error}").split()).rstrip(".")
                raise AssertionError(f"Expected: {expected} Got: {got}.") from (None if own else error)
            finally:
                torch.set_num_threads(n_threads)

    return run


def expect(condition: bool, got: str) -> None:
    """Raise unless ``condition``; unlike assert, also under ``python -O``.

    Args:
        condition: Whether all is well.
        got: What was got if it is not.
    """
    __tracebackhide__ = True
    if not condition:
        raise _Missed(got)


def expect_equal(got: Tensor, wanted: Tensor, what: str, *, tolerance: float = 1e-4) -> None:
    """Raise unless two tensors are equal up to rounding, in which undefined numbers equal nothing.

    Args:
        got: Any shape.
        wanted: The same shape.
        what: Names the numbers and where the two come from, in a message.
        tolerance: Of the difference, relative to the spread of ``wanted``; a hundredth of it relative to its size.
    """
    __tracebackhide__ = True
    expect(got.shape == wanted.shape, f"{what}: shape {tuple(got.shape)} and {tuple(wanted.shape)}")
    got, wanted = got.detach().double().cpu(), wanted.detach().double().cpu()
    allowed = tolerance * wanted.std(correction=0) + 0.01 * tolerance * wanted.abs()
    wrong = ~((got - wanted).abs() <= allowed)
    if wrong.any():
        worst = int(wrong.flatten().double().argmax())
        pair = f"{got.flatten()[worst].item():.6g} and {wanted.flatten()[worst].item():.6g}"
        expect(False, f"{what}: {pair}, and {int(wrong.sum())} of {wrong.numel()} numbers differ")


def loaded(saved: nn.Module, fresh: M) -> M:
    """Load the state of one module into another, by way of a file (safetensors), and return the other."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "state.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in saved.state_dict().items()}, file)
        fresh.load_state_dict(load_file(file))
    return fresh
