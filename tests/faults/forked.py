"""Commands in processes that are forked from one that has imported torch: they may be killed, and start at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cli.run_command import Ended

_context: Any = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "autoad_nni.engines.search",
        "autoad_nni.runs.bundle.export",
        "autoad_nni.data.sources.digits",
        "autoad_nni.data.sources.photos",
        "sklearn.datasets",
        "sklearn.metrics",
        "tensorboard.compat.proto.summary_pb2",
        "tensorboard.plugins.hparams.metadata",
        "tensorboard.summary.writer.record_writer",
    ]
)


class Started(NamedTuple):
    """A command that runs."""

    process: Any
    printed: Path

    def kill(self) -> None:
        self.process.kill()

    def wait(self, timeout_s: float = 240) -> Ended:
        """Wait for its end; a code below 0 is the signal that ended it, as of subprocess."""
        self.process.join(timeout_s)
        code = self.process.exitcode
        if code is None:
            self.kill()
            raise AssertionError(f"no end within {timeout_s} s")
        out, err = ((self.printed / name).read_text() for name in ("out", "err"))
        return Ended(code, out, err)


def start(*arguments: object, before: Callable[[], None] | None = None) -> Started:
    """Start a command; ``before`` is called in its process first, and has to be of a module, not of a test."""
    printed = Path(tempfile.mkdtemp(prefix="autoad-nni-printed-"))
    words = [str(argument) for argument in arguments]
    process = _context.Process(target=_run, args=(words, printed, before))
    process.start()
    return Started(process, printed)


def run(*arguments: object, before: Callable[[], None] | None = None) -> Ended:
    """Run a command to its end."""
    return start(*arguments, before=before).wait()


def _run(words: list[str], printed: Path, before: Callable[[], None] | None) -> None:
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(printed / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["autoad-nni", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if before is not None:
        before()
    from autoad_nni.cli import main

    main(words)
