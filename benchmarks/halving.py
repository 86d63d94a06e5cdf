"""What stopping trials early saves, and what it costs.

    python benchmarks/halving.py train --task fashion --models 40 --output runs/halving.jsonl
    python benchmarks/halving.py ranks --task fashion --output runs/halving.jsonl
    python benchmarks/halving.py simulate --task fashion --output runs/halving.jsonl [--seeds 10] [--trials 30]

`train`: random cheap models, trained to the end, evaluated at some shares of their steps as a halving search evaluates
them, and on test. One line of JSON for each model is added to the file; models that it has are not trained again.

`ranks`: the rank correlation (Spearman) between the reward at a share of the steps and at the end, and the best final
reward among the quarter that is best at that share.

`simulate`: random searches over the recorded models, with and without halving. What `random` proposes depends on no
reward, so that a search over recorded trainings is the search: each trial costs the recorded processor time until it is
stopped, evaluations at rungs included, and the winner has the recorded figure on test.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NNI_FRAMEWORK", "none")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from scipy.stats import spearmanr

from autoad_nni.data import load_task
from autoad_nni.models.build import build_architecture
from autoad_nni.searches.halving import is_among_best, shares_of
from autoad_nni.searches.spaces import declare, to_search_space
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial import fitting
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import Rungs, evaluate_on_test, make_scorer, run_trial

SHARES = (1 / 16, 1 / 9, 1 / 4, 1 / 3, 1 / 2)
TEXTURE = "--patch 16 --two-sided --epochs 5 --reward aupro"
TASKS = {
    "fashion": "--data fashion_mnist --abnormal digits,photos --limit 2000 --steps 200",
    "brick": f"--data textures --category brick {TEXTURE}",
    "grass": f"--data textures --category grass {TEXTURE}",
}
MOST_COST, SIDE = {"fashion": 500_000, "brick": 200_000, "grass": 200_000}, {"fashion": 28, "brick": 16, "grass": 16}
PARTS = ("channels", "kernel", "pooling", "pooling_kernel", "normalization", "activation")
SCHEMES = {"1/9": (9, 1), "1/4": (4, 1), "1/3": (3, 1), "1/9, 1/3": (3, 2), "1/4, 1/2": (2, 2), "1/16, 1/4": (4, 2)}
Model = dict[str, Any]


def draw(task: str, seed: int) -> dict[str, Any]:
    """A random sample of two layers that is quick to train."""
    generator = random.Random(seed)
    labels = ["hypothesis", "distance", *[f"layer{i}_{part}" for i in (1, 2) for part in PARTS]]
    choices = to_search_space(declare("autoencoder", labels))
    while True:
        sample = {label: generator.choice(entry["_value"]) for label, entry in choices.items()}
        if cost(sample, SIDE[task]) < MOST_COST[task]:
            return sample


def cost(sample: dict[str, Any], side: int) -> int:
    """Multiply-adds of an image, and 20 for each value that a layer writes, which takes about as long."""
    macs = build_architecture(sample, channels=1).macs(side, side)
    for i in (1, 2):
        macs += 20 * sample[f"layer{i}_channels"] * side**2
        side = -(-side // sample[f"layer{i}_pooling_kernel"])
    return macs


def train_one(task: str, seed: int) -> Model:
    request = parse_request(f"{TASKS[task]} --threads 1".split())
    images, settings = load_task(request.task), request.settings
    rewards, looking, look = list[float](), list[float](), fitting._look_early

    def timed(*arguments: Any) -> Any:
        began = time.process_time()
        try:
            return look(*arguments)
        finally:
            looking.append(time.process_time() - began)

    def note(rung: int, record: TrialRecord) -> bool:
        rewards.append(record.reward)
        return True

    fitting._look_early = timed
    began = time.process_time()
    result = run_trial(draw(task, seed), images, settings, rungs=Rungs(SHARES, note))
    seconds = time.process_time() - began - sum(looking)
    fitting._look_early = look
    test = None
    if result.detector is not None:
        test = evaluate_on_test(
            make_scorer(result.detector, images.train[0], settings.scoring), images, settings
        ).figures
    record = result.record
    return {
        "task": task,
        "seed": seed,
        "verdict": record.verdict.value,
        "early": rewards,
        "reward": record.reward,
        "test": None if test is None else test[settings.reward],
        "seconds": seconds,
        "looking": looking,
        "sample": dict(record.sample),
    }


def recorded(path: Path, task: str) -> list[Model]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["task"] == task]


def train(given: argparse.Namespace) -> None:
    given.output.parent.mkdir(parents=True, exist_ok=True)
    done = {line["seed"] for line in recorded(given.output, given.task)}
    for seed in range(given.first, given.models):
        if seed not in done:
            model = train_one(given.task, seed)
            with given.output.open("a") as file:
                file.write(json.dumps(model) + "\n")


def ranks(given: argparse.Namespace) -> None:
    trained = [model for model in recorded(given.output, given.task) if model["verdict"] == "ok"]
    final = [model["reward"] for model in trained]
    test = spearmanr(final, [model["test"] for model in trained]).statistic
    middle = statistics.median(final)
    print(f"{given.task}: {len(trained)} models, reward {middle:.3f} / {max(final):.3f}, Spearman with test {test:.2f}")
    cost = statistics.median(statistics.mean(model["looking"]) / model["seconds"] for model in trained)
    print(f"an evaluation at a rung takes {cost:.2f} of a trial without any")
    for i, share in enumerate(SHARES):
        early = [model["early"][i] for model in trained]
        best = sorted(range(len(trained)), key=lambda j: -early[j])[: max(1, len(trained) // 4)]
        kept, rho = max(final[j] for j in best), spearmanr(early, final).statistic
        print(f"at {share:.3f}: Spearman {rho:.2f}; best of the best quarter there {kept:.3f} of {max(final):.3f}")


def search(models: list[Model], shares: list[float], reduction: int) -> tuple[float, float, int]:
    """The winner's figure on test, processor seconds, and how many trials were trained to the end."""
    seen: dict[float, list[float]] = {share: [] for share in shares}
    seconds, ended, winner = 0.0, 0, None
    for model in models:
        stopped = False
        for share in shares:
            i = SHARES.index(share)
            if i >= len(model["early"]):
                break  # rejected before
            seconds += model["looking"][i]
            stopped = not is_among_best(model["early"][i], seen[share], reduction)
            seen[share].append(model["early"][i])
            if stopped:
                seconds += share * model["seconds"]
                break
        if not stopped:
            seconds += model["seconds"]
            ended += 1
            if model["verdict"] == "ok" and (winner is None or model["reward"] > winner["reward"]):
                winner = model
    assert winner is not None
    return winner["test"], seconds, ended


def simulate(given: argparse.Namespace) -> None:
    models = recorded(given.output, given.task)
    orders = [random.Random(seed).sample(models, min(given.trials, len(models))) for seed in range(given.seeds)]
    plain = [search(order, [], 2) for order in orders]
    print(f"{given.task}: {len(orders)} searches of {len(orders[0])} of {len(models)} models")
    print(f"{'rungs':<12}test   difference mean (standard error), worst   seconds   to the end")
    for name, scheme in {"none": None, **SCHEMES}.items():
        shares = [] if scheme is None else [min(SHARES, key=lambda one, s=s: abs(one - s)) for s in shares_of(*scheme)]
        found = [search(order, shares, scheme[0] if scheme else 2) for order in orders]
        differences = [one[0] - base[0] for one, base in zip(found, plain, strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5
        cost = sum(one[1] for one in found) / sum(base[1] for base in plain)
        print(
            f"{name:<12}{mean(found, 0):.3f}  {statistics.mean(differences):+.3f} ({error:.3f}), "
            f"{min(differences):+.3f}   {cost:.2f}   {mean(found, 2):.1f}"
        )


def mean(found: list[tuple[float, float, int]], i: int) -> float:
    return statistics.mean(one[i] for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes: dict[str, Callable[[argparse.Namespace], None]] = {"train": train, "ranks": ranks, "simulate": simulate}
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--task", choices=tuple(TASKS), default="fashion")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    modes[given.mode](given)


if __name__ == "__main__":
    main()
