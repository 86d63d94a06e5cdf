"""Does a search stay as quick and as small as it began? Time and memory per trial, over its course.

    python benchmarks/load.py search [--trials 2000] [--strategy autoad]   # in this process
    python benchmarks/load.py nnictl [--trials 500] [--strategy autoad]

In process: trivial trials (digits, one layer, one epoch); the time of the trial itself (`run_in_folder`) apart from
that around it: strategy, journal, history, best model, TensorBoard. Under nnictl: trials that do nothing but take a
sample and report a reward; the time of NNI's manager, asked for its trials as `launch` asks it, and of the dispatcher.
The space has 12,288 samples. Times are processor time, which other work on the machine changes less than wall time. The
last line is the ratio of the last hundred trials to the first.

The predictor of `autoad` takes more time the more results it is fitted to, up to 400: `--strategy random` shows the
rest alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from digits_search import digits_experiment

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


def experiment(trials: int, strategy: str) -> dict[str, Any]:
    return digits_experiment(SPACE, strategy=strategy, trials=trials, epochs=1, limit=200)


def search(trials: int, strategy: str, folder: Path) -> list[Sample]:
    import psutil

    import autoad_nni
    from autoad_nni.engines import in_process
    from autoad_nni.engines.in_process import run_in_folder

    in_trials = 0.0

    def timed(*arguments: Any, **options: Any) -> Any:
        nonlocal in_trials
        began = time.process_time()
        try:
            return run_in_folder(*arguments, **options)
        finally:
            in_trials += time.process_time() - began

    in_process.run_in_folder = timed
    me, samples = psutil.Process(), list[Sample]()

    def note(ended: int, best: float | None) -> None:
        rss = me.memory_info().rss / 2**20
        around = time.process_time() - in_trials
        samples.append({"trials": ended, "trial s": in_trials, "around s": around, "memory MiB": rss})
        show_progress(samples, trials)

    autoad_nni.search(experiment(trials, strategy), output=folder / "run", on_trial=note)
    return samples


def under_nnictl(trials: int, strategy: str, folder: Path) -> list[Sample]:
    from autoad_nni.engines.nnictl.guard import guarded_environment
    from autoad_nni.engines.nnictl.ports import PORTS, reserved_port
    from autoad_nni.engines.nnictl.trial_watch import TrialWatch

    file = folder / "load.yml"
    command = f"{sys.executable} {Path(__file__).absolute()} trial"
    file.write_text(
        json.dumps({**experiment(trials, strategy), "trialCommand": command, "trialConcurrency": 4})
    )  # JSON is YAML
    environment = {**guarded_environment(ends_with=os.getpid()), "HOME": str(folder)}
    nnictl = shutil.which("nnictl", path=environment["PATH"])
    assert nnictl is not None
    samples = list[Sample]()
    with reserved_port(PORTS) as port, TrialWatch(port, lambda count, recorded: None):
        words = [nnictl, "create", "--config", str(file), "--port", str(port), "--foreground"]
        with (folder / "nnictl.log").open("w") as log, subprocess.Popen(words, env=environment, stdout=log) as process:
            while process.poll() is None:
                time.sleep(0.2)
                ended = _count_ended(folder)
                if ended > len(samples):
                    figures = _figures(process.pid)
                    for each in range(len(samples) + 1, ended + 1):
                        samples.append({"trials": each, **figures})
                        show_progress(samples, trials)
    return samples


def _count_ended(folder: Path) -> int:
    journal = next(folder.glob("nni-experiments/[!_]*/checkpoint/journal.jsonl"), None)
    return 0 if journal is None else journal.read_bytes().count(b'"event": "end"')


def _figures(nnictl: int) -> Sample:
    import psutil

    figures = dict.fromkeys(("manager s", "manager MiB", "dispatcher s", "dispatcher MiB"), 0.0)
    for process in psutil.Process(nnictl).children(recursive=True):
        try:
            words = " ".join(process.cmdline())
            seconds, memory = sum(process.cpu_times()[:2]), process.memory_info().rss / 2**20
        except psutil.Error:
            continue
        name = "manager" if "--experiment-id" in words else "dispatcher" if "--exp_params" in words else ""
        if name and memory > figures[f"{name} MiB"]:  # not the shell around it
            figures[f"{name} s"], figures[f"{name} MiB"] = seconds, memory
    return figures


def trial() -> None:
    """A trial of NNI's that imports nothing large: takes its parameters and reports a reward."""
    url = os.environ["NNI_TRIAL_COMMAND_CHANNEL"]
    _put(url, {"type": "request_parameter"})
    record = json.loads(_wait(url)["parameter"])
    sample = record["parameters"]
    reward = random.Random(json.dumps(sample)).random()
    metric = {
        "parameter_id": record["parameter_id"],
        "trial_job_id": os.environ["NNI_TRIAL_JOB_ID"],
        "type": "FINAL",
        "sequence": 0,
        "value": json.dumps({"default": reward, "verdict": "ok"}),
    }
    _put(url, {"type": "metric", "metric": json.dumps(metric)})


def _put(url: str, content: Any) -> None:
    headers = {"Content-Type": "application/json"}
    urlopen(Request(url, data=json.dumps(content).encode(), headers=headers, method="PUT")).close()


def _wait(url: str) -> Any:
    while True:
        try:
            with urlopen(url) as answer:
                return json.load(answer)
        except HTTPError as error:
            if error.code != 408:
                raise


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
    parser.add_argument("mode", choices=("search", "nnictl", "trial"))
    parser.add_argument("--trials", type=int)
    parser.add_argument("--strategy", default="autoad")
    given = parser.parse_args()
    if given.mode == "trial":
        trial()
        return
    with tempfile.TemporaryDirectory() as folder:
        mode, default = (search, 2000) if given.mode == "search" else (under_nnictl, 500)
        samples = mode(given.trials or default, given.strategy, Path(folder))
    first, last = per_trial(samples, min(WINDOW, len(samples))), per_trial(samples, len(samples))
    print(
        "last to first hundred:",
        "  ".join(f"{name} {last[name] / first[name]:.2f}" for name in first if name != "trials"),
    )


if __name__ == "__main__":
    main()
