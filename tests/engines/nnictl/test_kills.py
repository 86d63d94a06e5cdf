"""What is left after a kill of `launch`, of nnictl, of the dispatcher; and what a resumed search has lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from engines.nnictl.experiment import ADVISOR, Experiment, slow, write_experiment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def wait(reached: Callable[[], bool], *, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_launch_that_is_killed_leaves_no_process_and_is_resumed(tmp_path: Path) -> None:
    """Of a new experiment, whose server nnictl waits for, and of the same one resumed, whose server it leaves alone."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path, maxTrialNumber=50))
    words = [str(experiment.file)]
    with ExitStack() as stack:
        stack.push(experiment)  # stops what still runs when an assertion fails
        for session in (1, 2):
            n_ended = experiment.n_ended()
            with experiment.launch(*words, printed=tmp_path / f"printed-{session}.txt") as process:
                experiment.wait_for_trials(n_ended + 1)
                assert experiment.manager() is not None
                process.kill()
                process.communicate(timeout=300)  # returns when nobody holds its stderr, so it is not waited for
            wait(lambda: not [words for words in experiment.processes() if words])
            assert experiment.manager() is None
            log = (experiment.folder / "log" / "nnimanager.log").read_text()
            assert log.count("Shutdown complete") == session, "the server came down in the middle of something"
            words = ["--resume", experiment.id]


def dispatcher(experiment: Experiment) -> list[psutil.Process]:
    """It and the shell that NNI starts it with, the outer one first."""
    manager = experiment.manager()
    assert manager is not None
    return [child for child in manager.children(recursive=True) if "--exp_params" in " ".join(child.cmdline())]


def stopped(experiment: Experiment) -> str:
    return (
        f"autoad-nni: the server of experiment {experiment.id}, or its dispatcher, was stopped from outside. Expected "
        "both to run until the last trial has ended. "
        f"Go on with: autoad-nni launch --resume {experiment.id}\n"
    )


def test_a_launch_whose_dispatcher_is_killed_ends_in_one_line_and_is_resumed(tmp_path: Path) -> None:
    """First the dispatcher itself, then the shell around it, where there is one."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path, maxTrialNumber=50))
    words = [str(experiment.file)]
    with ExitStack() as stack:
        stack.push(experiment)
        for victim in (-1, 0):
            n_ended = experiment.n_ended()
            with experiment.launch(*words, printed=tmp_path / f"printed{victim}.txt") as process:
                experiment.wait_for_trials(n_ended + 1)
                dispatcher(experiment)[victim].kill()
                err = process.communicate(timeout=300)[1]
            assert (process.returncode, err) == (2, stopped(experiment))
            wait(lambda: experiment.processes() == [])
            words = ["--resume", experiment.id]


def test_a_launch_whose_nnictl_is_killed_ends_in_one_line(tmp_path: Path) -> None:
    """Nobody else would end the server at the end of the experiment."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path, maxTrialNumber=50))
    with experiment.launch(str(experiment.file), printed=tmp_path / "printed.txt") as process, ExitStack() as stack:
        stack.push(experiment)
        experiment.wait_for_trials(1)
        manager = experiment.manager()
        assert manager is not None
        nnictl = manager.parent()
        assert nnictl is not None and "nnictl" in " ".join(nnictl.cmdline())
        nnictl.kill()
        err = process.communicate(timeout=300)[1]
    assert (process.returncode, err) == (2, stopped(experiment))
    wait(lambda: experiment.processes() == [])


def test_resumed_trials_that_take_all_slots_are_not_lost(tmp_path: Path) -> None:
    """They end while the advisor still imports torch and replays its journal."""
    classes = {"strategy": "autoad", "seed": 1, "strategy_args": {"batch_size": 4, "candidates": 4}}
    tuner = {"className": ADVISOR, "codeDirectory": ".", "classArgs": classes}
    file = write_experiment(tmp_path, trialCommand=slow(4), tuner=tuner, trialConcurrency=4, maxTrialNumber=12)
    with Experiment(tmp_path, file) as experiment:
        experiment.wait_for_trials(4)
        wait(lambda: len(experiment.jobs()) == 8)
        experiment.nnictl("stop", experiment.id)
        assert experiment.n_ended() == 4, "the second batch has to run again"
        experiment.resume()
        assert experiment.wait_for_end() == {"status": "DONE", "errors": []}
        assert experiment.n_ended() == 12
