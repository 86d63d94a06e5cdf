"""How much of a fault is tried: a part by default, all of it with AUTOAD_NNI_FAULTS=long."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, TypeVar

LONG: Final = os.environ.get("AUTOAD_NNI_FAULTS") == "long"

T = TypeVar("T")


def spread(cases: Sequence[T], n: int) -> list[T]:
    """Return ``n`` of the cases, evenly spread; all of them in the long run."""
    if LONG or len(cases) <= n:
        return list(cases)
    return [cases[(2 * i + 1) * len(cases) // (2 * n)] for i in range(n)]
