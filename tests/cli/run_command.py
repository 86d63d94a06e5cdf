"""Runs the command line, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from autoad_nni.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def command(*arguments: object, main: Callable[[list[str]], None] = main) -> Ended:
    """Run the command in this process: the same code, without the seconds of importing torch."""
    threads, level = torch.get_num_threads(), logging.getLogger("nni").level
    out, err, code = io.StringIO(), io.StringIO(), None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
    except SystemExit as left:
        code = left.code
    finally:  # a search sets both for its process
        torch.set_num_threads(threads)
        logging.getLogger("nni").setLevel(level)
    assert isinstance(code, int)
    return Ended(code, out.getvalue(), err.getvalue())


def start(*arguments: object, python_path: Path | str | None = None) -> subprocess.Popen[str]:
    """Starts the command in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("NNI_FRAMEWORK", None)  # the command sets it itself
    if python_path is not None:
        environment["PYTHONPATH"] = str(python_path)
    return subprocess.Popen(
        [sys.executable, "-m", "autoad_nni", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A shell in the background has its processes ignore Ctrl-C, and theirs would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*arguments: object, python_path: Path | str | None = None) -> Ended:
    """Runs the command in a process of its own to its end."""
    process = start(*arguments, python_path=python_path)
    out, err = process.communicate(timeout=200)
    return Ended(process.returncode, out, err)
