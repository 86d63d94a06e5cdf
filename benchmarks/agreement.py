"""Whether a trial, its reloaded model and its ONNX file give the same scores, maps and decisions.

    python benchmarks/agreement.py [--winners 200] [--seed 0] [--log FILE]

Random samples of both spaces, trained for a few steps on small real images, every hypothesis, distance, extractor and
reading among them; a quarter of the winners are the mean of two to four models. For images that were not trained on:

  trial     the model as it was trained; its features from the cache, in which trials keep them
  reloaded  built anew and given the weights of a file; features computed
  ONNX      the exported file in onnxruntime on one core, from 8-bit pixels; half of the winners get images of twice the
            size, which the file resizes

  last digit  not another form, but what the model makes of such differences: the trial's, with the last digit of random
            pixels one higher. Where a model divides by little, as by a deviation of codes that hardly differ, this
            is how well one runtime can agree with another

Differences are relative to |a| or, where that is smaller, to the standard deviation over normal images: scores are
compared with one another and with a threshold, so a difference is small if it is small beside what normal images differ
by, wherever zero is; and no float32 is more exact than in proportion to its size. For maps, of their pixels. A
decision is score > threshold, that of the trial's normal images for 5 % false alarms or more; one within 1e-5 of the
threshold, in the same unit, is a tie and not counted as flipped.

The figures of each winner are a line of the log; winners that it has are not done again, so a run can be stopped, and
several can share a log (--first).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from autoad_nni.data import ImageShape, Task, TaskOptions, load_task, to_image_shape
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.models.autoencoder import LAYER_CHOICES
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.feature_model import FEATURE_CHOICES
from autoad_nni.models.onnx import export_onnx
from autoad_nni.models.samples import stages_of
from autoad_nni.models.scoring import Prediction, Scorer, ScoringSettings, predict
from autoad_nni.models.training import TrainingSettings
from autoad_nni.registry import FEATURES
from autoad_nni.runs.winner import load_members, write_members
from autoad_nni.trial.fitting import hold_out, inputs_of
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import make_scorer, predict_kept, run_trial
from autoad_nni.trial.settings import TrialSettings

SIDE = 32
HYPOTHESES = ("density", "cluster", "centroid", "reconstruction", "memory")
DISTANCES = ("l1", "l2", "l21", "ssim", "l21_ssim")
# A winner's models have one file of weights, or none.
EXTRACTORS = (("resnet18",), *[("efficientnet_lite0", "contrast", "patches", "pixels")] * 4)
# Of an autoencoder, for one image: so that 200 winners do not take hours.
MAX_MACS = 30_000_000
WINDOWS = (ScoringSettings(), ScoringSettings(), ScoringSettings(patch=12), ScoringSettings(patch=12, two_sided=True))
DATA = (
    TaskOptions(data="photos", abnormal=("uniform",), limit=100),
    TaskOptions(data="textures", category="brick", limit=60),
)
AGREE = 1e-5
# The largest of some thousand pixels is itself a matter of chance.
TIMES = 3
FORMS = ("reloaded", "ONNX", "last digit")


@cache
def task_of(options: TaskOptions, side: int) -> Task:
    return load_task(replace(options, image_size=side))


@cache
def resnet_weights() -> Path:
    """Random ones: the real ones would have to be downloaded."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    path = Path(os.environ["AUTOAD_NNI_CACHE"], "resnet18.pth")
    torch.save(resnet18().state_dict(), path)
    return path


class Trained(NamedTuple):
    record: TrialRecord
    scorer: Scorer


class Difference(NamedTuple):
    """The largest of a winner, relative, and how many decisions are others."""

    score: float
    map: float
    flipped: int


@dataclass
class Figures:
    """What was found of a winner: its differences from the trial, form by form."""

    number: int
    space: str
    models: list[str]
    forms: dict[str, Difference]


def sample_of(space: str, extractors: Sequence[str], draw: random.Random) -> dict[str, Any]:
    plugins = {"hypothesis": draw.choice(HYPOTHESES), "distance": draw.choice(DISTANCES)}
    if space == "autoencoder":
        layers = range(1, draw.choice((1, 2, 3)) + 1)
        chosen = {f"layer{i}_{key}": draw.choice(values) for i in layers for key, values in LAYER_CHOICES.items()}
        return chosen | plugins
    chosen = {label: draw.choice(values) for label, values in FEATURE_CHOICES.items()}
    return chosen | plugins | {"extractor": draw.choice(extractors)}


def is_offered(sample: Mapping[str, Any]) -> bool:
    """Whether the extractor has the stages that were drawn."""
    name = sample.get("extractor")
    strides = FEATURES.load(name).strides if name in ("contrast", "patches", "pixels") else (4, 8, 16, 32)
    return name is None or set(stages_of(sample["stages"])) <= set(strides)


def train(
    data: TaskOptions, settings: TrialSettings, extractors: Sequence[str], draw: random.Random, read: Counter[str]
) -> Trained:
    """A random model that ended well, with a reading that few had before."""
    while True:
        sample = sample_of(settings.space, extractors, draw)
        if not is_offered(sample):
            continue
        result = run_trial(sample, task_of(data, SIDE), settings, number=draw.randrange(10**6))
        if result.detector is not None:
            break
    detector, task = result.detector, task_of(data, SIDE)
    scorer = make_scorer(detector, task.train[0], settings.scoring)
    if settings.scoring.patch is None:
        readings = detector.reader.readings()
        detector.reader.reading = min(readings, key=lambda each: (read[each.name], draw.random()))
        read[detector.reader.reading.name] += 1
        _, held_out = hold_out(inputs_of(detector, task.train))
        detector.compare(*predict(scorer, held_out))
    return Trained(result.record, scorer)


def joined(scorers: list[Scorer]) -> Scorer | Ensemble:
    return scorers[0] if len(scorers) == 1 else Ensemble(scorers)


def reloaded(members: list[Trained], image: Tensor, settings: TrialSettings) -> Scorer | Ensemble:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "best.safetensors")
        write_members({each.record.number: each.scorer.detector for each in members}, path)
        records = [each.record for each in members]
        detectors = load_members(records, path, channels=image.shape[0], settings=settings)
    return joined([make_scorer(detector, image, settings.scoring) for detector in detectors])


def in_onnx(
    scorer: Scorer | Ensemble, shape: ImageShape, threshold: float, images: Tensor
) -> tuple[Prediction, Tensor]:
    """Prediction and decisions, from 8-bit images."""
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(scorer, shape, threshold, Path(folder, "model.onnx"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(Path(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"images": part.numpy()}) for part in images.split(5)]
    score, anomaly_map, defective = (torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True))
    return Prediction(score, anomaly_map), defective


def with_other_last_digits(images: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    changed = torch.rand(images.shape, generator=generator) < 0.5
    return torch.where(changed, torch.nextafter(images, torch.ones(())), images)


def relative(a: Tensor, b: Tensor, normal: Tensor) -> Tensor:
    deviation = a[normal].double().std(correction=0)
    difference = (a.double() - b.double()).abs()
    # No difference is none, also where all is 0: the distance of a projection to all components.
    return torch.where(difference == 0, 0, difference / torch.maximum(a.double().abs(), deviation))


def compare(
    a: Prediction, b: Prediction, normal: Tensor, threshold: float, decision: Tensor | None = None
) -> Difference:
    decision = b.score.double() > threshold if decision is None else decision
    unit = torch.maximum(a.score.double().abs(), a.score[normal].double().std(correction=0))
    tie = (a.score.double() - threshold).abs() <= AGREE * unit
    changed = decision != (a.score.double() > threshold)
    of_score = float(relative(a.score, b.score, normal).max())
    of_map = float(relative(a.anomaly_map, b.anomaly_map, normal).max())
    return Difference(of_score, of_map, int((changed & ~tie).sum()))


def check(number: int, draw: random.Random, read: Counter[str]) -> Figures:
    """Train a winner and compare its forms with the trial."""
    space = ("autoencoder", "features")[number % 2]
    data = DATA[number // 2 % 2]
    scoring = draw.choice(WINDOWS) if space == "autoencoder" else ScoringSettings()
    extractors = draw.choice(EXTRACTORS)
    settings = TrialSettings(
        training=TrainingSettings(steps=10), scoring=scoring, space=space, device="cpu", threads=1, seed=number,
        max_macs=MAX_MACS if space == "autoencoder" else None,
        weights=resnet_weights() if extractors == ("resnet18",) else None,
    )  # fmt: skip
    n_models = draw.choice((2, 3, 4)) if number % 8 in (6, 7) else 1
    members = [train(data, settings, extractors, draw, read) for _ in range(n_models)]
    task = task_of(data, SIDE)
    raw = task_of(data, SIDE * (1 + number // 4 % 2))
    pixels = torch.cat([raw.validation.images, raw.test.images]).mul(255).round().to(torch.uint8)
    normal = torch.cat([raw.validation.labels, raw.test.labels]) == 0
    shape = ImageShape(*task.train.shape[1:])
    images = to_image_shape(pixels, shape)
    winner = joined([each.scorer for each in members])
    trial = predict_kept(winner, images)
    calibration = Calibration(normal=trial.score[normal].tolist())
    threshold = calibration.at(max(0.05, calibration.least_rate * 1.001)).value
    again = predict(reloaded(members, task.train[0], settings), images)
    exported, decision = in_onnx(winner, shape, threshold, pixels)
    digits = predict(winner, with_other_last_digits(images))
    return Figures(
        number,
        space,
        [f"{each.scorer.reading.name} {' '.join(map(str, each.record.sample.values()))}" for each in members],
        {
            "reloaded": compare(trial, again, normal, threshold),
            "ONNX": compare(trial, exported, normal, threshold, decision),
            "last digit": compare(trial, digits, normal, threshold),
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winners", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Number of the first winner.")
    parser.add_argument("--log", type=Path, help="Figures, a line for each winner; default: not kept.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AUTOAD_NNI_CACHE"] = folder  # features of models that nobody wants to keep
        log = options.log or Path(folder, "agreement.jsonl")
        compare_all(range(options.first, options.first + options.winners), options.seed, log)
        print_table(known(log))


def compare_all(numbers: Sequence[int], seed: int, log: Path) -> None:
    """Check the winners that the log lacks, one by one."""
    read: Counter[str] = Counter()
    for number in sorted(set(numbers) - {each.number for each in known(log)}):
        found = check(number, random.Random(f"{seed} {number}"), read)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        print(json.dumps(asdict(found)), flush=True)


def known(log: Path) -> list[Figures]:
    """The winners of a log."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    found = [Figures(**json.loads(line)) for line in lines]
    return [replace(each, forms={form: Difference(*values) for form, values in each.forms.items()}) for each in found]


def print_table(winners: Sequence[Figures]) -> None:
    """Print the worst of each kind of winners, and how many agree."""
    kinds: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for each in winners:
        kinds[each.space, "1 model" if len(each.models) == 1 else "2 to 4 models"].append(each)
    print(f"{'worst against the trial':33}" + "".join(f"{form:>30}" for form in FORMS))
    print(f"{'space':12} {'winner':13} {'n':>6}" + f"{'score':>11} {'map':>8} {'flipped':>9}" * 3)
    for (space, kind), some in sorted(kinds.items()):
        worst = [Difference(*map(max, zip(*(each.forms[form] for each in some), strict=True))) for form in FORMS]
        flipped = [sum(each.forms[form].flipped for each in some) for form in FORMS]
        figures = "".join(f"{w.score:11.1e} {w.map:8.1e} {n:9}" for w, n in zip(worst, flipped, strict=True))
        print(f"{space:12} {kind:13} {len(some):6}{figures}")
        for times, text in ((0, "of them within 1e-5"), (TIMES, f"or {TIMES} times the last digit")):
            near = "".join(
                f"{near_of(some, form, 0, times):11} {near_of(some, form, 1, times):8} {'':9}" for form in FORMS
            )
            print(f"  {text:31}{near}")


def near_of(winners: Sequence[Figures], form: str, of: int, times: int) -> int:
    """How many winners' scores (0) or maps (1) differ by 1e-5 or less, or by so many times what a last digit makes."""
    return sum(each.forms[form][of] <= max(AGREE, times * each.forms["last digit"][of]) for each in winners)


if __name__ == "__main__":
    main()
