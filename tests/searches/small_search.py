"""A search over 36 samples, with or without a journal on disk: real strategies, real engines, an arithmetic trial."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import nni.nas.strategy.hpo
from nni.mutable import Categorical
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine

from autoad_nni.registry import STRATEGIES
from autoad_nni.searches.journal import Journal
from autoad_nni.searches.replay import JournalMiddleware
from autoad_nni.searches.spaces import SampleSpace
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

Sample = Mapping[str, Any]
VALUES: dict[str, list[Any]] = {"width": [2, 4, 8], "drop": [0.0, 0.25, 0.5], "act": ["relu", "tanh"], "deep": [1, 2]}

# Small enough for a dozen trials to leave the random phase of each strategy.
STRATEGY_ARGS: dict[str, dict[str, Any]] = {
    "autoad": {"batch_size": 3, "learning_rate": 0.2},
    "random": {},
    "grid_search": {},
    "regularized_evolution": {"population_size": 4, "sample_size": 2, "mutation_prob": 0.4},
    "tpe": {"tpe_args": {"n_startup_jobs": 3}},
}


def quality(sample: Sample) -> float:
    if sample["width"] == 4 and sample["act"] == "tanh":
        raise RuntimeError("out of memory")
    return 0.1 * sample["width"] + sample["drop"] + 0.3 * (sample["act"] == "relu") + 0.01 * sample["deep"]


class Killed(KeyboardInterrupt):
    """Stops a session in the middle of a trial, leaving the journal as a kill does."""


class Session:
    """One process's part of a search: fresh strategy, space and engine on the journal that is there."""

    def __init__(
        self,
        path: Path,
        strategy: str,
        *,
        trials: int | None,
        seed: int = 0,
        answer: Callable[[Sample], float] = quality,
        engine: Callable[[], ExecutionEngine] = lambda: SequentialExecutionEngine(continue_on_failure=True),
    ) -> None:
        self.executed: list[int] = []
        """Trials that were really run, by number."""
        self.ended: list[tuple[int, bool]] = []
        """(trial, whether it came from the record), in the order in which the listener heard of it."""

        def evaluate(model: SampleSpace) -> None:
            self.executed.append(model.trial_id)
            reward = answer(model.sample)
            self.middleware.take(
                TrialRecord(
                    number=model.trial_id,
                    sample=model.sample,
                    verdict=Verdict.OK,
                    reward=reward,
                    validation={"auroc": reward},
                    seconds=1.5,
                )
            )

        self.middleware = JournalMiddleware(
            engine(),
            Journal(path, {"strategy": strategy}),
            max_trials=trials,
            on_end=lambda record, replayed: self.ended.append((record.number, replayed)),
        )
        mutables = {label: Categorical(values, label=label) for label, values in VALUES.items()}
        chosen = STRATEGIES.load(strategy)(seed=seed, **STRATEGY_ARGS[strategy])
        # NNI's TPE sleeps one second per trial.
        with patch.object(nni.nas.strategy.hpo, "time", SimpleNamespace(sleep=lambda seconds: None)):
            chosen(SampleSpace(mutables, evaluate), self.middleware)
        self.middleware.wait_models()

    @property
    def outcomes(self) -> list[tuple[dict[str, Any], float | None]]:
        """Sample and reward of every model, as the strategy saw them."""
        return [(model.sample, model.metric) for model in self.middleware.list_models()]


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def proposed_and_ended(path: Path) -> list[bytes]:
    """The lines of a journal, without those that say when a trial was stopped and began again."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [line for line in lines if not line.startswith((b'{"event": "stop"', b'{"event": "again"'))]


def stop_after(n_trials: int, answer: Callable[[Sample], float] = quality) -> Callable[[Sample], float]:
    """An answer that is killed in the middle of trial ``n_trials``."""
    left = iter(range(n_trials))

    def until_killed(sample: Sample) -> float:
        if next(left, None) is None:
            raise Killed
        return answer(sample)

    return until_killed
