"""Does a search stay as quick and as small as it began? Time and memory per trial, over its course.

    python benchmarks/load.py search [--trials 2000]   # in this process
    python benchmarks/load.py launch [--trials 500]    # under nnictl

Trivial trials (digits, one layer, one epoch) in a space of 24,576 samples, strategy `autoad`. In process, the time of
the trial itself (`run_sample`) is taken apart from that around it: strategy, journal, history, best model, TensorBoard.
Under nnictl, it is the processor time of NNI's manager and of the dispatcher. Processor time, which other work on the
machine changes less than wall time. The last line is the ratio of the last hundred trials to the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NNI_FRAMEWORK", "none")
os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)

WINDOW = 100
SPACE = {
    "hypothesis": ["reconstruction"],
    "distance": ["l1", "l2", "l21", "ssim"],
    "layer1_channels": [3, 8, 16, 32],
    "layer1_kernel": [1, 3, 5, 7],
    "layer1_pooling": ["max", "average"],
    "layer1_pooling_kernel": [1, 3, 5, 7],
    "layer1_normalization": ["none", "batch", "instance"],
    "layer1_activation": ["sigmoid", "tanh", "relu", "linear", "leaky_relu", "elu", "relu6", "softplus"],
}
Sample = dict[str, float]
"""``trials`` ended so far; seconds of processor time and MiB by name."""


def experiment(trials: int) -> dict[str, Any]:
    return {
        "trialCommand": "autoad-nni trial --data digits --abnormal photos --limit 200 --epochs 1 --threads 1",
        "maxTrialNumber": trials,
        "trialConcurrency": 1,
        "trainingService": {"platform": "local"},
        "tuner": {
            "className": "autoad_nni.bridge.StrategyAdvisor",
            "codeDirectory": ".",
            "classArgs": {"strategy": "autoad", "seed": 0},
        },
        "searchSpace": {label: {"_type": "choice", "_value": values} for label, values in SPACE.items()},
    }


def search(trials: int, folder: Path) -> list[Sample]:
    import psutil

    import autoad_nni
    from autoad_nni.engines import in_process

    in_trials = 0.0
    run_sample: Callable[..., Any] = in_process.run_sample

    def timed(*arguments: Any, **options: Any) -> Any:
        nonlocal in_trials
        began = time.process_time()
        try:
            return run_sample(*arguments, **options)
        finally:
            in_trials += time.process_time() - began

    in_process.run_sample = timed
    me, samples = psutil.Process(), list[Sample]()

    def note(ended: int, best: float | None) -> None:
        rss = me.memory_info().rss / 2**20
        around = time.process_time() - in_trials
        samples.append({"trials": ended, "trial s": in_trials, "around s": around, "memory MiB": rss})
        show_progress(samples, trials)

    autoad_nni.search(experiment(trials), output=folder / "run", on_trial=note)
    return samples


def launch(trials: int, folder: Path) -> list[Sample]:
    (folder / "load.yml").write_text(json.dumps(experiment(trials)))  # JSON is YAML
    command = [sys.executable, "-m", "autoad_nni", "launch", str(folder / "load.yml")]
    samples = list[Sample]()
    with subprocess.Popen(command, env={**os.environ, "HOME": str(folder)}, stdout=sys.stderr) as process:
        watch = threading.Thread(target=_watch, args=(process, folder, trials, samples))
        watch.start()
        process.wait()
        watch.join()
    if process.returncode:
        raise SystemExit(f"launch ended with exit code {process.returncode}")
    return samples


def _watch(process: subprocess.Popen[bytes], folder: Path, trials: int, samples: list[Sample]) -> None:
    """Looks at the processes whenever another trial has ended."""
    ended = 0
    while process.poll() is None:
        time.sleep(0.2)
        journal = next(folder.glob("nni-experiments/[!_]*/checkpoint/journal.jsonl"), None)
        now = 0 if journal is None else journal.read_text().count('"event": "end"')
        if now > ended:
            figures = _figures(process.pid)
            samples += [{"trials": each, **figures} for each in range(ended + 1, now + 1)]
            ended = now
            show_progress(samples, trials)


def _figures(launch: int) -> Sample:
    import psutil

    figures = dict.fromkeys(("manager s", "manager MiB", "dispatcher s", "dispatcher MiB", "launch s"), 0.0)
    for process in (psutil.Process(launch), *psutil.Process(launch).children(recursive=True)):
        try:
            words = " ".join(process.cmdline())
            seconds, memory = sum(process.cpu_times()[:2]), process.memory_info().rss / 2**20
        except psutil.Error:
            continue
        name = "manager" if "--experiment-id" in words else "dispatcher" if "--exp_params" in words else ""
        if process.pid == launch:
            figures["launch s"] = seconds
        elif name and memory > figures[f"{name} MiB"]:  # not the shell around it
            figures[f"{name} s"], figures[f"{name} MiB"] = seconds, memory
    return figures


def per_trial(samples: list[Sample], last: int) -> Sample:
    """The seconds per trial of the hundred that end with trial ``last``, and the memory at that trial."""
    first, end = samples[max(0, last - WINDOW)], samples[last - 1]
    n = end["trials"] - first["trials"]
    return {name: (end[name] - first[name]) / n if name.endswith(" s") else end[name] for name in end}


def show_progress(samples: list[Sample], trials: int) -> None:
    if len(samples) % WINDOW == 0 or len(samples) == trials:
        row = per_trial(samples, len(samples))
        texts = [f"{name} {value:.4g}" for name, value in row.items()]
        print("  ".join(texts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("search", "launch"))
    parser.add_argument("--trials", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mode, default = (search, 2000) if given.mode == "search" else (launch, 500)
        samples = mode(given.trials or default, Path(folder))
    first, last = per_trial(samples, WINDOW), per_trial(samples, len(samples))
    print("last to first hundred:", "  ".join(f"{name} {last[name] / first[name]:.2f}" for name in first))


if __name__ == "__main__":
    main()
