"""Applies a function to a batch in parts, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["in_parts", "is_exporting"]


def in_parts(function: Callable[[Tensor], Tensor], batch: Tensor, at_a_time: int) -> Tensor:
    """Return what a function gives for a batch, computed for so many rows at a time; in an export for all at once.

    Args:
        function: Gives a row for each row.
        batch: ``(n, ...)``.
        at_a_time: The most rows.

    Example:
        >>> in_parts(torch.square, torch.arange(5), 2)
        tensor([ 0,  1,  4,  9, 16])
    """
    if is_exporting() or len(batch) <= at_a_time:
        return function(batch)
    return torch.cat([function(part) for part in torch.split(batch, at_a_time)])


def is_exporting() -> bool:
    """Return whether a graph is being made, in which the number of images is left open."""
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return traced or torch.compiler.is_compiling()
