"""The main job, for real: nnictl, its manager, trials in processes of their own, real images."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from cli.run_command import Ended
from engines.nnictl.experiment import (
    ADVISOR,
    SPACE,
    TRIAL,
    Experiment,
    launch,
    nnictl_command,
    rewards_by_sample,
    search_in_process,
    write_experiment,
)
from engines.nnictl.test_web_ui import CHROMIUM, browse, errors_in
from installed import seen
from mini_mvtec import write_mini_mvtec
from named_space import install_named_space
from safetensors.torch import load_file

from autoad_nni import Run, __version__, load
from autoad_nni.data import load_task
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest

# Sessions that take 20 seconds take 200 where six other processes want the two cores.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, float]]:
    folder = tmp_path_factory.mktemp("in_process")
    return search_in_process(write_experiment(folder), folder / "run")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    folder = tmp_path_factory.mktemp("nnictl")
    # Seven: NNI's manager asks for the last one when five have ended, and the strategy then learns from them.
    with Experiment(folder, write_experiment(folder, maxTrialNumber=7)) as experiment:
        assert experiment.wait_for_end() == {"status": "DONE", "errors": []}
        yield experiment


def test_gives_what_the_search_in_this_process_gives_until_the_strategy_has_learned(
    done: Experiment, expected: list[tuple[str, float]]
) -> None:
    """Two at a time: of the first batch. One at a time, all: test_nnictl_resume."""
    assert rewards_by_sample(done.journal())[:5] == expected[:5]


def test_results_stand_beside_the_parameters_that_gave_them(done: Experiment) -> None:
    # NNI gives parameters to whichever trial asks first, so with two at once they can be swapped.
    records = {event["id"]: event["record"] for event in done.journal() if event["event"] == "end"}
    samples = {event["id"]: event["sample"] for event in done.journal() if event["event"] == "submit"}
    jobs = done.jobs()
    assert len(jobs) == 7 and {job["status"] for job in jobs} == {"SUCCEEDED"}
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
    assert [len(row["buffer"]) for row in kept] == [5]  # the experiment ends within the second batch


def test_listens_on_this_machine_only(done: Experiment) -> None:
    manager = done.manager()
    assert manager is not None
    family = [manager, *manager.children(recursive=True)]
    listening = [c for process in family for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    assert done.port in {connection.laddr.port for connection in listening}


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_web_ui_shows_it(done: Experiment, tmp_path: Path) -> None:
    page, log = browse(f"http://localhost:{done.port}/oview", tmp_path / "profile", "--dump-dom")
    assert done.id in page and "DONE" in page and errors_in(log) == []


@pytest.mark.slow
def test_launch_prints_the_winner_and_draws_it(tmp_path: Path) -> None:
    write_mini_mvtec(tmp_path / "mvtec", side=32)
    options = f"--data mvtec --root {tmp_path / 'mvtec'} --category bottle --image-size 32 --reward aupro --members 2"
    command = f"autoad-nni trial {options} --epochs 1 --threads 1 --competitors feature_dictionary"
    tuner = {"className": ADVISOR, "codeDirectory": ".", "classArgs": {"strategy": "random", "seed": 0}}
    file = write_experiment(tmp_path, trialCommand=command, maxTrialNumber=4, trialConcurrency=1, tuner=tuner)
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
    (beside,), (in_process,) = Run(folder).competitors, Run(tmp_path / "run").competitors
    assert (beside["validation"], beside["test"]) == (in_process["validation"], in_process["test"])
    assert f"competitor feature_dictionary: aupro {beside['validation']['aupro']:.4f} on validation, " in ended.out
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_tuner_of_nni_runs_on_the_same_file(tmp_path: Path) -> None:
    tuner = {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}
    with Experiment(tmp_path, write_experiment(tmp_path, tuner=tuner, maxTrialNumber=2)) as experiment:
        assert experiment.wait_for_end()["status"] == "DONE"
        assert [job["status"] for job in experiment.jobs()] == ["SUCCEEDED", "SUCCEEDED"]
