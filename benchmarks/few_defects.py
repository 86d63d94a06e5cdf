"""What choosing on few defects costs: the best trial and the winner of several, against the best trial there was.

    python benchmarks/few_defects.py EXPERIMENT [--trials 25] [--split 10] [--draws 10] [--defects 3 5 10]

Trains the known methods of the experiment's space and random samples once. Then, for each draw, so many defects of the
validation set are kept: every trial chooses its reading on them, and its reward follows. Printed are means over the
draws of validation -> test, for the trial with the best reward and for the mean of several (`--members`); on test also
for the mean of these and of known methods (`autoad_nni.runs.winner.TRUSTED`), and for the best trial there was. The
split is another one than those of the reported searches.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from autoad_nni.data import LabelledImages, Task, load_task
from autoad_nni.engines.isolation import quiet_nni
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import Prediction, Scorer, predict_parts, size_of
from autoad_nni.runs.winner import members_of
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.known import known_methods
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial.evaluate import metric_of
from autoad_nni.trial.fitting import hold_out, inputs_of
from autoad_nni.trial.reading import predictions
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.verdicts import Verdict

N_MEMBERS = 5


@dataclass
class Read:
    """A trial as one reading reads it, in units of held-out normal images."""

    validation: Prediction
    test: Prediction


def readings_of(scorer: Scorer, task: Task) -> dict[Reading, Read]:
    """Every reading of a trained model."""
    held_out = dict(all_predictions(scorer, hold_out(task.train)[1]))
    validation, test = (
        {
            reading: prediction if images.masks is not None else without_map(prediction)
            for reading, prediction in all_predictions(scorer, images.images)
        }
        for images in (task.validation, task.test)
    )
    found = {}
    for reading, normal in held_out.items():
        scorer.detector.compare(*normal)
        found[reading] = Read(*(in_units(scorer, part[reading]) for part in (validation, test)))
    return found


def all_predictions(scorer: Scorer, images: torch.Tensor) -> Iterator[tuple[Reading, Prediction]]:
    inputs = inputs_of(scorer.detector, images)
    whole, maps = predict_parts(scorer, inputs)
    yield from predictions(scorer, whole, maps, size_of(inputs))


def without_map(prediction: Prediction) -> Prediction:
    """Without masks no metric reads the maps, and those of all readings of many images are gigabytes."""
    return Prediction(prediction.score, prediction.score)


def in_units(scorer: Scorer, prediction: Prediction) -> Prediction:
    return Prediction(scorer.in_units(prediction.score), scorer.map_in_units(prediction.anomaly_map).half())


def some(prediction: Prediction, index: np.ndarray) -> Prediction:
    return Prediction(prediction.score[index], prediction.anomaly_map[index].float())


def mean(read: Sequence[Prediction]) -> Prediction:
    return Prediction(
        torch.stack([each.score for each in read]).mean(0),
        torch.stack([each.anomaly_map.float() for each in read]).mean(0),
    )


def drawn(images: LabelledImages, n_defects: int, rng: np.random.Generator) -> np.ndarray:
    """The normal images and so many of the others."""
    labels = images.labels.numpy()
    return np.concatenate([np.flatnonzero(labels == 0), rng.choice(np.flatnonzero(labels), n_defects, replace=False)])


def choose(trials: dict[str, dict[Reading, Read]], task: Task, metric: str, index: np.ndarray) -> dict[str, float]:
    """What is chosen on some validation images, and how it does on test."""
    validation = replace(
        task.validation,
        labels=task.validation.labels[index],
        masks=None if task.validation.masks is None else task.validation.masks[index],
    )
    records, chosen = [], {}
    for number, (name, trial) in enumerate(trials.items()):
        rewards = {
            reading: metric_of(metric, some(read.validation, index), validation) for reading, read in trial.items()
        }
        best = max(rewards, key=lambda reading: rewards[reading])
        chosen[number] = trial[best]
        records.append(TrialRecord(number=number, sample={}, verdict=Verdict.OK, reward=rewards[best], known=name))
    members = [record.number for record in members_of(records, N_MEMBERS)]
    winner = [mean([getattr(chosen[number], name) for number in members]) for name in ("validation", "test")]
    more = [record.number for record in members_of(records, N_MEMBERS, with_trusted=True)]

    def on_test(prediction: Prediction) -> float:
        return metric_of(metric, some(prediction, np.arange(len(prediction.score))), task.test)

    return {
        "single validation": max(record.reward for record in records),
        "single test": on_test(chosen[members[0]].test),
        "winner validation": metric_of(metric, some(winner[0], index), validation),
        "winner test": on_test(winner[1]),
        "with known test": on_test(mean([chosen[number].test for number in more])),
        "best test": max(on_test(read.test) for read in chosen.values()),
    }


def train(samples: dict[str, dict[str, object]], task: Task, settings: TrialSettings) -> dict[str, dict[Reading, Read]]:
    trials = {}
    for name, sample in samples.items():
        result = run_trial(sample, task, settings)
        print(result.record.verdict.value, round(result.record.reward, 4), result.record.reading, flush=True)
        if result.detector is not None:
            trials[name] = readings_of(Scorer(result.detector, settings.scoring), task)
    return trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--split", type=int, default=10, help="Seed of the split.")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--defects", type=int, nargs="+", default=[3, 5, 10])
    arguments = parser.parse_args()
    experiment = read_experiment(arguments.experiment)
    request = parse_request(experiment.trial_arguments, experiment.trial_folder)
    task = load_task(replace(request.task, seed=arguments.split))
    rng = random.Random(arguments.split)
    samples = dict(islice(known_methods(request.space).items(), arguments.trials))
    while len(samples) < arguments.trials:
        drawn_one = {label: rng.choice(entry["_value"]) for label, entry in experiment.search_space.items()}
        samples[f"random {len(samples)}"] = drawn_one
    metric = request.settings.reward
    with quiet_nni():
        trials = train(samples, task, request.settings)
    n_all = int(task.validation.labels.sum())
    print(f"{task.name}, {metric}, {len(trials)} trials; means of {arguments.draws} draws")
    for n_defects in [*(n for n in arguments.defects if n < n_all), n_all]:
        draws = np.random.default_rng(0)
        n_draws = 1 if n_defects == n_all else arguments.draws
        found = [choose(trials, task, metric, drawn(task.validation, n_defects, draws)) for _ in range(n_draws)]
        row = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        print(
            f"{n_defects:3d} defects: best trial {row['single validation']:.3f} -> {row['single test']:.3f}, mean of "
            f"several {row['winner validation']:.3f} -> {row['winner test']:.3f}, with known methods "
            f"{row['with known test']:.3f}, best there was {row['best test']:.3f}"
        )


if __name__ == "__main__":
    main()
