from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from autoad_nni.cli.search import _interval


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.6, 1.0), " (95 % interval 0.600 to 1.000, 2 defects of 7 images)"),
        (None, " (no interval: all draws of these images agree, 2 defects of 7 images)"),
    ],
)
def test_a_figure_without_an_interval_says_that_it_has_none(interval: tuple[float, float] | None, words: str) -> None:
    request = SimpleNamespace(task=SimpleNamespace(abnormal=(), planted=False))
    best = SimpleNamespace(interval=interval, n_validation=(2, 7), request=request)
    assert _interval(cast(Any, best)) == words
