from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from run_command import command, start
from small_experiment import history, write

TRIALS = 9
# Trials of about half a second: long enough to be hit in the middle.
LONGER = "autoad-nni trial --data digits --abnormal photos --epochs 6 --threads 1"


class Chain(NamedTuple):
    """A search that was killed, resumed, stopped with Ctrl-C and resumed to its end."""

    run: Path
    killed: int
    after_kill: list[dict[str, object]]
    stopped: tuple[int, str]
    after_stop: list[dict[str, object]]


def n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def interrupt(process: subprocess.Popen[str], when: Callable[[], bool], signal_number: int) -> tuple[int, str]:
    """Sends the signal as soon as ``when()``; returns exit code and stderr."""
    deadline = time.monotonic() + 120
    while not when():
        assert process.poll() is None, f"ended by itself: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.15)  # into the next trial
    process.send_signal(signal_number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    return write(folder / "longer.yml", trialCommand=LONGER, maxTrialNumber=TRIALS)


@pytest.fixture(scope="module")
def chain(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    run = tmp_path_factory.mktemp("runs") / "chain"
    words = ["search", str(file), "--output", str(run)]
    lines = run / "history.jsonl"
    killed, _ = interrupt(start(*words), lambda: n_lines(lines) >= 2, signal.SIGKILL)
    after_kill = history(run)
    stopped = interrupt(start(*words, "--resume"), lambda: n_lines(lines) >= len(after_kill) + 2, signal.SIGINT)
    after_stop = history(run)
    ended = command(*words, "--resume")
    assert (ended.code, ended.err) == (0, "")
    return Chain(run, killed, after_kill, stopped, after_stop)


def test_both_interruptions_came_in_the_middle(chain: Chain) -> None:
    assert chain.killed == -signal.SIGKILL
    assert 2 <= len(chain.after_kill) < len(chain.after_stop) < TRIALS


def test_ctrl_c_exits_with_130_and_says_how_to_go_on(chain: Chain) -> None:
    assert chain.stopped == (130, "stopped. The same command with --resume goes on.\n")


def test_what_was_done_before_an_interruption_stays(chain: Chain) -> None:
    whole = history(chain.run)
    assert whole[: len(chain.after_stop)] == chain.after_stop
    assert chain.after_stop[: len(chain.after_kill)] == chain.after_kill


def test_the_end_is_that_of_a_search_without_interruptions(chain: Chain, file: Path, tmp_path: Path) -> None:
    """Same samples, same rewards, same weights: three processes against one."""
    assert command("search", file, "--output", tmp_path / "straight").code == 0
    assert history(chain.run) == history(tmp_path / "straight")
    weights = [(run / "best.safetensors").read_bytes() for run in (chain.run, tmp_path / "straight")]
    assert weights[0] == weights[1]
    journals = [n_lines(run / "state" / "journal.jsonl") for run in (chain.run, tmp_path / "straight")]
    assert journals[0] == journals[1] == 1 + 2 * TRIALS
    assert not list(chain.run.glob(".*")), "no temporary file is left"


def test_sigterm_in_the_middle_stops_as_ctrl_c_does(file: Path, tmp_path: Path) -> None:
    words = ["search", str(file), "--output", str(tmp_path / "run")]
    stopped = interrupt(start(*words), lambda: n_lines(tmp_path / "run" / "history.jsonl") >= 1, signal.SIGTERM)
    assert stopped == (130, "stopped. The same command with --resume goes on.\n")
    assert not list((tmp_path / "run").rglob(".*"))
    assert command(*words, "--resume", "--trials", "3").code == 0


def test_sigterm_while_images_are_made_leaves_no_half_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The textures are planted at the first use, in a hidden folder beside their place."""
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path / "cache"))
    trial = "autoad-nni trial --data textures --category brick --patch 16 --epochs 1 --threads 1"
    process = start("search", write(tmp_path / "x.yml", trialCommand=trial), "--output", tmp_path / "run")
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cache").glob(".*/*/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert list((tmp_path / "cache").iterdir()) == [] and not (tmp_path / "run").exists()
