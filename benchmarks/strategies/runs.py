"""Runs strategies on recorded results, and records every search, so that a long comparison can be continued."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from nni.mutable import Categorical
from nni.nas.strategy import hpo

from autoad_nni.errors import AutoADError
from autoad_nni.registry import STRATEGIES
from autoad_nni.searches.spaces import SampleSpace
from benchmarks.strategies.answers import Answers
from benchmarks.strategies.engine import SimulatedEngine
from benchmarks.strategies.specs import Spec

__all__ = ["ResultsFile", "Run", "parse_run", "play"]


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        name: Of the strategy in the comparison.
        strategy: Its name in the registry.
        arguments: Its arguments.
        table: Name of the table.
        digest: Of the table's rewards; searches with other rewards do not compare.
        seed: The strategy's seed.
        trials: The budget.
        rewards: In the order of submission, 6 digits; fewer than ``trials`` if the strategy ended early.
        seconds: The strategy's own processor time per trial.
    """

    name: str
    strategy: str
    arguments: Mapping[str, Any]
    table: str
    digest: str
    seed: int
    trials: int
    rewards: tuple[float, ...]
    seconds: float

    @property
    def question(self) -> str:
        """All that determines the rewards, the number of trials aside."""
        return json.dumps([self.strategy, self.arguments, self.table, self.digest, self.seed], sort_keys=True)


def parse_run(row: str | bytes, where: str) -> Run:
    """Read a line of results.

    Args:
        row: JSON.
        where: For the message.

    Raises:
        AutoADError: If it is not a search.
    """
    try:
        fields = json.loads(row)
        return Run(**{**fields, "rewards": tuple(fields["rewards"])})
    except (ValueError, TypeError, KeyError):
        raise AutoADError(f"{where} is not a search. Expected one per line. Remove the line.") from None


def play(name: str, spec: Spec, seed: int, answers: Answers, trials: int) -> Run:
    """Run one search.

    Args:
        name: Of the strategy in the comparison.
        spec: The strategy.
        seed: Its seed.
        answers: Rewards of the trials.
        trials: The budget.

    Raises:
        AutoADError: If the strategy is not registered or does not take these arguments.
    """
    engine = SimulatedEngine(answers.answer, trials)
    factory = STRATEGIES.load(spec.strategy)
    space = SampleSpace({label: Categorical(values, label=label) for label, values in answers.search_space.items()})
    with _benchmarking(seed):
        started = time.process_time()
        try:
            strategy = factory(seed=seed, **spec.arguments)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise AutoADError(
                f"strategy {name!r} does not take {dict(spec.arguments)}: {reason}. "
                f"Expected arguments of {factory.__module__}.{factory.__qualname__}. "
                "Correct benchmarks/strategies/specs.py."
            ) from None
        strategy(space, engine)
        seconds = time.process_time() - started - engine.seconds
    rewards = tuple(round(reward, 6) for reward in engine.rewards)
    per_trial = round(seconds / max(len(rewards), 1), 6)
    return Run(name, spec.strategy, spec.arguments, answers.name, answers.digest, seed, trials, rewards, per_trial)


@contextlib.contextmanager
def _benchmarking(seed: int) -> Iterator[None]:
    """Make strategies reproducible, fast and quiet; restore everything afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads, logger = torch.get_num_threads(), logging.getLogger("nni")
    level, clock = logger.level, hpo.time
    # tianshou draws from the global generators.
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the networks are tiny
    logger.setLevel(logging.CRITICAL)
    hpo.time = SimpleNamespace(sleep=lambda seconds: None)  # NNI's TPE sleeps a second per trial, needed or not
    try:
        with warnings.catch_warnings():
            # NNI's policy-based RL gives torch its parameters as a set; their order does not matter to Adam.
            warnings.filterwarnings("ignore", "optimizer parameters need to be organized", FutureWarning)
            yield
    finally:
        hpo.time = clock
        logger.setLevel(level)
        torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class ResultsFile:
    """The recorded searches, one line of JSON each; a line that an interruption left half-written is dropped.

    Args:
        path: The file; need not exist.

    Raises:
        AutoADError: If a complete line is not a search.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: dict[str, Run] = {}
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for number, row in enumerate(whole.splitlines(), start=1):
            self._remember(parse_run(row, f"{path}, line {number}"))
        if whole != content:
            path.write_bytes(whole)

    def _remember(self, run: Run) -> None:
        known = self._runs.get(run.question)
        if known is None or run.trials > known.trials:
            self._runs[run.question] = run

    def get(self, name: str, spec: Spec, seed: int, answers: Answers, trials: int) -> Run | None:
        """Return the recorded search, cut to ``trials``; None if there is none that long with these rewards."""
        asked = Run(name, spec.strategy, spec.arguments, answers.name, answers.digest, seed, trials, (), 0.0)
        run = self._runs.get(asked.question)
        if run is None or run.trials < trials:
            return None
        return Run(**{**asdict(run), "name": name, "trials": trials, "rewards": run.rewards[:trials]})

    def play(self, name: str, spec: Spec, seeds: Iterable[int], answers: Answers, trials: int) -> list[Run]:
        """Return a search per seed; run and record those that are missing."""
        runs = []
        for seed in seeds:
            run = self.get(name, spec, seed, answers, trials)
            if run is None:
                run = play(name, spec, seed, answers, trials)
                with self._path.open("a") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
                self._remember(run)
            runs.append(run)
        return runs
