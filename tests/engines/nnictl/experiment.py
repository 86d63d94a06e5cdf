"""Drives the real nnictl and its manager on loopback, with NNI's folders below a temporary home."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.request import urlopen

import psutil
import pytest
import yaml
from cli.run_command import Ended, command
from nni.tools.nnictl.config_utils import Experiments

from autoad_nni.engines.nnictl.guard import guarded_environment
from autoad_nni.engines.nnictl.ports import reserved_port

SPACE = {
    "hypothesis": ["reconstruction"],
    "distance": ["l1", "l2", "l21"],
    "layer1_channels": [3, 8],
    "layer1_kernel": [1, 3],
    "layer1_pooling": ["max", "average"],
    "layer1_pooling_kernel": [1, 3],
    "layer1_normalization": ["none", "batch"],
    "layer1_activation": ["elu", "tanh"],
}
TRIAL = "autoad-nni trial --data digits --abnormal photos --limit 200 --epochs 1 --threads 1"
TINY_TRIAL = Path(__file__).with_name("tiny_trial.py")
ADVISOR = "autoad_nni.bridge.StrategyAdvisor"
_LOG = "nni-experiments/[!_]*/log/nnimanager.log"  # not that of the link to the latest one
ENDED = ("DONE", "ERROR", "STOPPED")


def write_experiment(folder: Path, *, name: str = "experiment.yml", **changes: Any) -> Path:
    """An experiment file on small digits; a change of None drops the key."""
    content = {
        "trialCommand": TRIAL,
        "maxTrialNumber": 6,
        "trialConcurrency": 2,
        "trainingService": {"platform": "local"},
        "tuner": {
            "className": ADVISOR,
            "codeDirectory": ".",
            "classArgs": {"strategy": "autoad", "seed": 3},
        },
        "searchSpace": {label: {"_type": "choice", "_value": values} for label, values in SPACE.items()},
        **changes,
    }
    path = folder / name
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def tiny(folder: Path, *, strategy: str, **changes: Any) -> Path:
    """An experiment whose trials cost next to nothing."""
    classes = {"strategy": strategy, "seed": 1}
    tuner = {"className": ADVISOR, "codeDirectory": ".", "classArgs": classes}
    return write_experiment(folder, **{"trialCommand": f"{sys.executable} {TINY_TRIAL}", "tuner": tuner, **changes})


def slow(seconds: float) -> str:
    """The command of a trial that does nothing for a while."""
    return f"sleep {seconds} && {sys.executable} {TINY_TRIAL}"


# Each process that runs tests has its own: a resumed experiment takes the port that it had, which must be free.
_PORTS = range(18080 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")), 30000)


class Experiment:
    """One experiment from its creation to the end of its last process."""

    def __init__(self, home: Path, file: Path, *, python_path: Path | None = None) -> None:
        self.environment = {**guarded_environment(), "HOME": str(home), "OMP_NUM_THREADS": "1"}
        if python_path is not None:
            self.environment["PYTHONPATH"] = str(python_path)
        self.home = home
        self.file = file
        self.id = ""
        self.port = 0

    def nnictl(self, *words: str) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("nnictl")), *words],
            env=self.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        return output

    def __enter__(self) -> Experiment:
        with reserved_port(_PORTS) as self.port:
            output = self.nnictl("create", "--config", str(self.file), "--port", str(self.port))
        found = re.search(r"Experiment ID: (?:\x1b\[\d+m)?(\w+)", output)
        assert found, output
        self.id = found[1]
        return self

    def __exit__(self, *exception: object) -> None:
        manager = self.manager()
        if manager is not None:
            self.nnictl("stop", self.id)

    @contextmanager
    def launch(self, *words: str, printed: Path) -> Iterator[subprocess.Popen[str]]:
        """Runs ``autoad-nni launch`` with what it prints in a file, from when the experiment has its folder."""
        with (
            printed.open("w") as file,
            subprocess.Popen(
                [sys.executable, "-m", "autoad_nni", "launch", *words],
                # Launch itself guards the manager.
                env={**os.environ, "HOME": str(self.home), "OMP_NUM_THREADS": "1"},
                stdout=file, stderr=subprocess.PIPE, text=True,
            ) as process,
        ):  # fmt: skip
            try:
                deadline = time.monotonic() + 200
                while not self.id:
                    assert process.poll() is None and time.monotonic() < deadline, printed.read_text()
                    time.sleep(0.2)
                    self.id = next((log.parent.parent.name for log in self.home.glob(_LOG)), "")
                yield process
            finally:
                process.kill()  # one that has ended stays as it is

    def resume(self) -> None:
        """At once and on the same port, where what is left of the last session looks for its server."""
        self.nnictl("resume", self.id, "--port", str(self.port))

    @property
    def folder(self) -> Path:
        return self.home / "nni-experiments" / self.id

    def get(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/nni/{path}", timeout=120) as response:
            return json.load(response)

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.get("trial-jobs"))

    def n_ended(self) -> int:
        return sum(event["event"] == "end" for event in self.journal())

    def wait_for_trials(self, count: int, *, timeout_s: float = 300) -> None:
        self.wait(lambda: self.n_ended() >= count, f"{count} ended trials", timeout_s=timeout_s)

    def wait_for_end(self, *, timeout_s: float = 400) -> dict[str, Any]:
        self.wait(lambda: self.get("check-status")["status"] in ENDED, f"a status of {ENDED}", timeout_s=timeout_s)
        return dict(self.get("check-status"))

    def wait(self, reached: Callable[[], bool], what: str, *, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not reached():
            if time.monotonic() > deadline:
                logs = [
                    f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted((self.folder / "log").glob("*.log"))
                ]
                raise AssertionError("\n".join([f"no {what} within {timeout_s} s", *logs]))
            time.sleep(0.5)

    def manager(self) -> psutil.Process | None:
        """NNI's manager of this experiment: the process whose command line names its id."""
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if self.id and "--experiment-id" in words and words[words.index("--experiment-id") + 1] == self.id:
                return process
        return None

    def processes(self) -> list[str]:
        """Command lines of all processes that have this experiment's home."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            if (process.info["environ"] or {}).get("HOME") == str(self.home):
                found.append(" ".join(process.info["cmdline"] or []))
        return found

    def reasons(self) -> tuple[str, str]:
        """The two logs that the web UI shows: the dispatcher's, and what the manager heard from it."""

        def read() -> tuple[str, str]:
            texts = {path.name: path.read_text() for path in (self.folder / "log").glob("*.log")}
            heard = texts.get("nnimanager.log", "").partition("Dispatcher error: ")[2]
            return texts.get("dispatcher.log", "").partition(" ERROR ")[2], heard.partition(" ERROR ")[0]

        self.wait(lambda: all(read()), "error in both logs, which two other processes write")
        time.sleep(1)  # to its end
        return read()

    def journal(self) -> list[dict[str, Any]]:
        path = self.folder / "checkpoint" / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def launch(home: Path, *words: object, **variables: str) -> Ended:
    """`autoad-nni launch` in this process, with NNI's folders below ``home``."""
    return nnictl_command(home, "launch", *words, **variables)


def nnictl_command(home: Path, *words: object, **variables: str) -> Ended:
    """A command in this process, with NNI's folders below ``home``."""
    with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ, {"HOME": str(home), **variables}):
        patch.setattr(Experiments.__init__, "__defaults__", (home / "nni-experiments",))
        return command(*words)


def search_in_process(file: Path, output: Path) -> list[tuple[str, float]]:
    """The same file without a server; (sample, reward) in the order of submission."""
    ended = command("search", file, "--output", output)
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
    return [(json.dumps(line["sample"], sort_keys=True), line["reward"]) for line in lines]


def rewards_by_sample(events: list[dict[str, Any]]) -> list[tuple[str, float | None]]:
    """(sample, reward) in the order of submission, of every trial that has ended."""
    samples = {event["id"]: event["sample"] for event in events if event["event"] == "submit"}
    ends = {event["id"]: event["record"] for event in events if event["event"] == "end"}
    return [
        (
            json.dumps(samples[number], sort_keys=True),
            None if ends[number]["verdict"] == "crashed" else ends[number]["reward"],
        )
        for number in sorted(ends)
    ]
