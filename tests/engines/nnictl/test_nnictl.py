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
from engines.nnictl.experiment import SPACE, TINY_TRIAL, TRIAL, Experiment, rewards_by_sample, write_experiment
from safetensors.torch import load_file

from autoad_nni import __version__
from autoad_nni.engines.nnictl.ports import reserved_port
from autoad_nni.trial.record import TrialRecord

ADVISOR = "autoad_nni.bridge.StrategyAdvisor"


def search_in_process(file: Path, output: Path) -> list[tuple[str, float]]:
    """The same file without a server; (sample, reward) in the order of submission."""
    subprocess.run(
        [sys.executable, "-m", "autoad_nni", "search", str(file), "--output", str(output)],
        check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200,
    )  # fmt: skip
    lines = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
    return [(json.dumps(line["sample"], sort_keys=True), line["reward"]) for line in lines]


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


def test_stop_resume_kill_resume_goes_on_as_if_nothing_had_happened(
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
        experiment.resume()  # while its tuner and trials are still there
        assert experiment.wait_for_end()["status"] == "DONE"
        journal = experiment.journal()
        assert journal[: len(before)] == before
        assert rewards_by_sample(journal) == expected


def test_launch_prints_the_best_model(tmp_path: Path, expected: list[tuple[str, float]]) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "autoad_nni", "launch", str(write_experiment(tmp_path, maxTrialNumber=2))],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    best = max(reward for _, reward in expected[:2])
    assert f", auroc {best:.4f} on validation" in done.stdout
    trials = re.findall(r"^trial (\d)/2  best auroc (\S+)  0:\d\d:\d\d", done.stdout, re.MULTILINE)
    assert [number for number, _ in trials] == ["1", "2"] and trials[1][1] == f"{best:.4f}"
    assert "on test (read once, for this model): auroc" in done.stdout
    experiment_id = done.stdout.split("autoad-nni launch --view ")[1].split()[0]
    content = json.loads((tmp_path / "nni-experiments" / experiment_id / "best.json").read_text())
    assert content["trial"]["reward"] == best and 0 <= content["test"]["auroc"] <= 1
    history = (tmp_path / "nni-experiments" / experiment_id / "history.jsonl").read_text().splitlines()
    assert [TrialRecord.from_json(json.loads(line)).number for line in history] == [0, 1]
    assert done.stderr == ""  # the model was trained again and is the same
    start = tmp_path / "nni-experiments" / experiment_id / "started.json"
    began = json.loads(start.read_text())
    assert len(began["images"]) == 16 and "data set photos" in began["plugins"]
    start.write_text(json.dumps({**began, "images": "of another time"}))
    resumed = subprocess.run(
        [sys.executable, "-m", "autoad_nni", "launch", "--resume", experiment_id],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert resumed.returncode == 2 and resumed.stdout == "" and len(resumed.stderr.splitlines()) == 1
    assert f"{experiment_id} began with images with the digest of another time, now it is" in resumed.stderr


def test_launch_resumes_a_stopped_experiment(tmp_path: Path, expected: list[tuple[str, float]]) -> None:
    with Experiment(tmp_path, write_experiment(tmp_path, maxTrialNumber=3)) as experiment:
        experiment.wait_for_trials(1)
        experiment.nnictl("stop", experiment.id)
        n_before = experiment.n_ended()
        done = subprocess.run(
            [sys.executable, "-m", "autoad_nni", "launch", "--resume", experiment.id],
            env={**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert rewards_by_sample(experiment.journal()) == expected[:3]
        shown = re.findall(r"^trial (\d)/3  best auroc (\S+)  ", done.stdout, re.MULTILINE)
        assert [int(number) for number, _ in shown] == list(range(n_before + 1, 4)), "those of this session"
        assert shown[-1][1] == f"{max(reward for _, reward in expected[:3]):.4f}"
        assert "on test (read once, for this model): auroc" in done.stdout
        assert experiment.manager() is None


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
        again = subprocess.run(
            [sys.executable, "-m", "autoad_nni", "launch", word, done.id],
            env=done.environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert again.returncode == 2 and again.stdout == ""
        assert again.stderr == (
            f"autoad-nni: experiment {done.id} is open already, at http://127.0.0.1:{done.port}. Expected one whose "
            f"server has ended. Look there, or close it first: nnictl stop {done.id}\n"
        )


def test_a_port_in_use_is_one_line_that_names_the_experiment(done: Experiment) -> None:
    before = set((done.home / "nni-experiments").iterdir())
    refused = subprocess.run(
        [sys.executable, "-m", "autoad_nni", "launch", str(done.file), "--port", str(done.port)],
        env=done.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr == (
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
    done = subprocess.run(
        [sys.executable, "-m", "autoad_nni", "launch", str(file)],
        env={**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the test figures are of this model trained from fresh weights: reward 0." in done.stdout
    folder = tmp_path / "nni-experiments" / done.stdout.split("autoad-nni launch --view ")[1].split()[0]
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


@pytest.mark.parametrize("tuner", ["TPE", "Random"])
def test_nni_s_own_tuners_run_on_the_same_file(tmp_path: Path, tuner: str) -> None:
    arguments = {"classArgs": {"optimize_mode": "maximize"}} if tuner == "TPE" else {}
    file = write_experiment(tmp_path, tuner={"name": tuner, **arguments}, maxTrialNumber=2)
    with Experiment(tmp_path, file) as experiment:
        assert experiment.wait_for_end()["status"] == "DONE"
        assert [job["status"] for job in experiment.jobs()] == ["SUCCEEDED", "SUCCEEDED"]


def tiny(folder: Path, *, strategy: str, crash: bool = False, **changes: Any) -> Path:
    """An experiment whose trials cost next to nothing."""
    command = f"{sys.executable} {TINY_TRIAL}" + (" --crash" if crash else "")
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


def plug_in_strategy(folder: Path, body: str) -> Path:
    """Installs a distribution with a strategy named ``broken`` below ``folder``, by hand."""
    site = folder / "site"
    metadata = site / "broken_strategy-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-strategy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[autoad_nni.strategies]\nbroken = broken_strategy:Broken\n")
    (site / "broken_strategy.py").write_text(
        "from nni.nas.strategy.base import Strategy\n\n\nclass Broken(Strategy):\n"
        f"    def __init__(self, seed):\n        super().__init__()\n\n    def _run(self):\n        {body}\n"
    )
    return site


def test_a_strategy_that_fails_turns_the_experiment_to_error(tmp_path: Path) -> None:
    site = plug_in_strategy(tmp_path, "raise RuntimeError('the strategy broke on purpose')")
    with Experiment(tmp_path, tiny(tmp_path, strategy="broken"), python_path=site) as experiment:
        assert experiment.wait_for_end(timeout_s=60)["status"] == "ERROR"
        for log in experiment.reasons():
            assert "RuntimeError: the strategy broke on purpose" in log and "Traceback" in log


def test_an_unknown_strategy_turns_the_experiment_to_error(tmp_path: Path) -> None:
    with Experiment(tmp_path, tiny(tmp_path, strategy="autod")) as experiment:
        assert experiment.wait_for_end(timeout_s=60)["status"] == "ERROR"
        for log in experiment.reasons():
            assert "Unknown strategy 'autod'." in log and "Did you mean 'autoad'?" in log
            assert "Traceback" not in log


def test_trials_that_all_fail_end_the_experiment_with_their_reason(tmp_path: Path) -> None:
    file = tiny(tmp_path, strategy="random", crash=True, maxTrialNumber=50)
    with Experiment(tmp_path, file) as experiment:
        assert experiment.wait_for_end(timeout_s=90)["status"] == "ERROR"
        for log in experiment.reasons():
            assert "The first 3 trials failed" in log and "the trial crashed on purpose" in log
        time.sleep(2)
        assert len(experiment.jobs()) < 10


def test_trials_that_find_another_version_of_a_plugin_fail_with_that_sentence(tmp_path: Path) -> None:
    sites = {}
    for version in ("1.0", "2.0"):
        site = sites[version] = tmp_path / version
        metadata = site / f"plain_hypothesis-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plain-hypothesis\nVersion: {version}\n")
        target = "autoad_nni.models.hypotheses.reconstruction:ReconstructionHypothesis"
        (metadata / "entry_points.txt").write_text(f"[autoad_nni.hypotheses]\nplain = {target}\n")
    choices = {label: {"_type": "choice", "_value": values} for label, values in SPACE.items()}
    choices["hypothesis"]["_value"] = ["plain"]
    command = f"env PYTHONPATH={sites['2.0']} {TRIAL}"
    file = write_experiment(tmp_path, trialCommand=command, searchSpace=choices, maxTrialNumber=50)
    with Experiment(tmp_path, file, python_path=sites["1.0"]) as experiment:
        assert experiment.wait_for_end(timeout_s=120)["status"] == "ERROR"
        for log in experiment.reasons():
            assert "The hypothesis 'plain' is of plain-hypothesis 2.0. Expected plain-hypothesis 1.0" in log


def test_launch_says_in_one_line_why_an_experiment_failed(tmp_path: Path) -> None:
    site = plug_in_strategy(tmp_path, "raise RuntimeError('the strategy broke on purpose')")
    tuner = {"className": ADVISOR, "codeDirectory": ".", "classArgs": {"strategy": "broken"}}
    done = subprocess.run(
        [sys.executable, "-m", "autoad_nni", "launch", str(write_experiment(tmp_path, tuner=tuner))],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "ended in ERROR: RuntimeError: the strategy broke on purpose" in done.stderr
