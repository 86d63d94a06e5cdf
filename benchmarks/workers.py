"""Measures how much faster a search is with two workers than with one, as a ratio within one run.

Usage: python benchmarks/workers.py [--trials N] [--epochs N] [--workers N]

Each trial has one thread; the images are digits. From the first trial's begin to the last one's end: without the
seconds in which workers are started, which are the same for a search of any length. Three factors make the ratio:

    times faster = workers x busy / slower
    busy         share of the workers' time in which they run trials; the rest is waiting: for the next trial, for the
                 last one of the search
    slower       how much longer the same trials take when they run side by side: cache, memory, other work

Two cores of your own are needed for the ratio to say anything; the share `busy` is right on a busy machine, too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from digits_search import digits_experiment

os.environ.setdefault("NNI_FRAMEWORK", "none")

VALUES: dict[str, list[Any]] = {
    "hypothesis": ["reconstruction", "density"],
    "distance": ["l1", "l2"],
    "layer1_channels": [16, 32],
    "layer1_kernel": [3, 5],
    "layer1_pooling": ["max", "average"],
    "layer1_pooling_kernel": [3],
    "layer1_normalization": ["none", "batch"],
    "layer1_activation": ["elu", "tanh"],
}


class Measured(NamedTuple):
    """Seconds from the first trial's begin to the last one's end, and those of all trials together."""

    wall: float
    trials: float


def measure(strategy: str, n_workers: int, trials: int, epochs: int) -> Measured:
    from autoad_nni.engines.isolation import quiet_nni
    from autoad_nni.engines.search import open_experiment, open_search
    from autoad_nni.engines.workers.search import WorkerSearch

    with tempfile.TemporaryDirectory() as folder, quiet_nni():
        opened = open_experiment(digits_experiment(VALUES, strategy=strategy, trials=trials, epochs=epochs))
        search = open_search(opened, output=Path(folder) / "run", workers=n_workers)
        assert isinstance(search, WorkerSearch)
        began: list[float] = []
        ended: list[float] = []
        order = search.order

        def first_order(model: Any) -> Any:
            began.append(time.monotonic())
            return order(model)

        search.order = first_order  # type: ignore[method-assign]
        search._finish = lambda: None  # type: ignore[method-assign]  # the test is no part of this
        search.run(lambda n, best, replayed: ended.append(time.monotonic()))
        seconds = [event["record"]["seconds"] for event in _ends(search.folder.journal)]
    return Measured(ended[-1] - began[0], sum(seconds))


def _ends(journal: Path) -> list[dict[str, Any]]:
    from autoad_nni.storing import read_lines

    return [event for event in read_lines(journal, mend=False) if event["event"] == "end"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load before: {load:.1f}" + (" (busy: read `busy` only)" if load > 0.5 else ""))
    for strategy in ("grid_search", "autoad"):
        one, several = (measure(strategy, n, options.trials, options.epochs) for n in (1, options.workers))
        n = options.workers
        print(
            f"{strategy:<12} {n} workers: {one.wall / several.wall:.2f} times faster = {n} x "
            f"{several.trials / (n * several.wall):.3f} busy / {several.trials / one.trials:.2f} slower   "
            f"(one worker: {one.trials / one.wall:.3f} busy; {one.trials / options.trials:.2f} s a trial)",
            flush=True,
        )


if __name__ == "__main__":
    main()
