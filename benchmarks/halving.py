"""What stopping trials early costs and saves.

    python benchmarks/halving.py ranks --task fashion [--models 40] --output runs/ranks.jsonl

Random cheap models, trained to the end and evaluated on the way: the rank correlation (Spearman) between the reward at
a share of the steps and at the end, and whether the best quarter at the end is among the best quarter on the way. One
line of JSON for each model is added to the file; models that it has are not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("NNI_FRAMEWORK", "none")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from scipy.stats import spearmanr

from autoad_nni.data import load_task
from autoad_nni.models.build import build_architecture
from autoad_nni.searches.spaces import declare, to_search_space
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import Rungs, run_trial

SHARES = (1 / 16, 1 / 9, 1 / 4, 1 / 3, 1 / 2)
TASKS = {
    "fashion": "--data fashion_mnist --abnormal digits,photos --limit 2000 --steps 200 --max-macs 500000",
    "brick": "--data textures --category brick --patch 16 --two-sided --epochs 5 --reward aupro --max-macs 100000",
}
TASKS["grass"] = TASKS["brick"].replace("brick", "grass")
LAYERS = {"fashion": 2, "brick": 2, "grass": 2}


def draw(task: str, seed: int) -> dict[str, Any]:
    """A random sample that is quick to train: few multiply-adds, few written values."""
    generator = random.Random(seed)
    labels = ["hypothesis", "distance"] + [f"layer{i}_{part}" for i in range(1, LAYERS[task] + 1) for part in PARTS]
    choices = to_search_space(declare("autoencoder", labels))
    limit = 5e5 if task == "fashion" else 1e5
    side = 28 if task == "fashion" else 16
    while True:
        sample = {label: generator.choice(entry["_value"]) for label, entry in choices.items()}
        if build_architecture(sample, channels=1).macs(side, side) < limit:
            return sample


PARTS = ("channels", "kernel", "pooling", "pooling_kernel", "normalization", "activation")


def one(task: str, seed: int) -> dict[str, Any]:
    """Train a model and look at it on the way."""
    request = parse_request(f"{TASKS[task]} --threads 1".split())
    images = load_task(request.task)
    rewards, clock = list[float](), [time.process_time()]

    def look(rung: int, record: TrialRecord) -> bool:
        rewards.append(record.reward)
        clock.append(time.process_time())
        return True

    result = run_trial(draw(task, seed), images, request.settings, rungs=Rungs(SHARES, look))
    end = time.process_time()
    return {
        "task": task,
        "seed": seed,
        "verdict": result.record.verdict.value,
        "at_rungs": rewards,
        "reward": result.record.reward,
        "clock": [each - clock[0] for each in [*clock[1:], end]],
        "sample": draw(task, seed),
    }


def ranks(given: argparse.Namespace) -> None:
    path: Path = given.output
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {line["seed"] for line in lines if line["task"] == given.task}
    for seed in range(given.models):
        if seed not in done:
            lines.append(one(given.task, seed))
            with path.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    trained = [line for line in lines if line["task"] == given.task and len(line["at_rungs"]) == len(SHARES)]
    final = [line["reward"] for line in trained]
    print(f"{given.task}: {len(trained)} models, reward {statistics.median(final):.3f} / {max(final):.3f}")
    for i, share in enumerate(SHARES):
        early = [line["at_rungs"][i] for line in trained]
        quarter = max(1, len(trained) // 4)
        best = sorted(range(len(trained)), key=lambda j: -early[j])[:quarter]
        kept = max(final[j] for j in best)
        rho = spearmanr(early, final).statistic
        print(f"  at {share:.3g}: Spearman {rho:.2f}, best of the best quarter there {kept:.3f} of {max(final):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ranks",))
    parser.add_argument("--task", choices=tuple(TASKS), default="fashion")
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--output", type=Path, required=True)
    ranks(parser.parse_args())


if __name__ == "__main__":
    main()
