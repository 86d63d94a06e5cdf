"""Two ways to start the worker program: as a child of this process, or as a job by submitit."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from autoad_nni.errors import AutoADError

__all__ = ["Jobs", "Processes", "Started", "Starter"]

_PROGRAM = "autoad_nni.engines.workers.worker"
_WAIT_S = 10.0
_DEFAULT_MINUTES = 240


class Started(Protocol):
    """A worker process, or the job that will be one."""

    def how_it_ended(self) -> str:
        """Return how it ended, for a message; empty while it runs, or waits to."""

    def kill(self) -> None:
        """End it, dismissed as it is."""


class Starter(Protocol):
    """Starts workers."""

    job_seconds: float | None
    """How long a worker may live; None for as long as the search."""

    def start(self, folder: Path) -> Started:
        """Start a worker for its folder; AutoADError if that fails."""


class Processes:
    """Starts workers as children of this process.

    Args:
        n_workers: How many there will be; they share the cores.
        threads: CPU threads of a trial; None for as many as there are cores for each worker.
    """

    job_seconds: float | None = None

    def __init__(self, n_workers: int, threads: int | None) -> None:
        self._environment = {**os.environ, **environment(threads or max(1, torch.get_num_threads() // n_workers))}

    def start(self, folder: Path) -> Started:
        """Start one; Ctrl-C is not for it."""
        process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self._environment,
        )
        return _Process(process)


class _Process:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def how_it_ended(self) -> str:
        code = self._process.poll()
        if code is None:
            return ""
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Jobs:
    """Starts each worker as a job of its own, by submitit.

    submitit pickles what it starts, and reads it in the job: here its own `CommandFunction`, with a command line.

    Args:
        cluster: ``slurm``, or ``local`` for the same without a cluster.
        options: submitit's parameters, for instance ``timeout_min`` or ``slurm_partition``.
        folder: For what submitit writes.
        n_workers: How many there will be.
        threads: CPU threads of a trial; None for torch's choice on that machine.

    Raises:
        AutoADError: If submitit is missing, or does not take the cluster or an option.
    """

    def __init__(
        self, cluster: str, options: Mapping[str, Any], folder: Path, *, n_workers: int, threads: int | None
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise AutoADError(
                f"[[cluster={cluster}]] needs submitit, which is not installed. Expected the extra. Run pip install "
                "'autoad-nni[slurm]'."
            ) from None
        if cluster == "local":
            threads = threads or max(1, torch.get_num_threads() // n_workers)
        variables = [f"{name}={value}" for name, value in environment(threads).items()]
        self._command = ["env", *variables, sys.executable, "-m", _PROGRAM]
        given = {"timeout_min": _DEFAULT_MINUTES, "name": "autoad-nni", **options}
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self._executor.update_parameters(**given)
        # submitit checks its parameters with assert, too.
        except (RuntimeError, ValueError, TypeError, NameError, AssertionError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise AutoADError(
                f"[[cluster={cluster}]] cannot be used: {reason}. Expected slurm or local, and submitit's parameters. "
                "Correct it, or the options."
            ) from None
        self.job_seconds: float | None = 60.0 * float(given.get("slurm_time", given["timeout_min"]))

    def start(self, folder: Path) -> Started:
        """Submit a job."""
        import submitit

        command = submitit.helpers.CommandFunction([*self._command, str(folder)], verbose=False, cwd=os.getcwd())
        try:
            return _Job(self._executor.submit(command), is_local=self._executor.cluster == "local")
        except (OSError, RuntimeError, submitit.core.utils.FailedSubmissionError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise AutoADError(
                f"a worker cannot be submitted: {reason}. Expected that the cluster takes the job. Correct the options "
                "of the cluster."
            ) from None


class _Job:
    def __init__(self, job: Any, *, is_local: bool) -> None:
        self._job = job
        self._is_local = is_local

    def how_it_ended(self) -> str:
        return f"job {self._job.job_id}, {str(self._job.state).lower()}" if self._job.done() else ""

    def kill(self) -> None:
        # The local one answers to a cancellation with a traceback, and leaves the worker behind.
        deadline = time.monotonic() + (_WAIT_S if self._is_local else 0.0)
        while time.monotonic() < deadline:
            if self._job.done():
                return
            time.sleep(0.05)
        with contextlib.suppress(Exception):  # the cluster does not answer: the worker, dismissed, ends by itself
            self._job.cancel()


def environment(threads: int | None) -> dict[str, str]:
    """Return what a worker's environment needs besides that of this process: the same modules, its share of cores."""
    here = os.getcwd()
    paths = [os.path.abspath(os.path.join(here, path)) for path in sys.path]
    # Safe path: the current folder is searched for modules only if this process does, too.
    variables = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONSAFEPATH": "1"}
    if threads is not None:
        variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
    return variables
