from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from autoad_nni.cli import progress as module
from autoad_nni.cli.progress import SearchProgress

SHOW = """
from autoad_nni.cli.progress import SearchProgress
with SearchProgress("auroc", 5) as progress:
    progress.show(2, 0.75, total=5, recorded=True)
    progress.show(3, 0.75, total=5)
    progress.print("a warning [in brackets]")
    progress.finish(4, 0.8125)
"""

COUNT = """
from autoad_nni.cli.progress import CountProgress
with CountProgress("image", 3) as progress:
    progress.show(1)
    progress.print("a file [in brackets]")
    progress.show(2)
"""


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_pipe_gets_a_line_for_each_trial_of_this_session(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with SearchProgress("auroc", 6) as progress:
        clock.now += 30  # the server starts
        progress.show(2, 0.5, total=6, recorded=True)
        clock.now += 100
        progress.show(3, 0.5, total=6)
        clock.now += 20
        progress.show(4, 0.75, total=6)
        progress.print("a warning [in brackets]")
        clock.now += 3600
        progress.show(6, 0.75, total=6)
        progress.finish(6, 0.75)
    assert capsys.readouterr().out.splitlines() == [
        "trial 3/6  best auroc 0.5000  0:02:10, 0:05:00 left",
        "trial 4/6  best auroc 0.7500  0:02:30, 0:02:00 left",
        "a warning [in brackets]",
        "trial 6/6  best auroc 0.7500  1:02:30",
    ]


def test_a_search_without_a_limit_and_a_trial_without_a_reward(capsys: pytest.CaptureFixture[str]) -> None:
    with SearchProgress("aupro", None) as progress:
        progress.show(1, None, total=None)
        progress.finish(2, 0.25)
    assert capsys.readouterr().out == "trial 1  best aupro -  0:00:00\ntrial 2  best aupro 0.2500  0:00:00\n"


def test_the_limit_that_comes_first_says_what_is_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with SearchProgress("auroc", 6, 300.0) as progress:
        clock.now += 100
        progress.show(1, 0.5, total=6)  # at this pace the trials would take 500 s more
        clock.now += 20
        progress.show(5, 0.5, total=6)
        clock.now += 400
        progress.show(5, 0.5, total=6)
    with SearchProgress("auroc", None, 90.0) as progress:
        clock.now += 30
        progress.show(1, 0.5, total=None)
    assert capsys.readouterr().out.splitlines() == [
        "trial 1/6  best auroc 0.5000  0:01:40, 0:03:20 left",
        "trial 5/6  best auroc 0.5000  0:02:00, 0:00:24 left",
        "trial 5/6  best auroc 0.5000  0:08:40, 0:00:00 left",
        "trial 1  best auroc 0.5000  0:00:30, 0:01:00 left",
    ]


def test_the_bar_is_as_far_as_the_limit_that_is_nearer(clock: Clock) -> None:
    pace = module._Pace(4, 100.0)
    assert pace.share() == 0
    clock.now += 10
    pace.count(1, 4, False)
    assert pace.share() == 0.25
    clock.now += 70
    assert pace.share() == 0.8
    clock.now += 700
    assert pace.share() == 1
    assert module._Pace(None, None).share() is None


def in_a_terminal(code: str, stream: str) -> list[str]:
    """The lines that a program leaves in a terminal, without colours."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    streams: dict[str, int] = {stream: theirs}
    subprocess.run([sys.executable, "-c", code], **streams, env=environment, check=True, timeout=200)  # type: ignore[call-overload]
    os.close(theirs)
    printed = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            printed += chunk
    except OSError:  # how the end of a terminal reads
        pass
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode()).splitlines()


def test_a_terminal_gets_a_bar() -> None:
    lines = in_a_terminal(SHOW, "stdout")
    assert any("a warning [in brackets]" in line for line in lines)
    assert re.match(r"trial 4/5 \S{20} best auroc 0\.8125 0:00:0\d, 0:00:0\d left$", lines[-1].strip()), lines[-1]


def test_images_are_counted_on_stderr_where_it_is_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = in_a_terminal(COUNT, "stderr")
    assert any("a file [in brackets]" in line for line in lines)
    assert re.match(r"image 2/3 \S{20} 0:00:0\d, 0:00:0\d left$", lines[-1].strip()), lines[-1]
    exec(COUNT, {})
    assert capsys.readouterr() == ("", "a file [in brackets]\n")
