"""Trains child models for real and keeps their rewards: the tables on which strategies are compared.

Fashion-MNIST is normal; handwritten digits and patches of photographs together are not. Two tables:
  small   a sub-space of 1,296 models, every one trained
  random  models drawn uniformly from the whole space of three layers; what is over the limit of multiply-adds is
          answered without training, as a trial would be, and not counted

Each line is appended as soon as its model is trained; the same command goes on where it was stopped.

    python benchmarks/strategies/record.py small FILE.jsonl
    python benchmarks/strategies/record.py random FILE.jsonl --count 1500
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.run import TrialSettings, run_trial
from autoad_nni_search_spaces import AutoencoderSpace

MAX_MACS = 2_000_000
"""For one image. Half of the random models are above it; without a limit a few giants take all the time."""
MAX_SECONDS = 40.0
TASK = TaskOptions(data="fashion_mnist", abnormal=("digits", "photos"), limit=2000, seed=0)
TRAINING = TrainingSettings(epochs=2)

SMALL: dict[str, list[Any]] = {
    "hypothesis": ["density", "cluster", "centroid", "reconstruction"],
    "distance": ["l1", "l2", "l21", "ssim"],
    "layer1_channels": [3, 8, 16],
    "layer1_kernel": [5],
    "layer1_pooling": ["average"],
    "layer1_pooling_kernel": [1, 3, 5],
    "layer1_normalization": ["none"],
    "layer1_activation": ["sigmoid", "leaky_relu", "elu"],
    "layer2_channels": [16],
    "layer2_kernel": [3],
    "layer2_pooling": ["max"],
    "layer2_pooling_kernel": [5],
    "layer2_normalization": ["none", "batch", "instance"],
    "layer2_activation": ["leaky_relu"],
}
"""The sub-space; two layers, so that the last one is small and every model trains in about a second."""


def small() -> Iterator[dict[str, Any]]:
    """Every sample of the sub-space, in an order that does not favour a part of it if recording stops early."""
    samples = [dict(zip(SMALL, values, strict=True)) for values in itertools.product(*SMALL.values())]
    random.Random(0).shuffle(samples)
    yield from samples


def uniform(seed: int = 0) -> Iterator[dict[str, Any]]:
    """Uniform samples of the whole space that are within the limit of multiply-adds, without end."""
    space = AutoencoderSpace(3)
    values = {label: list(choice.values) for label, choice in space.simplify().items()}
    generator = random.Random(seed)
    while True:
        sample = {label: generator.choice(choices) for label, choices in values.items()}
        with torch.device("meta"):
            macs = space.freeze(sample).macs(28, 28)
        if macs <= MAX_MACS:
            yield sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["small", "random"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, help="models to train; default: all of small, 1,500 of random")
    given = parser.parse_args()
    samples = small() if given.table == "small" else uniform()
    done = given.file.read_text().count("\n") if given.file.exists() else 0
    task = load_task(TASK)
    settings = TrialSettings(training=TRAINING, device="cpu", threads=1, max_seconds=MAX_SECONDS)
    with given.file.open("a") as file:
        for sample in itertools.islice(samples, done, given.count or (None if given.table == "small" else 1500)):
            metrics = run_trial(sample, task, settings).metrics
            kept = {name: metrics[name] for name in ("default", "verdict", "seconds", "macs")}
            file.write(json.dumps({"sample": sample, **kept}) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
