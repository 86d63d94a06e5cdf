"""Whether weight sharing misjudges children, as the paper warns: their ranks with it and without it.

Fashion-MNIST is normal, handwritten digits are not. The same random children of a small space, all hypotheses and
distances in it, are trained for a few epochs, each alone from fresh weights, or one after the other (in an order that
the seed draws) from shared weights. The truth about a child is its mean reward after a long training alone, under other
seeds.
For each seed:
  rank correlation   Spearman's, of the short rewards with the truth
  truth of the pick  the truth about the child that the short rewards put first
  order              Spearman's, of a child's place in the order with what sharing changed in its rank
  time               CPU seconds of the short trainings

    python benchmarks/shared_weights.py [--children 28] [--limit 1500] [--epochs 2] [--long 8] [--seeds 3]
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.run import TrialSettings, run_trial
from autoad_nni_search_spaces import AutoencoderSpace

Sample = dict[str, Any]
N_LAYERS = 2
# Few enough that children have operations in common: 9 in the first encoder layer, 27 in the second.
NARROWED = {"channels": (8, 16, 32), "kernel": (1, 3, 5), "pooling_kernel": (3, 5)}


def draw(count: int, seed: int) -> list[Sample]:
    labels = {label: list(choice.values) for label, choice in AutoencoderSpace(N_LAYERS).simplify().items()}
    labels |= {f"layer{i}_{key}": list(NARROWED[key]) for i in range(1, N_LAYERS + 1) for key in NARROWED}
    generator = random.Random(seed)
    samples: list[Sample] = []
    while len(samples) < count:
        sample = {label: generator.choice(values) for label, values in labels.items()}
        with torch.device("meta"):
            macs = AutoencoderSpace(N_LAYERS).freeze(sample).macs(28, 28)
        if macs < 1e6 and sample not in samples:
            samples.append(sample)
    return samples


def reward(sample: Sample, task: Task, *, epochs: int, seed: int, shared: SharedWeights | None = None) -> float:
    settings = TrialSettings(training=TrainingSettings(epochs=epochs), device="cpu", threads=1, seed=seed)
    result = run_trial(sample, task, settings, shared=shared)
    return float(result.metrics["default"])


def together(
    samples: list[Sample], task: Task, *, epochs: int, seed: int, order: list[int]
) -> tuple[list[float], float]:
    """Rewards in the order of ``samples``, and the share of operations that found weights."""
    rewards = [0.0] * len(samples)
    taken, asked = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for place, i in enumerate(order):
            shared = SharedWeights(Path(folder), str(place))
            child = AutoencoderSpace(N_LAYERS).freeze(samples[i])
            asked += sum(any(True for _ in module.parameters(recurse=False)) for module in child.modules())
            taken += shared.load_into(child)
            rewards[i] = reward(samples[i], task, epochs=epochs, seed=seed, shared=shared)
    return rewards, taken / asked


def correlation(first: Any, second: Any) -> float:
    return float(spearmanr(first, second).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=28)
    parser.add_argument("--limit", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--long", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(TaskOptions(data="fashion_mnist", abnormal=("digits",), limit=given.limit, seed=0))
    samples = draw(given.children, seed=0)
    started = time.process_time()
    long = np.array([[reward(s, task, epochs=given.long, seed=100 + i) for s in samples] for i in range(given.seeds)])
    truth = long.mean(0)
    print(
        f"{len(samples)} children; truth: {given.long} epochs alone, {given.seeds} seeds, mean {truth.mean():.3f}, ",
        end="",
    )
    print(f"best {truth.max():.3f}, 0 for {np.count_nonzero(truth == 0)}; {time.process_time() - started:.0f} s")
    print("\n| seed | way | rank correlation | truth of the pick | mean reward | order | time |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(given.seeds):
        order = random.Random(seed).sample(range(len(samples)), len(samples))
        started = time.process_time()
        alone = [reward(sample, task, epochs=given.epochs, seed=seed) for sample in samples]
        seconds = time.process_time() - started
        print(_row(seed, f"alone, {given.epochs} epochs", alone, truth, "", seconds), flush=True)
        started = time.process_time()
        shared, found = together(samples, task, epochs=given.epochs, seed=seed, order=order)
        seconds = time.process_time() - started
        place = np.argsort(order)
        drift = correlation(place, rankdata(shared) - rankdata(alone))
        print(_row(seed, f"shared, {found:.0%} found weights", shared, truth, f"{drift:+.2f}", seconds), flush=True)


def _row(seed: int, way: str, rewards: list[float], truth: Any, order: str, seconds: float) -> str:
    pick = truth[int(np.argmax(rewards))]
    figures = f"{correlation(rewards, truth):.3f} | {pick:.3f} | {np.mean(rewards):.3f}"
    return f"| {seed} | {way} | {figures} | {order} | {seconds:.0f} s |"


if __name__ == "__main__":
    main()
