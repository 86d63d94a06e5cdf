"""Whole images or windows, one-sided or two-sided: what each gives on the textures.

    python benchmarks/windows.py --candidates 8

The same random models of three layers for each texture and each way, at most 1.5 million multiply-adds for a window of
16 pixels, three epochs; AUPRO and pixel AUROC on validation, median and best. Scoring one- or two-sided is of the same
trained models.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
from dataclasses import replace

os.environ["NNI_FRAMEWORK"] = "none"

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.data.textures import TEXTURES
from autoad_nni.models.build import build_architecture
from autoad_nni.models.scoring import Scorer, ScoringSettings
from autoad_nni.models.training import TrainingSettings
from autoad_nni.search.spaces import declare, to_search_space
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.trial.run import TrialSettings, run_trial
from autoad_nni_search_spaces import AutoencoderSpace

WINDOWS = (None, 32, 16)
MACS = 1_500_000 / 16**2  # for one pixel, so that a model is accepted or refused whatever the window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=8)
    n = parser.parse_args().candidates
    choices = to_search_space(declare("autoencoder", map(str, AutoencoderSpace(n_layers=3).simplify())))
    for texture in TEXTURES:
        task = load_task(TaskOptions(data="textures", category=texture))
        for window in WINDOWS:
            found: dict[str, list[dict[str, float]]] = {"one-sided": [], "two-sided": []}
            draw, n_tried = random.Random(0), 0
            while n_tried < n:
                sample = {label: draw.choice(entry["_value"]) for label, entry in choices.items()}
                if build_architecture(sample, channels=1).macs(64, 64) > MACS * 64**2:
                    continue
                n_tried += 1
                settings = TrialSettings(
                    training=TrainingSettings(epochs=3),
                    scoring=ScoringSettings(patch=window, two_sided=window is not None),
                    threads=1,
                )
                trial = run_trial(sample, task, settings)
                if trial.detector is None:
                    continue
                for name in found:
                    if window is not None or name == "one-sided":
                        scoring = replace(settings.scoring, two_sided=name == "two-sided")
                        found[name].append(evaluate(Scorer(trial.detector, scoring), task.validation))
            for name, results in found.items():
                if results:
                    cells = [
                        f"{metric} {statistics.median(values):.3f} / {max(values):.3f}"
                        for metric in ("aupro", "pixel_auroc")
                        for values in [[result[metric] for result in results]]
                    ]
                    where = "whole images" if window is None else f"windows of {window}, {name}"
                    print(f"{texture}, {where}: {', '.join(cells)} ({len(results)} of {n} ok)", flush=True)


if __name__ == "__main__":
    main()
