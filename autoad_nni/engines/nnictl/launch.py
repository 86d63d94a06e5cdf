"""Starts nnictl so that its server is reached from this machine only, and reads what an experiment left behind."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from autoad_nni.errors import AutoADError
from autoad_nni.search.trial_command import command_path

__all__ = [
    "FinishedTrial",
    "check_closed",
    "experiment_folder",
    "find_experiment_folder",
    "finished_trials",
    "free_port",
    "loopback_environment",
    "run_nnictl",
    "server_gone",
    "stop_server",
    "stored_trial_command",
    "wait_for_end",
]

_PYTHON_ERROR = re.compile(r"[A-Za-z_.]*(Error|Exception): ")
_STOPPED_EARLY = re.compile(r"status from: (?!DONE|ERROR)\w+ to: STOPPING")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def free_port(first: int = 8080, last: int = 8180) -> int:
    """Returns the first port of the range on which nothing listens."""
    for port in range(first, last + 1):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AutoADError(f"No port from {first} to {last} is free. Expected one. Give a free one with --port.")


def loopback_environment() -> dict[str, str]:
    """Returns this process's environment, with NNI's manager held to 127.0.0.1."""
    preload = Path(__file__).with_name("loopback.js")
    options = f"{os.environ.get('NODE_OPTIONS', '')} --require={json.dumps(str(preload))}".strip()
    return {**os.environ, "NODE_OPTIONS": options, "PATH": command_path(), "PYTHONWARNINGS": "ignore"}


def run_nnictl(arguments: list[str], *, echo: Callable[[str], None]) -> None:
    """Runs nnictl in the foreground on loopback.

    Args:
        arguments: Words behind ``nnictl``.
        echo: Takes each line that nnictl prints.

    Raises:
        AutoADError: If nnictl is missing or fails, the experiment ended in ERROR, or somebody else ended its server.
    """
    environment = loopback_environment()
    nnictl = shutil.which("nnictl", path=environment["PATH"])
    if nnictl is None:
        raise AutoADError("nnictl is not found on PATH. Expected it beside this Python. Install autoad-nni there.")
    experiment_id = None
    last = failure = last_error = ""
    stopped_early = False
    with subprocess.Popen(
        [nnictl, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                line = _ANSI.sub("", line.rstrip())
                found = re.search(r"Experiment ID: (\S+)", line)
                experiment_id = found[1] if found else experiment_id
                last = line or last
                _, reported, reason = line.partition("Dispatcher error: ")
                failure = reason if reported else failure
                last_error = line if _PYTHON_ERROR.match(line) else last_error
                stopped_early = stopped_early or _STOPPED_EARLY.search(line) is not None
                echo(line)
        except BaseException:
            _end(process)
            raise
    # After a kill there is no such line: nnictl just fails to reach the server.
    if experiment_id and not failure and (stopped_early or "ConnectionError: " in last_error):
        raise server_gone(experiment_id)
    if process.returncode != 0:
        raise AutoADError(f"nnictl {arguments[0]} failed with exit code {process.returncode}: {last_error or last}")
    if failure:
        raise AutoADError(f"experiment {experiment_id} ended in ERROR: {failure} See its log/dispatcher.log.")


def _end(process: subprocess.Popen[str]) -> None:
    """Ends nnictl and the server that it started, as ``nnictl stop`` would, and reads what they print until then.

    The server writes to nnictl's output. Closed, it would take the server down in the middle of whatever it does. A
    server on its way up has not told NNI its number yet, so it is looked for below nnictl.
    """
    import psutil

    assert process.stdout is not None
    # A copy: the caller closes its own, while a trial may hold the other end a little longer.
    threading.Thread(target=_read_out, args=(os.dup(process.stdout.fileno()),), daemon=True).start()
    servers: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):  # Ctrl-C in a terminal reaches nnictl too, which may be quicker
        nnictl = psutil.Process(process.pid)
        nnictl.suspend()  # or it could start one just after it was asked
        servers = nnictl.children()
        for server in servers:
            server.terminate()
    process.kill()
    psutil.wait_procs(servers, timeout=60)


def _read_out(pipe: int) -> None:
    with open(pipe, "rb", buffering=0) as file:
        while file.read(1 << 16):
            pass


def server_gone(experiment_id: str) -> AutoADError:
    """Makes the error for an experiment whose server somebody else ended, by ``nnictl stop`` or a kill."""
    return AutoADError(
        f"the server of experiment {experiment_id} was stopped from outside. Expected it to run until the last trial "
        f"has ended. Go on with: autoad-nni launch --resume {experiment_id}"
    )


def check_closed(experiment_id: str) -> None:
    """Raises unless the experiment has no server; nnictl would fail with a traceback.

    Raises:
        AutoADError: It is open already.
    """
    if _has_server(experiment_id):
        port = _known_experiments()[experiment_id]["port"]
        raise AutoADError(
            f"experiment {experiment_id} is open already, at http://127.0.0.1:{port}. Expected one whose server has "
            f"ended. Look there, or close it first: nnictl stop {experiment_id}"
        )


def stop_server(experiment_id: str) -> None:
    """Stops the experiment's server and its trials, if it has one."""
    if _has_server(experiment_id):
        # Ctrl-C in a terminal reaches nnictl too, which may be quicker.
        with contextlib.suppress(AutoADError):
            run_nnictl(["stop", experiment_id], echo=lambda line: None)


def _has_server(experiment_id: str) -> bool:
    """Whether the process that NNI noted runs, and is what NNI noted: numbers are used again."""
    import psutil

    pid = _known_experiments().get(experiment_id, {}).get("pid")
    try:
        return pid is not None and experiment_id in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def wait_for_end(port: int) -> str:
    """Waits until the experiment behind ``port`` is DONE, STOPPED or ERROR, and returns which.

    ``nnictl resume --foreground`` does not wait, other than ``nnictl create --foreground``: it stops at once.
    """
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/nni/check-status", timeout=60) as response:
                status = str(json.load(response)["status"])
        except OSError:
            return "STOPPED"  # somebody ended the server
        if status in ("DONE", "STOPPED", "ERROR"):
            return status
        time.sleep(2)


def experiment_folder(experiment_id: str) -> Path:
    """Returns the folder in which NNI keeps an experiment.

    Raises:
        AutoADError: If NNI knows no experiment of that id.
    """
    folder = find_experiment_folder(experiment_id)
    if folder is None:
        listed = ", ".join(_known_experiments()) or "none"
        raise AutoADError(
            f"NNI knows no experiment {experiment_id!r}. Known: {listed}. See 'nnictl experiment list -a'."
        )
    return folder


def find_experiment_folder(experiment_id: str) -> Path | None:
    """Returns the folder of an experiment, or None while NNI does not know it."""
    known = _known_experiments()
    return Path(known[experiment_id]["logDir"]) / experiment_id if experiment_id in known else None


def _known_experiments() -> dict[str, Any]:
    from nni.tools.nnictl.config_utils import Experiments

    known: dict[str, Any] = Experiments().get_all_experiments()
    return known


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that ended.

    Attributes:
        number: NNI's number of the trial in the experiment.
        sample: Value by label.
        metrics: What the trial reported; None when it crashed.
    """

    number: int
    sample: dict[str, Any]
    metrics: dict[str, Any] | None


def stored_trial_command(folder: Path) -> tuple[str, Path]:
    """Returns an experiment's ``trialCommand`` and the folder it starts in, from NNI's data base."""
    with closing(_open_database(folder)) as database:
        (params,) = database.execute("SELECT params FROM ExperimentProfile ORDER BY revision DESC").fetchone()
    content = json.loads(params)
    return content["trialCommand"], Path(content["trialCodeDirectory"])


def _open_database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{folder / 'db' / 'nni.sqlite'}?mode=ro", uri=True)


def finished_trials(folder: Path) -> list[FinishedTrial]:
    """Reads the trials that ended from NNI's data base, best first, crashed ones last, whatever the tuner was.

    A trial that was lost with a killed manager, and run again under the same parameter id, counts once.
    """
    with closing(_open_database(folder)) as database:
        records = {
            job: (json.loads(data), sequence)
            for job, data, sequence in database.execute(
                "SELECT trialJobId, data, sequenceId FROM TrialJobEvent WHERE data <> '' ORDER BY timestamp"
            )
        }
        ended = {
            job
            for (job,) in database.execute(
                "SELECT trialJobId FROM TrialJobEvent WHERE event IN ('FAILED', 'SUCCEEDED')"
            )
        }
        finals = database.execute("SELECT trialJobId, data FROM MetricData WHERE type = 'FINAL'").fetchall()
    trials: dict[str, FinishedTrial] = {}
    for job, data in finals:
        value = json.loads(json.loads(data))  # NNI stores what the trial sent, itself JSON, as a JSON text
        metrics = value if isinstance(value, dict) else {"default": value}
        if job in records:
            trials[_record_key(records[job][0])] = _finished(records[job], metrics)
    for job, record in records.items():
        if job in ended:
            trials.setdefault(_record_key(record[0]), _finished(record, None))
    return sorted(trials.values(), key=_reward, reverse=True)


def _reward(trial: FinishedTrial) -> float:
    return -math.inf if trial.metrics is None else float(trial.metrics["default"])


def _finished(record: tuple[dict[str, Any], Any], metrics: dict[str, Any] | None) -> FinishedTrial:
    return FinishedTrial(int(record[1]), record[0]["parameters"], metrics)


def _record_key(record: dict[str, Any]) -> str:
    return json.dumps([record.get("parameter_id"), record["parameters"]], sort_keys=True)
