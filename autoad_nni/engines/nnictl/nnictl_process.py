"""Runs nnictl so that the server it starts is reached from this machine only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from autoad_nni.engines.nnictl.database import has_begun
from autoad_nni.engines.nnictl.experiments import find_experiment_folder
from autoad_nni.engines.nnictl.guard import guarded_environment
from autoad_nni.engines.nnictl.ports import unusable_port
from autoad_nni.errors import AutoADError

__all__ = ["NnictlFailed", "NnictlOutput", "run_nnictl", "server_gone"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_EXPERIMENT_ID = re.compile(r"Experiment ID: (\S+)")
_ERROR = re.compile(r"[A-Za-z_.]*(Error|Exception): ")
# Without what a trial causes that asks before the strategy has answered, and asks again.
_SERVER_ERROR = re.compile(r"\[[^]]*\] ERROR \(\w+\) (?!No parameters available)(.+)")
_CONNECTION_ERROR = re.compile(r"\S*(ConnectionRefusedError|NewConnectionError|MaxRetryError|ConnectionError): ")
_GAVE_UP = re.compile(r"Initiate shutdown: (?!REST request|SIG)(.+)")
_STOPPED_EARLY = re.compile(r"status from: (?!DONE|ERROR)\w+ to: STOPPING")
# What nnictl says of a port that is in use, and the server of one that another program took after that.
_NOT_IDLE = re.compile(r"RuntimeError: Port (\d+) is not idle")
_TAKEN = re.compile(r"listen EADDRINUSE: .*:(\d+)$")


class NnictlFailed(AutoADError):
    """nnictl ended with a fault of its own; the experiment may not have begun."""


def run_nnictl(arguments: list[str], *, echo: Callable[[str], None]) -> None:
    """Run nnictl, its manager guarded, and wait for it.

    The manager of a search ends with this process, however that ends; that of a web UI stays.

    Args:
        arguments: Words behind ``nnictl``.
        echo: Takes each line that nnictl prints, without colours.

    Raises:
        UnusablePort: If another program took the port while nnictl started.
        NnictlFailed: If nnictl fails otherwise.
        AutoADError: If nnictl is missing, the experiment ended in ERROR, or somebody else ended its server.
    """
    environment = guarded_environment(ends_with=None if arguments[0] == "view" else os.getpid())
    nnictl = shutil.which("nnictl", path=environment["PATH"])
    if nnictl is None:
        raise AutoADError("nnictl is not found on PATH. Expected it beside this Python. Install autoad-nni there.")
    printed = NnictlOutput()
    with subprocess.Popen(
        [nnictl, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                printed.read(line := _ANSI.sub("", line.rstrip()))
                echo(line)
        except BaseException:
            _end(process)
            raise
    printed.raise_fault(arguments[0], process.returncode)


@dataclass
class NnictlOutput:
    """What nnictl's lines say of how the experiment went.

    Attributes:
        experiment_id: Empty before nnictl names it.
        last: The last line.
        dispatcher_error: Why the experiment ended in ERROR.
        error: The last line of the last traceback that says more than that nobody answered.
        server_error: The last error in the server's own log.
        gave_up: Why the server ended by itself.
        unreachable: Whether the last traceback says that nobody answered.
        stopped_early: Whether somebody stopped the server before the experiment ended.
    """

    experiment_id: str = ""
    last: str = ""
    dispatcher_error: str = ""
    error: str = ""
    server_error: str = ""
    gave_up: str = ""
    unreachable: bool = False
    stopped_early: bool = False

    def read(self, line: str) -> None:
        """Take a line.

        Raises:
            UnusablePort: If it says that the port is taken by now. nnictl must not go on: it would hand the experiment
                to whatever answers there, and that can be the server of another one.
        """
        if taken := _TAKEN.search(line):
            raise unusable_port(int(taken[1]))
        if found := _EXPERIMENT_ID.search(line):
            self.experiment_id = found[1]
        self.last = line or self.last
        self.dispatcher_error = line.partition("Dispatcher error: ")[2] or self.dispatcher_error
        if found := _SERVER_ERROR.match(line):
            self.server_error = found[1]
        if found := _GAVE_UP.search(line):
            self.gave_up = found[1]
        self.stopped_early = self.stopped_early or _STOPPED_EARLY.search(line) is not None
        if _ERROR.match(line):
            self.unreachable = _CONNECTION_ERROR.match(line) is not None
            self.error = self.error if self.unreachable else line

    def raise_fault(self, command: str, code: int) -> None:
        """Raise what nnictl, which ended with ``code``, had to report.

        Raises:
            AutoADError: As `run_nnictl`.
        """
        if taken := _NOT_IDLE.match(self.error):
            raise unusable_port(int(taken[1]))
        if self.gave_up:
            raise NnictlFailed(
                f"NNI's server gave up: {self.server_error or self.gave_up}. Expected it to run until the last trial "
                "has ended. Correct trainingService in the experiment file."
            )
        folder = find_experiment_folder(self.experiment_id)
        # After a kill no line says that the server was stopped: nnictl just fails to reach it.
        killed = self.unreachable and folder is not None and has_begun(folder)
        if (self.stopped_early or killed) and not self.dispatcher_error:
            raise server_gone(self.experiment_id)
        if code != 0:
            reason = self.server_error or self.error or self.last
            raise NnictlFailed(f"nnictl {command} failed with exit code {code}: {reason}")
        if self.dispatcher_error:
            reason = self.dispatcher_error.rstrip(".")
            raise AutoADError(f"experiment {self.experiment_id} ended in ERROR: {reason}. See its log/dispatcher.log.")


def _end(process: subprocess.Popen[str]) -> None:
    """End nnictl and the server that it started, as ``nnictl stop`` would, and read what they print until then.

    The server writes to nnictl's output. Closed, it would take the server down in the middle of whatever it does. NNI
    does not know the process of a server on its way up yet, so it is looked for below nnictl.
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
    """Make the error for an experiment that somebody else ended, by ``nnictl stop`` or a kill."""
    return AutoADError(
        f"the server of experiment {experiment_id}, or its dispatcher, was stopped from outside. Expected both to run "
        f"until the last trial has ended. Go on with: autoad-nni launch --resume {experiment_id}"
    )
