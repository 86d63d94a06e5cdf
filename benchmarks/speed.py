"""Measures what the toolkit costs beside the work itself, each figure as a ratio within one run.

Usage: python benchmarks/speed.py [--repeats N]

(a) training throughput of a fixed child model, against the shortest PyTorch loop for the same model: at least 0.95.
(b) start of a trial process to its first optimisation step, against `python -c "import torch, nni"`: at most 1.5.
(c) search in one process: time outside training and scoring, 20 trials of experiments/quickstart.yml: at most 3 %.
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
from pathlib import Path

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


def throughput(repeats: int) -> float:
    """Images per second of `fit`, divided by those of a hand-written loop; the two take turns."""
    import torch

    from autoad_nni.bridge.spaces import build_autoencoder
    from autoad_nni.evaluation import make_detector
    from autoad_nni.training import TrainingSettings, fit

    torch.set_num_threads(1)
    images = torch.rand(4096, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    settings = TrainingSettings(epochs=1)

    def ours() -> float:
        detector = make_detector(build_autoencoder("autoencoder", SAMPLE, channels=1))
        started = time.perf_counter()
        fit(detector, images, settings=settings, seed=0)
        return time.perf_counter() - started

    def by_hand() -> float:
        model = build_autoencoder("autoencoder", SAMPLE, channels=1).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
        started = time.perf_counter()
        for indices in torch.randperm(len(images)).split(64):
            batch = images[indices]
            loss = torch.nn.functional.mse_loss(model(batch).image, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return time.perf_counter() - started

    ours(), by_hand()  # warm up
    pairs = [(by_hand(), ours()) for _ in range(repeats)]
    return statistics.median(hand / mine for hand, mine in pairs)


_FIRST_STEP = """
import sys, time
started = time.time()
import autoad_nni.cli as cli
import autoad_nni.training as training
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
    from autoad_nni.bridge.experiment_file import read_experiment

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


def overhead(n_trials: int = 20) -> float:
    """Share of a search's wall time that is neither training nor scoring."""
    from autoad_nni.bridge.experiment_file import read_experiment
    from autoad_nni.bridge.in_process import InProcessSearch
    from autoad_nni.cli.trial import parse_request

    file = read_experiment(QUICKSTART)
    with tempfile.TemporaryDirectory() as folder:
        search = InProcessSearch(file, parse_request(file.trial_arguments), Path(folder) / "run", max_trials=n_trials)
        started = time.perf_counter()
        search.run(lambda ended, best: None)
        total = time.perf_counter() - started
        lines = (Path(folder) / "run" / "history.jsonl").read_text().splitlines()
    inside = sum(json.loads(line)["metrics"]["seconds"] for line in lines)
    return (total - inside) / total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print(f"(a) training throughput, ours / by hand:        {throughput(repeats):.3f}   (aim: >= 0.95)")
    print(f"(b) trial start to first step / imports:        {start_up(repeats):.3f}   (aim: <= 1.5)")
    print(f"(c) search time outside training and scoring:   {overhead():.1%}   (aim: <= 3 %)")
