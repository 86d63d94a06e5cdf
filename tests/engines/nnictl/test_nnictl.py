"""The main job, for real: nnictl, its manager, trials in processes of their own, real images."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from cli.run_command import Ended
from engines.nnictl.experiment import (
    SPACE,
    TINY_TRIAL,
    TRIAL,
    Experiment,
    launch,
    nnictl_command,
    rewards_by_sample,
    search_in_process,
    write_experiment,
)
from installed import install, seen
from mini_mvtec import write_mini_mvtec
from named_space import install_named_space
from safetensors.torch import load_file

from autoad_nni import __version__, load
from autoad_nni.data import load_task
from autoad_nni.engines.nnictl.ports import reserved_port
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest

ADVISOR = "autoad_nni.bridge.StrategyAdvisor"
# Sessions that take 20 seconds take 200 where six other processes want the two cores.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, float]]:
    folder = tmp_path_factory.mktemp("in_process")
    return search_in_process(write_experiment(folder), folder / "run")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    folder = tmp_path_factory.mktemp("nnictl")
    with Experiment(folder, write_experiment(folder)) as experiment:
        assert experiment.wait_for_end() == {"status": "DONE", "errors": []}
        yield experiment


def test_gives_what_the_search_in_this_process_gives(done: Experiment, expected: list[tuple[str, float]]) -> None:
    assert rewards_by_sample(done.journal()) == expected


def test_results_stand_beside_the_parameters_that_gave_them(done: Experiment) -> None:
    # NNI gives parameters to whichever trial asks first, so with two at once they can be swapped.
    records = {event["id"]: event["record"] for event in done.journal() if event["event"] == "end"}
    samples = {event["id"]: event["sample"] for event in done.journal() if event["event"] == "submit"}
    jobs = done.jobs()
    assert len(jobs) == 6 and {job["status"] for job in jobs} == {"SUCCEEDED"}
    for job in jobs:
        shown = json.loads(job["hyperParameters"][0])
        report = json.loads(json.loads(job["finalMetricData"][0]["data"]))
        number = shown["parameter_id"]
        assert shown["parameters"] == samples[number]
        assert TrialRecord.from_report(number, samples[number], report).to_json() == records[number]


def test_reports_metrics_curve_and_scalars(done: Experiment) -> None:
    job = done.jobs()[0]
    metrics = json.loads(json.loads(job["finalMetricData"][0]["data"]))
    assert {"default", "auroc", "aupr_in", "aupr_out", "seconds", "macs", "parameters", "verdict"} <= set(metrics)
    assert metrics["default"] == metrics["auroc"] and metrics["verdict"] == "ok"
    assert f"hypothesis reconstruction: autoad-nni {__version__}; distance l" in metrics["plugins"]
    curve = [entry for entry in done.get(f"metric-data/{job['trialJobId']}") if entry["type"] == "PERIODICAL"]
    assert len(curve) == 1  # one epoch
    # The folder that NNI's TensorBoard button opens.
    output = done.folder / "trials" / job["trialJobId"] / "output" / "tensorboard"
    assert [file.name for file in output.iterdir() if "tfevents" in file.name]


def test_tensorboard_finds_what_the_strategy_tells_in_the_experiment_s_folder(done: Experiment) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    kept = [json.loads(line) for line in (done.folder / "checkpoint" / "iterations.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(done.folder / "tensorboard" / "search")).Reload()
    for name in ("reward", "entropy", "buffer_max"):
        shown = [(event.step, event.value) for event in events.Scalars(f"strategy/{name}")]
        assert shown == [(row["iteration"], pytest.approx(row[name])) for row in kept]
    assert [len(row["buffer"]) for row in kept] == [5]  # NNI's manager ends the experiment within the second batch


def test_listens_on_this_machine_only(done: Experiment) -> None:
    manager = done.manager()
    assert manager is not None
    family = [manager, *manager.children(recursive=True)]
    listening = [c for process in family for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    assert done.port in {connection.laddr.port for connection in listening}


def test_stop_resume_kill_launch_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, expected: list[tuple[str, float]]
) -> None:
    with Experiment(tmp_path, write_experiment(tmp_path)) as experiment:
        experiment.wait_for_trials(1)
        experiment.nnictl("stop", experiment.id)
        before = experiment.journal()
        experiment.resume()
        experiment.wait_for_trials(4)
        manager = experiment.manager()
        assert manager is not None
        manager.kill()
        manager.wait(20)
        n_before = experiment.n_ended()
        ended = launch(tmp_path, "--resume", experiment.id)  # while its tuner and trials are still there
        assert ended.code == 0, ended
        journal = experiment.journal()
        assert journal[: len(before)] == before
        assert rewards_by_sample(journal) == expected
        shown = re.findall(r"^trial (\d)/6  best auroc (\S+)  ", ended.out, re.MULTILINE)
        assert [int(number) for number, _ in shown] == list(range(n_before + 1, 7)), "those of this session"
        assert shown[-1][1] == f"{max(reward for _, reward in expected):.4f}"
        assert "on test (read once, for this model): auroc" in ended.out
        assert experiment.manager() is None


def test_launch_prints_the_winner_and_draws_it(tmp_path: Path) -> None:
    write_mini_mvtec(tmp_path / "mvtec", side=32)
    options = f"--data mvtec --root {tmp_path / 'mvtec'} --category bottle --image-size 32 --reward aupro --members 2"
    command = f"autoad-nni trial {options} --epochs 1 --threads 1"
    file = write_experiment(tmp_path, trialCommand=command, maxTrialNumber=4, trialConcurrency=1)
    rewards = [reward for _, reward in search_in_process(file, tmp_path / "run")]
    expected = json.loads((tmp_path / "run" / "best.json").read_text())
    assert len(expected["members"]) == 2, "or there is no mean to compare"
    ended = launch(tmp_path, file)
    assert (ended.code, ended.err) == (0, "")  # the models were trained again and are the same
    numbers = [member["number"] for member in expected["members"]]
    figure = expected["validation"]["aupro"]
    assert f"best: mean of trials {numbers[0]}, {numbers[1]}, aupro {figure:.4f} on validation (" in ended.out
    trials = re.findall(r"^trial (\d)/4  best aupro (\S+)  0:\d\d:\d\d", ended.out, re.MULTILINE)
    assert [number for number, _ in trials] == ["1", "2", "3", "4"] and trials[3][1] == f"{max(rewards):.4f}"
    assert f"on test (read once, for this model): auroc {expected['test']['auroc']:.4f}, " in ended.out
    experiment_id = id_in(ended)
    folder = tmp_path / "nni-experiments" / experiment_id
    content = json.loads((folder / "best.json").read_text())
    for name in ("validation", "interval", "n_validation", "test"):
        assert content[name] == expected[name], name
    for name in ("best.safetensors", "scores.json"):
        assert (folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    task = load_task(TrialRequest.from_options(**content["request"]).task)
    assert evaluate(load(folder).scorer, task.validation) == content["validation"]
    history = (folder / "history.jsonl").read_text().splitlines()
    assert [TrialRecord.from_json(json.loads(line)).number for line in history] == [0, 1, 2, 3]
    assert f"how it works on test images: {folder}/pictures.png\n" in ended.out
    assert f"AUPRO {figure:.3f} on validation" in (folder / "report.html").read_text()
    (folder / "history.jsonl").unlink()  # as before the end of an experiment, when only NNI has its trials
    reported = nnictl_command(tmp_path, "report", experiment_id, "--output", tmp_path / "report.html")
    assert reported.code == 0 and "4 trials" in (tmp_path / "report.html").read_text(), reported
    drawn = {path.relative_to(folder / "pictures") for path in (folder / "pictures").rglob("*.png")}
    assert drawn == {
        path.relative_to(tmp_path / "run" / "pictures") for path in (tmp_path / "run" / "pictures").rglob("*.png")
    }
    assert load(folder).predict(torch.rand(1, 3, 32, 32)).anomaly_map.shape == (1, 32, 32)
    began = json.loads((folder / "started.json").read_text())
    assert len(began["images"]) == 16 and "data set mvtec" in began["plugins"]
    (folder / "started.json").write_text(json.dumps({**began, "images": "of another time"}))
    resumed = launch(tmp_path, "--resume", experiment_id)
    assert resumed.code == 2 and resumed.out == "" and len(resumed.err.splitlines()) == 1
    assert f"{experiment_id} began with images with the digest of another time, now it is" in resumed.err


def id_in(ended: Ended) -> str:
    """The id of the experiment that a launch has brought to its end."""
    return ended.out.split("autoad-nni launch --view ")[1].split()[0]


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
                err = process.communicate(timeout=100)[1]
            assert process.returncode == 2 and "urllib3" not in printed.read_text()
            words = ["--resume", experiment.id]
            assert err == (
                f"autoad-nni: the server of experiment {experiment.id} was stopped from outside. Expected it to run "
                f"until the last trial has ended. Go on with: autoad-nni launch {' '.join(words)}\n"
            )
    assert not (experiment.folder / "best.json").exists(), "the test set is not read before the end"


def test_an_open_experiment_is_not_opened_again(done: Experiment) -> None:
    for word in ("--view", "--resume"):
        again = launch(done.home, word, done.id)
        assert again.code == 2 and again.out == ""
        assert again.err == (
            f"autoad-nni: experiment {done.id} is open already, at http://127.0.0.1:{done.port}. Expected one whose "
            f"server has ended. Look there, or close it first: nnictl stop {done.id}\n"
        )


def test_a_port_in_use_is_one_line_that_names_the_experiment(done: Experiment) -> None:
    before = set((done.home / "nni-experiments").iterdir())
    refused = launch(done.home, done.file, "--port", done.port)
    assert refused.code == 2 and refused.out == ""
    assert refused.err == (
        f"autoad-nni: port {done.port} is in use by experiment {done.id}. Expected a port on which nothing listens. "
        "Give another one with --port, or leave --port out for the first free one, or end that experiment: "
        f"nnictl stop {done.id}\n"
    )
    assert set((done.home / "nni-experiments").iterdir()) == before


@pytest.mark.parametrize("quick", [True, False])
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
        out, err = process.communicate(timeout=100)
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
                err = process.communicate(timeout=100)[1]
            words = ["--resume", experiment.id]
            assert (process.returncode, err) == (130, f"stopped. Go on with: autoad-nni launch {' '.join(words)}\n")
            manager.wait(20)
            assert experiment.manager() is None
            log = (experiment.folder / "log" / "nnimanager.log").read_text()
            assert log.count("Shutdown complete") == session, "the server came down in the middle of something"


def test_a_launch_that_is_terminated_while_its_server_starts_leaves_nothing(tmp_path: Path) -> None:
    """NNI does not know the server's number yet."""
    experiment = Experiment(tmp_path, write_experiment(tmp_path))
    with experiment.launch(str(experiment.file), printed=tmp_path / "printed.txt") as process:
        time.sleep(0.3)
        process.terminate()
        err = process.communicate(timeout=60)[1]
    assert (process.returncode, err) == (130, "stopped.\n")
    time.sleep(1)
    assert experiment.processes() == []
    left = [path.name for path in (tmp_path / "nni-experiments").iterdir()]
    assert experiment.id not in left and "_latest" not in left


def test_trials_share_weights_as_they_do_in_one_process(tmp_path: Path) -> None:
    """One at a time, or the order in which they end decides."""
    command = f"{TRIAL} --epochs 6 --weight-sharing"
    narrowed = {**SPACE, "layer1_channels": [3], "layer1_kernel": [3]}  # so that any two have something in common
    space = {label: {"_type": "choice", "_value": values} for label, values in narrowed.items()}
    file = write_experiment(tmp_path, trialCommand=command, searchSpace=space, trialConcurrency=1, maxTrialNumber=2)
    ended = launch(tmp_path, file)
    assert ended.code == 0, ended
    assert re.search(r"the test figures are of models trained from fresh weights: trial \d has auroc 0\.", ended.out)
    folder = tmp_path / "nni-experiments" / id_in(ended)
    events = [json.loads(line) for line in (folder / "checkpoint" / "journal.jsonl").read_text().splitlines()]
    assert rewards_by_sample(events) == search_in_process(file, tmp_path / "run")
    shared = {path.name: load_file(path) for path in (tmp_path / "run" / "state" / "shared_weights").iterdir()}
    assert any(name.startswith("before/") for tensors in shared.values() for name in tensors), "or nothing was shared"
    assert {path.name for path in (folder / "shared_weights").iterdir()} == set(shared)
    for name, tensors in shared.items():
        found = load_file(folder / "shared_weights" / name)
        assert {key: tensor.tolist() for key, tensor in found.items()} == {
            key: tensor.tolist() for key, tensor in tensors.items()
        }


def test_known_methods_come_first_and_are_rows_of_the_summary(tmp_path: Path) -> None:
    site = install_named_space(tmp_path / "site")
    classes = {"strategy": "autoad", "seed": 1, "space": "named", "known": True}
    file = write_experiment(
        tmp_path,
        trialCommand=f"{TRIAL} --space named",
        tuner={"className": ADVISOR, "codeDirectory": ".", "classArgs": classes},
        maxTrialNumber=4,
    )
    with seen(site):
        expected = search_in_process(file, tmp_path / "run")
        ended = launch(tmp_path, file, PYTHONPATH=str(site))
    assert ended.code == 0, ended
    folder = tmp_path / "nni-experiments" / id_in(ended)
    events = [json.loads(line) for line in (folder / "checkpoint" / "journal.jsonl").read_text().splitlines()]
    assert rewards_by_sample(events) == expected
    ends = {event["id"]: event["record"]["known"] for event in events if event["event"] == "end"}
    assert [ends[number] for number in range(4)] == ["wide", "narrow", "", ""]
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert sorted(line["known"] for line in history) == ["", "", "narrow", "wide"]
    rows = [line.split() for line in ended.out.splitlines() if line.startswith("known ")]
    rewards = {line["known"]: line["reward"] for line in history}
    assert rows == [["known", name, "1", "1", f"{rewards[name]:.4f}"] for name in ("narrow", "wide")]
    best, in_process = (json.loads((run / "best.json").read_text()) for run in (folder, tmp_path / "run"))
    assert set(best["search"]["summary"]["choices"]["known"]) == {"narrow", "wide"}
    name, test = best["known"]["trial"]["known"], best["known"]["test"]
    assert (name, test) == (in_process["known"]["trial"]["known"], in_process["known"]["test"])
    shown = f"best known method: {name}, auroc {rewards[name]:.4f} on validation, {test['auroc']:.4f} on test\n"
    assert shown in ended.out and best["test"] == in_process["test"]


def test_a_tuner_of_nni_runs_on_the_same_file(tmp_path: Path) -> None:
    tuner = {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}
    with Experiment(tmp_path, write_experiment(tmp_path, tuner=tuner, maxTrialNumber=2)) as experiment:
        assert experiment.wait_for_end()["status"] == "DONE"
        assert [job["status"] for job in experiment.jobs()] == ["SUCCEEDED", "SUCCEEDED"]


def tiny(folder: Path, *, strategy: str, **changes: Any) -> Path:
    """An experiment whose trials cost next to nothing."""
    command = f"{sys.executable} {TINY_TRIAL}"
    tuner = {"className": ADVISOR, "codeDirectory": ".", "classArgs": {"strategy": strategy, "seed": 1}}
    return write_experiment(folder, trialCommand=command, tuner=tuner, **changes)


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


def test_an_unknown_strategy_turns_the_experiment_to_error(tmp_path: Path) -> None:
    with Experiment(tmp_path, tiny(tmp_path, strategy="autod")) as experiment:
        assert experiment.wait_for_end(timeout_s=60)["status"] == "ERROR"
        for log in experiment.reasons():
            assert "Unknown strategy 'autod'." in log and "Did you mean 'autoad'?" in log
            assert "Traceback" not in log


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
        assert experiment.wait_for_end(timeout_s=120)["status"] == "ERROR"
        for log in experiment.reasons():
            assert "The first 3 trials failed" in log
            assert "The hypothesis 'plain' is of plain-hypothesis 2.0. Expected plain-hypothesis 1.0" in log
        time.sleep(2)
        assert len(experiment.jobs()) < 10
