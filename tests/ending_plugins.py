"""Distances that end the process which evaluates them, hang in it, pause or only last.

A file that ``$MARKER`` names is made when they begin to; ``killed`` and ``exits`` need none.
"""

from __future__ import annotations

from pathlib import Path

from installed import install

MODULE = '''
import faulthandler
import os
import re
import signal
import time
from pathlib import Path

from autoad_nni.models.distances.l2 import L2Distance


def hang():
    """Say so, and have the watch of hanging trials go off now, where a test has put a clock for it."""
    Path(os.environ["MARKER"]).touch()
    getattr(faulthandler, "time_is_up", lambda: None)()


class Exits(L2Distance):
    """Ends the process without a word."""

    def map(self, reconstruction, images):
        os._exit(7)


class Killed(L2Distance):
    """As the system does when memory is short."""

    def map(self, reconstruction, images):
        os.kill(os.getpid(), signal.SIGKILL)


class Once(L2Distance):
    """As somebody does once with kill -9."""

    def map(self, reconstruction, images):
        marker = Path(os.environ["MARKER"])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().map(reconstruction, images)


class Sleeps(L2Distance):
    """Lets go of the interpreter's lock, and never returns."""

    def map(self, reconstruction, images):
        hang()
        time.sleep(1e6)


class Loops(L2Distance):
    """Holds the lock for longer than the universe exists."""

    def map(self, reconstruction, images):
        hang()
        re.match(r"(a+)+$", "a" * 80 + "b")


class Pauses(L2Distance):
    """Waits for a signal in the middle of a trial, when ``$PAUSE_AFTER`` trials are in the file ``$HISTORY``."""

    def map(self, reconstruction, images):
        after, history = os.environ.get("PAUSE_AFTER"), Path(os.environ.get("HISTORY", ""))
        if after is not None and (history.read_bytes().count(b"\\n") if history.is_file() else 0) >= int(after):
            Path(os.environ["MARKER"]).touch()
            time.sleep(1e6)
        return super().map(reconstruction, images)


class Lasts(L2Distance):
    """Takes a fifth of a second a batch."""

    def map(self, reconstruction, images):
        time.sleep(0.2)
        return super().map(reconstruction, images)
'''
NAMES = ("exits", "killed", "once", "sleeps", "loops", "pauses", "lasts")


def install_endings(site: Path) -> Path:
    entry_points = "[autoad_nni.losses]\n" + "".join(f"{name} = endings:{name.title()}\n" for name in NAMES)
    return install(site, "endings", "1.0", entry_points, endings=MODULE)
