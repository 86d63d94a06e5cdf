"""NNI's TPE as registered, without the second that it sleeps for each trial."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from autoad_nni.searches.nni_strategies import tpe


def quick_tpe(*, seed: int) -> Any:
    import nni.nas.strategy.hpo

    strategy = tpe(seed=seed)
    run = strategy._run

    def run_without_sleeping() -> None:
        with patch.object(nni.nas.strategy.hpo, "time", SimpleNamespace(sleep=lambda seconds: None)):
            run()

    strategy._run = run_without_sleeping
    return strategy
