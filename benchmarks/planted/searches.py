"""Searches with good images only, and with real anomalies too: what both winners find on test.

    python -m benchmarks.planted.searches "solar cells, 128" "fashion 1" --seeds 2 --output runs/planted

The images of a set (`benchmarks.planted.sets`) are written into a folder: the good ones that are not test's for one
search, the validation anomalies beside them for the other; `autoad_nni.search` gets the folder and nothing else but the
number of trials and a seed. Both winners score the set's test images, which neither search saw; so do PatchCore and
PaDiM, trained as in the first search and read in the usual way. Each pair is a line of OUTPUT/searches.jsonl as soon as
it is done; the same command goes on where it was stopped. Without names of sets, what the file has is printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import autoad_nni as ad
from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.metrics.image import auroc
from autoad_nni.models.readings import Reading
from autoad_nni.searches.known import known_methods
from autoad_nni.storing import append_line, read_lines
from autoad_nni.trial.run import make_scorer, predict_kept, run_trial
from benchmarks.experiment import file_of_lines
from benchmarks.planted.sets import SETS, ImageSet, load_set
from benchmarks.strategies.report import markdown_table
from benchmarks.strategies.stats import estimate

__all__ = ["compare", "main", "summary"]

Line = Mapping[str, Any]

FIXED: Final = ("patchcore", "padim")
_USUAL: Final = Reading("code")


def compare(name: str, images: ImageSet, seed: int, trials: int, output: Path) -> dict[str, Any]:
    """Run both searches in folders that are removed afterwards, and return their line.

    Args:
        name: Of the set.
        images: Its images.
        seed: Of the strategy.
        trials: The budget of each search.
        output: Where the folders are made.
    """
    work = output / f"{name}-{seed}"
    shutil.rmtree(work, ignore_errors=True)  # of a comparison that was stopped
    good = torch.cat([images.train, images.good["validation"], images.hosts])
    anomalies = {kind: parts["validation"] for kind, parts in images.defects.items()}
    for folder, kinds in (("planted", {}), ("real", anomalies)):
        for kind, some in {"good": good, **kinds}.items():
            _write(some, work / folder / kind)
    test = torch.cat([images.good["test"], *(parts["test"] for parts in images.defects.values())])
    labels = [0] * len(images.good["test"]) + [1] * (len(test) - len(images.good["test"]))
    found: dict[str, Any] = {"set": name, "seed": seed, "trials": trials}
    best = {}
    for folder in ("planted", "real"):
        run = ad.search(work / folder, output=work / f"{folder} run", trials=trials, seed=seed)
        assert run.best is not None
        best[folder] = run.best
        scores = ad.load(run.folder).predict(test).score
        found[folder] = round(auroc(labels, np.asarray(scores)), 4)
        found[f"{folder} validation"] = round(run.best.reward, 4)
    request = best["planted"].request
    task = ad.load_task(request.task)
    resized = to_image_shape(test, ImageShape(task.channels, task.height, task.width))
    for method in FIXED:
        result = run_trial(known_methods("features")[method], task, request.settings, reading=_USUAL)
        assert result.detector is not None
        scorer = make_scorer(result.detector, task.train[0], request.settings.scoring)
        found[method] = round(auroc(labels, predict_kept(scorer, resized).score.numpy()), 4)
    shutil.rmtree(work)
    return found


def _write(images: Tensor, folder: Path) -> None:
    folder.mkdir(parents=True)
    for i, image in enumerate((images[:, 0] * 255).round().to(torch.uint8).numpy()):
        Image.fromarray(image).save(folder / f"{i:04}.png")


def summary(lines: Iterable[Line]) -> str:
    """Return a table in Markdown: test figures by set, means over seeds; and the regrets over sets."""
    by_set: dict[str, list[Line]] = {}
    for line in lines:
        by_set.setdefault(line["set"], []).append(line)
    columns = ("real", "planted", *FIXED)
    means = {name: [float(np.mean([line[of] for line in some])) for of in columns] for name, some in by_set.items()}
    rows = [["set", "seeds", "real anomalies", "planted", *FIXED]]
    rows += [[name, str(len(by_set[name])), *(f"{each:.3f}" for each in found)] for name, found in means.items()]
    if len(means) > 1:
        table = np.array(list(means.values()))
        regrets = [estimate((table[:, 0] - table[:, i]).tolist()) for i in range(1, len(columns))]
        rows.append(["regret", "", "", *(f"{mean:.3f} ± {margin:.3f}" for mean, margin in regrets)])
    return markdown_table(rows)


def main(arguments: list[str] | None = None) -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("runs/planted"))
    given = parser.parse_args(arguments)
    file = file_of_lines(parser, given.sets, SETS, given.output)
    done = {(line["set"], line["seed"]) for line in read_lines(file)}
    for seed in range(given.seeds):
        for name in given.sets:
            if (name, seed) not in done:
                append_line(file, compare(name, load_set(name, given.output), seed, given.trials, given.output))
    print(summary(read_lines(file)))


if __name__ == "__main__":
    main()
