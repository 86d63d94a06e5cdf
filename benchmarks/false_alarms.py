"""Whether thresholds keep the false-alarm rate that they are for: realised rates on good images that nothing has seen.

    python benchmarks/false_alarms.py [--splits 50] [--trials 8]

For each of many splits of a set, a search is done as the product does it, with cheap known methods and random samples
of the space of features: every trial trains on four fifths of the training images and has its reading chosen on
validation, and the best few make the winner. Thresholds come from the images that were held out of training, as the
product's do; for comparison, from the good validation images, by which everything was chosen. Counted is which part of
the good images left exceeds them: its mean over the splits, beside the one that exchangeable images would have (the
claim is an upper bound), and its scatter, beside that of a beta distribution and of so many images left.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import LabelledImages, Task, TaskOptions, load_task
from autoad_nni.engines.isolation import quiet_nni
from autoad_nni.metrics.threshold import least_rate, rank_of
from autoad_nni.models.features import FeatureMaps
from autoad_nni.runs.winner import choose_winner, held_out_scores, members_of
from autoad_nni.searches.known import known_methods
from autoad_nni.trial import fitting
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import predict_kept, run_trial
from autoad_nni_search_spaces.features import FeatureSpace

RATES = (0.01, 0.05, 0.1)
CHEAP = ("contrast_centroid", "pca", "nearest_neighbour", "mean_image")


@dataclass(frozen=True)
class Case:
    """Which images, and how many of them a search gets; so many of the good ones left are the next images."""

    name: str
    options: TaskOptions
    n_train: int
    n_validation: int
    n_defects: int
    n_next: int = 300


SOLAR = TaskOptions(data="solar_cells", image_size=64)
FASHION = TaskOptions(data="fashion_mnist", abnormal=("digits", "photos"), limit=6000)
CASES = (
    Case("solar cells, few", SOLAR, n_train=45, n_validation=15, n_defects=10),
    Case("solar cells", SOLAR, n_train=500, n_validation=60, n_defects=40),
    Case("Fashion-MNIST", FASHION, n_train=500, n_validation=60, n_defects=40, n_next=1000),
)


class Pool:
    """All images of a set, and their features once computed."""

    def __init__(self, options: TaskOptions) -> None:
        task = load_task(options)
        parts = (task.validation, task.test)
        self.good = torch.cat([task.train, *(part.normal for part in parts)])
        self.defects = torch.cat([part.images[part.labels == 1] for part in parts])
        self._images = torch.cat([self.good, self.defects])
        self._place = {image.numpy().tobytes(): i for i, image in enumerate(self._images)}
        self._known: dict[str, Tensor] = {}

    def extract(self, extractor: Any, images: Tensor, stages: Sequence[int], *, name: str) -> FeatureMaps:
        """Stands in for the extraction of each split's images: features of an image do not depend on the others."""
        maps = []
        index = [self._place[image.numpy().tobytes()] for image in images]
        for stage in sorted(set(stages)):
            key = f"{name} {extractor.weights} {stage}"
            if key not in self._known:
                self._known[key] = extract(extractor, self._images, (stage,), name=name).maps[0]
            maps.append(self._known[key][index])
        return FeatureMaps(tuple(maps), (images.shape[2], images.shape[3]))


extract = fitting.extract


def split(pool: Pool, case: Case, seed: int) -> tuple[Task, Tensor]:
    """A task of some of the images, and the next good ones."""
    rng = np.random.default_rng(seed)
    good, bad = rng.permutation(len(pool.good)), rng.permutation(len(pool.defects))
    train, validation, left = np.split(good, [case.n_train, case.n_train + case.n_validation])
    defects = pool.defects[bad[: case.n_defects]]
    labels = torch.tensor([0] * len(validation) + [1] * len(defects), dtype=torch.uint8)
    held = LabelledImages(torch.cat([pool.good[validation], defects]), labels)
    return Task(name=case.name, train=pool.good[train], validation=held, test=held), pool.good[left[: case.n_next]]


def samples(n_trials: int, seed: int) -> list[dict[str, Any]]:
    """Cheap known methods, then random samples that cost as little."""
    rng = random.Random(seed)
    space = FeatureSpace(extractors=("pixels",)).simplify()
    found = [dict(known_methods("features")[name]) for name in CHEAP]
    while len(found) < n_trials:
        found.append({str(label): rng.choice(each.values) for label, each in space.items()} | {"layers": "none"})
    return found[:n_trials]


def search(task: Task, left: Tensor, request: TrialRequest, n_trials: int, seed: int) -> dict[str, np.ndarray]:
    """Scores that the winner gives good images: held out of training, of validation, and the next ones."""
    trained = {}
    for number, sample in enumerate(samples(n_trials, seed)):
        result = run_trial(sample, task, request.settings, number=number)
        if result.detector is not None:
            trained[number] = (result.record, result.detector)
    members = members_of([record for record, _ in trained.values()], request.members)
    winner = choose_winner([trained[record.number] for record in members], None, task, request)
    return {
        "held out": held_out_scores(winner.scorer, task, request.settings).numpy(),
        "validation": winner.validation.score[task.validation.labels == 0].numpy(),
        "next": predict_kept(winner.scorer, left).score.numpy(),
    }


def realised(scores: dict[str, np.ndarray], group: str, rank: int) -> float:
    return float((scores["next"] > np.sort(scores[group])[rank - 1]).mean())


def report(found: list[dict[str, np.ndarray]], group: str, rate: float) -> str:
    n, n_next, n_splits = len(found[0][group]), len(found[0]["next"]), len(found)
    rank = rank_of(n, rate)
    rates = [realised(scores, group, rank) for scores in found]
    exact = 1 - rank / (n + 1)
    # Of one threshold, the rate is drawn from a beta distribution; so many next images add a binomial one.
    beta = exact * (1 - exact) / (n + 2)
    scatter = math.sqrt(beta + (exact * (1 - exact) - beta) / n_next)
    return (
        f"| {group} | {n} | {rate:.0%} | {np.mean(rates):.1%} +- {np.std(rates, ddof=1) / math.sqrt(n_splits):.1%} "
        f"| {exact:.1%} | {np.std(rates, ddof=1):.1%} | {scatter:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--trials", type=int, default=8)
    arguments = parser.parse_args()
    request = TrialRequest.from_options(data="folder", space="features", threads=1)
    print("| set | scores of | n | claim | realised | if exchangeable | scatter | expected |\n" + 8 * "|---" + "|")
    for case in CASES:
        pool = Pool(case.options)
        fitting.extract = pool.extract
        with quiet_nni():
            seeds = range(arguments.splits)
            found = [search(*split(pool, case, seed), request, arguments.trials, seed) for seed in seeds]
        for group in ("held out", "validation"):
            for rate in RATES:
                if rate >= least_rate(len(found[0][group])):
                    print(f"| {case.name} {report(found, group, rate)}", flush=True)


if __name__ == "__main__":
    main()
