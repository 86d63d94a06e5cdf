"""How experiments end: by themselves, by a fault, from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
from engines.nnictl.experiment import (
    ADVISOR,
    SPACE,
    TRIAL,
    Experiment,
    launch,
    rewards_by_sample,
    tiny,
    write_experiment,
)
from installed import install, seen

from autoad_nni.engines.nnictl.ports import reserved_port

# Sessions that take 20 seconds take 200 where six other processes want the two cores.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.slow
def test_launch_whose_server_is_stopped_from_outside_says_how_to_go_on(tmp_path: Path) -> None:
    """Once by nnictl in a new experiment, once by a kill in the same one resumed."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path, maxTrialNumber=50))
    words = [str(experiment.file)]
    with ExitStack() as stack:
        stack.push(experiment)  # stops what still runs when an assertion fails
        for kill in (False, True):
            n_ended, printed = experiment.n_ended(), tmp_path / f"printed-{kill}.txt"
            with experiment.launch(*words, printed=printed) as process:
                experiment.wait_for_trials(n_ended + 1)
                manager = experiment.manager()
                assert manager is not None
                if kill:
                    manager.kill()
                else:
                    experiment.nnictl("stop", experiment.id)
                err = process.communicate(timeout=300)[1]
            assert process.returncode == 2 and "urllib3" not in printed.read_text()
            words = ["--resume", experiment.id]
            assert err == (
                f"autoad-nni: the server of experiment {experiment.id}, or its dispatcher, was stopped from outside. "
                "Expected both to run until the last trial has ended. "
                f"Go on with: autoad-nni launch {' '.join(words)}\n"
            )
    assert not (experiment.folder / "best.json").exists(), "the test set is not read before the end"


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.slow
def test_a_port_that_is_taken_while_nnictl_starts_is_one_line_and_leaves_nothing(tmp_path: Path, quick: bool) -> None:
    """Before nnictl looks whether something listens there, and after."""
    with reserved_port(range(21500, 22000)) as port:
        pass
    words = ["launch", str(write_experiment(tmp_path)), "--port", str(port)]
    with (
        closing(socket.socket()) as other,
        subprocess.Popen(
            [sys.executable, "-m", "autoad_nni", *words], env={**os.environ, "HOME": str(tmp_path)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        wait_until_reserved(port, process)
        other.bind(("127.0.0.1", port))
        if quick:
            other.listen()
        out, err = process.communicate(timeout=300)
    assert process.returncode == 2 and out == ""
    assert err == (
        f"autoad-nni: port {port} is in use by another program. Expected a port on which nothing listens. Give another "
        "one with --port, or leave --port out for the first free one.\n"
    )
    assert [path.name for path in (tmp_path / "nni-experiments").iterdir() if path.name[0] != "."] == []


def wait_until_reserved(port: int, process: subprocess.Popen[str]) -> None:
    launch = psutil.Process(process.pid)
    while not any(connection.laddr.port == port for connection in launch.net_connections("udp")):
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_a_launch_that_is_terminated_leaves_no_server_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Of a new experiment, and of the same one resumed."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path, maxTrialNumber=50))
    words = [str(experiment.file)]
    with ExitStack() as stack:
        stack.push(experiment)
        for session in (1, 2):
            n_ended, printed = experiment.n_ended(), tmp_path / f"printed-{session}.txt"
            with experiment.launch(*words, printed=printed) as process:
                experiment.wait_for_trials(n_ended + 1)
                manager = experiment.manager()
                assert manager is not None
                process.terminate()
                err = process.communicate(timeout=300)[1]
            words = ["--resume", experiment.id]
            assert (process.returncode, err) == (130, f"stopped. Go on with: autoad-nni launch {' '.join(words)}\n")
            manager.wait(100)
            assert experiment.manager() is None
            log = (experiment.folder / "log" / "nnimanager.log").read_text()
            assert log.count("Shutdown complete") == session, "the server came down in the middle of something"


@pytest.mark.slow
def test_a_launch_that_is_terminated_while_its_server_starts_leaves_nothing(tmp_path: Path) -> None:
    """NNI does not know the server's number yet."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path))
    with experiment.launch(str(experiment.file), printed=tmp_path / "printed.txt") as process:
        time.sleep(0.3)
        process.terminate()
        err = process.communicate(timeout=300)[1]
    assert (process.returncode, err) == (130, "stopped.\n")
    experiment.wait(lambda: experiment.processes() == [], "end of all processes")
    left = [path.name for path in (tmp_path / "nni-experiments").iterdir()]
    assert experiment.id not in left and "_latest" not in left


@pytest.mark.slow
def test_a_strategy_that_finishes_ends_the_experiment(tmp_path: Path) -> None:
    space = {"hypothesis": ["reconstruction"], "distance": ["l1", "l2"], "layer1_channels": [3]}
    space |= {"layer1_kernel": [1], "layer1_pooling": ["max"], "layer1_pooling_kernel": [1, 3]}
    space |= {"layer1_normalization": ["none"], "layer1_activation": ["relu"]}
    choices = {label: {"_type": "choice", "_value": values} for label, values in space.items()}
    file = tiny(tmp_path, strategy="grid_search", searchSpace=choices, maxTrialNumber=50, trialConcurrency=3)
    with Experiment(tmp_path, file) as experiment:
        assert experiment.wait_for_end()["status"] == "DONE"
        assert len({sample for sample, _ in rewards_by_sample(experiment.journal())}) == 4


BROKEN = """
from nni.nas.strategy.base import Strategy

class Broken(Strategy):
    def __init__(self, seed):
        super().__init__()

    def _run(self):
        raise RuntimeError("the strategy broke on purpose")
"""


@pytest.mark.slow
def test_a_strategy_that_fails_ends_the_experiment_and_launch_says_why_in_one_line(tmp_path: Path) -> None:
    entry_points = "[autoad_nni.strategies]\nbroken = broken_strategy:Broken\n"
    site = install(tmp_path / "site", "broken-strategy", "1.0", entry_points, broken_strategy=BROKEN)
    tuner = {"className": ADVISOR, "codeDirectory": ".", "classArgs": {"strategy": "broken"}}
    experiment = Experiment(tmp_path, write_experiment(tmp_path, tuner=tuner))
    with seen(site):
        ended = launch(tmp_path, experiment.file, PYTHONPATH=str(site))
    assert ended.code == 2 and len(ended.err.splitlines()) == 1, ended
    assert "ended in ERROR: RuntimeError: the strategy broke on purpose" in ended.err
    (folder,) = {path.resolve() for path in (tmp_path / "nni-experiments").iterdir() if path.is_dir()}
    experiment.id = folder.name
    for log in experiment.reasons():
        assert "RuntimeError: the strategy broke on purpose" in log and "Traceback" in log


@pytest.mark.slow
def test_an_unknown_strategy_turns_the_experiment_to_error(tmp_path: Path) -> None:
    with Experiment(tmp_path, tiny(tmp_path, strategy="autod")) as experiment:
        assert experiment.wait_for_end()["status"] == "ERROR"
        for log in experiment.reasons():
            assert "Unknown strategy 'autod'." in log and "Did you mean 'autoad'?" in log
            assert "Traceback" not in log


@pytest.mark.slow
def test_trials_that_all_fail_end_the_experiment_with_their_reason(tmp_path: Path) -> None:
    """Here they find another version of a plugin than the strategy."""
    entry_points = (
        "[autoad_nni.hypotheses]\nplain = autoad_nni.models.hypotheses.reconstruction:ReconstructionHypothesis\n"
    )
    sites = {v: install(tmp_path / v, "plain-hypothesis", v, entry_points) for v in ("1.0", "2.0")}
    choices = {label: {"_type": "choice", "_value": values} for label, values in SPACE.items()}
    choices["hypothesis"]["_value"] = ["plain"]
    command = f"env PYTHONPATH={sites['2.0']} {TRIAL}"
    file = write_experiment(tmp_path, trialCommand=command, searchSpace=choices, maxTrialNumber=50)
    with Experiment(tmp_path, file, python_path=sites["1.0"]) as experiment:
        assert experiment.wait_for_end()["status"] == "ERROR"
        for log in experiment.reasons():
            assert "The first 3 trials failed" in log
            assert "The hypothesis 'plain' is of plain-hypothesis 2.0. Expected plain-hypothesis 1.0" in log
        time.sleep(2)
        assert len(experiment.jobs()) < 10
