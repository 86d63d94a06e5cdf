"""Measures what the toolkit costs beside the work itself, each figure as a ratio within one run.

Usage: python benchmarks/speed.py [--repeats N]

(a) training throughput of a fixed child model, against the shortest PyTorch loop for the same model: at least 0.95.
(b) start of a trial process to its first optimisation step, against `python -c "import torch, nni"`: at most 1.5.
(c) search in one process: time outside training and scoring (fit and evaluate), 20 trials of
    experiments/quickstart.yml: at most 3 %.

(a) and (c) also in processor time, which other work on the machine changes less than wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUICKSTART = Path(__file__).parents[1] / "experiments" / "quickstart.yml"
os.environ.setdefault("NNI_FRAMEWORK", "none")
warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)

SAMPLE = {
    "hypothesis": "reconstruction",
    "distance": "l2",
    "layer1_channels": 16,
    "layer1_kernel": 3,
    "layer1_pooling": "average",
    "layer1_pooling_kernel": 3,
    "layer1_normalization": "batch",
    "layer1_activation": "relu",
    "layer2_channels": 32,
    "layer2_kernel": 3,
    "layer2_pooling": "max",
    "layer2_pooling_kernel": 3,
    "layer2_normalization": "none",
    "layer2_activation": "elu",
}


Times = NDArray[np.float64]
"""Wall time and processor time of this process, of all its threads; or ratios of both."""


def clocks() -> Times:
    return np.array([time.perf_counter(), time.process_time()])


def throughput(repeats: int) -> Times:
    """Images per second of `fit`, divided by those of a hand-written loop; the two take turns."""
    import torch

    from autoad_nni.models.build import build_architecture, build_detector
    from autoad_nni.models.training import TrainingSettings, fit

    torch.set_num_threads(1)
    images = torch.rand(4096, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    settings = TrainingSettings(epochs=1)

    def ours() -> Times:
        detector = build_detector(SAMPLE, channels=1)
        started = clocks()
        fit(detector, images, settings=settings, seed=0)
        return clocks() - started

    def by_hand() -> Times:
        # In its best light: the memory format of `build_detector`, and Adam fused.
        model = build_architecture(SAMPLE, channels=1).train().to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
        started = clocks()
        for indices in torch.randperm(len(images)).split(64):
            batch = images[indices]
            loss = torch.nn.functional.mse_loss(model(batch).image, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return clocks() - started

    ours(), by_hand()  # warm up
    pairs = [(by_hand(), ours()) for _ in range(repeats)]
    ratios: Times = np.median([hand / mine for hand, mine in pairs], axis=0)
    return ratios


_FIRST_STEP = """
import sys, time
started = time.time()
import autoad_nni.cli as cli
import autoad_nni.models.training as training
step = training._Adam.step
def first(self, *arguments):
    step(self, *arguments)
    print("first step", flush=True)
    import os
    os._exit(0)
training._Adam.step = first
cli.main(sys.argv[1:])
"""


def start_up(repeats: int) -> float:
    """Wall time of a trial process up to its first step, divided by that of importing torch and nni."""
    from autoad_nni.searches.experiment_file import read_experiment

    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.json"
        sample.write_text(json.dumps(SAMPLE))
        words = ["trial", *read_experiment(QUICKSTART).trial_arguments]
        trial = [sys.executable, "-c", _FIRST_STEP, *words, "--sample", str(sample)]
        # Both end without Python's clean-up, which is no part of a start.
        imports = [sys.executable, "-c", "import torch, nni, os; os._exit(0)"]

        def seconds(command: list[str]) -> float:
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            return time.perf_counter() - started

        seconds(trial), seconds(imports)  # fill the disk cache
        pairs = [(seconds(trial), seconds(imports)) for _ in range(repeats)]
    return statistics.median(trial_s / import_s for trial_s, import_s in pairs)


class Inside:
    """Clocks training and scoring: `fit` without what it calls back to, and `evaluate`."""

    def __init__(self) -> None:
        from autoad_nni.trial import run as trial

        self.spent: Times = np.zeros(2)
        fit, evaluate = trial.fit, trial.evaluate

        def clocked_fit(*arguments: Any, on_epoch: Callable[[int, float], None], **more: Any) -> None:
            self._clocked(fit, 1)(*arguments, on_epoch=self._clocked(on_epoch, -1), **more)

        trial.fit = clocked_fit
        trial.evaluate = self._clocked(evaluate, 1)

    def _clocked(self, function: Callable[..., Any], sign: int) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            started = clocks()
            try:
                return function(*arguments, **more)
            finally:
                self.spent += sign * (clocks() - started)

        return run


def overhead(n_trials: int = 20) -> Times:
    """Share of a search's time that is neither training nor scoring."""
    from autoad_nni.engines.in_process import InProcessSearch
    from autoad_nni.searches.experiment_file import read_experiment
    from autoad_nni.searches.trial_options import parse_request

    file, inside = read_experiment(QUICKSTART), Inside()
    with tempfile.TemporaryDirectory() as folder:
        search = InProcessSearch(file, parse_request(file.trial_arguments), Path(folder) / "run", max_trials=n_trials)
        started = clocks()
        search.run(lambda ended, best, recorded: None)
        total = clocks() - started
    shares: Times = 1 - inside.spent / total
    return shares


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    wall, cpu = throughput(repeats)
    print(f"(a) training throughput, ours / by hand:        {wall:.3f}   (processor time {cpu:.3f}; aim: >= 0.95)")
    print(f"(b) trial start to first step / imports:        {start_up(repeats):.3f}   (aim: <= 1.5)")
    wall, cpu = overhead()
    print(f"(c) search time outside training and scoring:   {wall:.1%}   (processor time {cpu:.1%}; aim: <= 3 %)")
