"""NNI's remote training service over SSH: two workers, what they need, what comes back, and what a dying one leaves."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli.run_command import command
from engines.nnictl.experiment import ADVISOR, TRIAL, Experiment, launch, write_experiment
from engines.remote.ssh_server import (
    SSHD,
    Worker,
    install_distance,
    listening,
    ssh_server,
    tunnelled_ssh_server,
    wait_for,
)
from installed import seen
from mini_mvtec import write_mini_mvtec

from autoad_nni import load
from autoad_nni.engines.nnictl.ports import reserved_port
from autoad_nni.runs.records import read_history

pytestmark = [
    pytest.mark.remote,
    pytest.mark.timeout(600),
    pytest.mark.skipif(SSHD is None, reason="there is no sshd; Debian's openssh-server has it"),
]
SPACE = {
    "hypothesis": ["reconstruction"],
    "distance": ["doubled"],
    "layer1_channels": [3, 8],
    "layer1_kernel": [1, 3],
    "layer1_pooling": ["max", "average"],
    "layer1_pooling_kernel": [1],
    "layer1_normalization": ["none", "batch"],
    "layer1_activation": ["elu", "tanh"],
}
MVTEC = "autoad-nni trial --data mvtec --root images --category bottle --image-size 16 --epochs 1 --threads 1"
N_TRIALS = 5  # one batch: later, the order in which two workers end their trials decides what is proposed


@pytest.fixture
def login(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with ssh_server(tmp_path / "ssh") as login:
        yield login


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    """Two of them, each with the plugin ``doubled``."""
    both = [Worker(tmp_path / name) for name in ("one", "two")]
    for worker in both:
        install_distance(worker.site)
    yield both
    for worker in both:
        worker.end()


def remote(login: dict[str, Any], workers: list[Worker]) -> dict[str, Any]:
    return {
        "platform": "remote",
        "nniManagerIp": "127.0.0.1",
        "machineList": [worker.machine(login) for worker in workers],
    }


def space(**changes: list[Any]) -> dict[str, Any]:
    return {label: {"_type": "choice", "_value": values} for label, values in {**SPACE, **changes}.items()}


class ListensWhere(threading.Thread):
    """Notes where the workers listen while they run."""

    def __init__(self, workers: list[Worker]) -> None:
        super().__init__(daemon=True)
        self.workers = workers
        self.found: list[set[str]] = [set() for _ in workers]
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            for found, worker in zip(self.found, self.workers, strict=True):
                found |= listening(worker.processes())


def test_two_workers_give_what_the_search_in_this_process_gives(
    tmp_path: Path, login: dict[str, Any], workers: list[Worker]
) -> None:
    """The images travel with the file's folder, the plugin is installed on each worker, the weights are here."""
    folder = tmp_path / "experiment"
    write_mini_mvtec(folder / "images", side=32)
    file = write_experiment(
        folder,
        trialCommand=MVTEC, searchSpace=space(), maxTrialNumber=N_TRIALS, trainingService=remote(login, workers),
    )  # fmt: skip
    where = ListensWhere(workers)
    where.start()
    with seen(site := install_distance(tmp_path / "site")):
        ended = launch(tmp_path, file, PYTHONPATH=str(site))  # the dispatcher has a process of its own
        where.ended.set()
        assert ended.code == 0, ended
        here = command("search", file, "--output", tmp_path / "run")
        assert here.code == 0, here
        (log,) = tmp_path.glob("nni-experiments/[!_]*/history.jsonl")
        there, expected = outcomes(log.parent), outcomes(tmp_path / "run")
        assert there == expected and len(there) == N_TRIALS
        assert load(log.parent) is not None
    assert ended.err.count("warning: trained again") == 0
    assert all(worker.trials() for worker in workers)
    assert not [call for worker in workers for call in worker.calls() if "pip" in call]
    assert where.found == [{"127.0.0.1"}, {"127.0.0.1"}]
    wait_for(lambda: not any(worker.processes() for worker in workers), "workers that have ended")


def outcomes(run: Path) -> list[tuple[list[Any], float]]:
    """Sample and reward of each trial; two workers end them in any order."""
    return sorted((sorted(record.sample.items()), record.reward) for record in read_history(run))


def test_a_search_goes_on_when_a_trial_a_worker_and_a_connection_die(
    tmp_path: Path, login: dict[str, Any], workers: list[Worker]
) -> None:
    classes = {"strategy": "random", "seed": 1}
    file = write_experiment(
        tmp_path,
        trialCommand=f"sleep 5 && {TRIAL}",
        tuner={"className": ADVISOR, "codeDirectory": ".", "classArgs": classes},
        trainingService=remote(login, workers), maxTrialNumber=100,
    )  # fmt: skip
    one, two = workers
    with Experiment(tmp_path, file) as experiment:
        experiment.wait_for_trials(1)

        wait_for(lambda: one.running("sleep 5 &&"), "trial")
        one.running("sleep 5 &&")[-1].kill()
        experiment.wait_for_trials(3)

        for session in sessions(login):
            session.kill()
        experiment.wait_for_trials(5)

        wait_for(lambda: two.running("sleep 5 &&"), "trial")
        (keeper,) = two.running("trial_keeper/main.js")
        n_trials = len(two.trials())
        for process in (keeper, *two.processes()):
            process.kill()
        wait_for(lambda: len(two.trials()) > n_trials, "trial on the worker that came back")
        experiment.wait_for_trials(experiment.n_ended() + 2)

        ends = {event["id"]: event["record"] for event in experiment.journal() if event["event"] == "end"}
        assert [record["verdict"] for record in ends.values()].count("crashed") == 2
        n_submitted = sum(event["event"] == "submit" for event in experiment.journal())
        assert n_submitted - len(ends) <= 2, "results of trials are lost"
        for job in experiment.jobs():
            if job["status"] == "SUCCEEDED":
                parameters, report = (
                    json.loads(job["hyperParameters"][0]),
                    json.loads(job["finalMetricData"][0]["data"]),
                )
                assert json.loads(report)["default"] == ends[parameters["parameter_id"]]["reward"]
    wait_for(lambda: not (one.processes() or two.processes()), "workers that have ended")


def sessions(login: dict[str, Any]) -> list[psutil.Process]:
    """Those of the SSH server."""
    (server,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(Path(login["sshKeyFile"]).with_name("config")) in (process.info["cmdline"] or [])
    ]
    return server.children(recursive=True)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip", "ss", "ssh"))),
    reason="a network of its own takes root, and util-linux, iproute2 and ssh",
)
def test_a_worker_reaches_the_manager_through_a_tunnel(tmp_path: Path) -> None:
    """A reverse tunnel to a port of the same number is all that it needs of the network."""
    worker = Worker(tmp_path / "worker")
    with reserved_port(range(20000, 21000)) as port:
        pass
    with tunnelled_ssh_server(tmp_path / "ssh", port) as login, ExitStack() as stack:
        stack.callback(worker.end)
        file = write_experiment(tmp_path, trainingService=remote(login, [worker]), maxTrialNumber=2, trialConcurrency=1)
        ended = launch(tmp_path, file, "--port", port)
        assert ended.code == 0, ended
        assert len(worker.trials()) == 2 and "2 trials: 2 ok" in ended.out
