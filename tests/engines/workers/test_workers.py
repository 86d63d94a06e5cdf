"""Trials in other processes: real ones, real kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from cli.full_disk import largest_file
from cli.run_command import Ended, command
from cli.small_experiment import TRIAL, history, space, tuner, write
from ending_plugins import install_endings
from safetensors.torch import load_file

import autoad_nni as ad
from autoad_nni.engines.in_process import InProcessSearch

# The command, with a short grace for trials that hang and for workers whose search is gone.
COMMAND = """
import autoad_nni.engines.hanging as hanging
import autoad_nni.engines.workers.pool as pool
from autoad_nni.cli import main
hanging._GRACE_S, pool._BEAT_S, pool._ORPHAN_S = 2.0, 0.5, 4.0
main()
"""
BIG = space(layer1_channels=[32], layer1_kernel=[7])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_endings(tmp_path_factory.mktemp("site"))


def experiment(folder: Path, distances: list[str], **changes: Any) -> Path:
    """A trial for each of the distances, in any order."""
    values = {label: [entry["_value"][0]] for label, entry in space().items()}
    chosen = {
        "searchSpace": space(**{**values, "distance": distances}),
        "tuner": tuner(strategy="grid_search"),
        "maxTrialNumber": len(distances),
    }
    return write(folder / "x.yml", **{**chosen, **changes})


def start(file: Path, site: Path, *more: str) -> subprocess.Popen[str]:
    words = ["search", str(file), "--output", str(file.with_name("run")), *more]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(site),
        "MARKER": str(file.with_name("marker")),
    }
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def search(file: Path, site: Path, *more: str) -> Ended:
    process = start(file, site, *more)
    out, err = process.communicate(timeout=200)
    return Ended(process.returncode, out, err)


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def started(*arguments: Any) -> Iterator[tuple[subprocess.Popen[str], Callable[[], list[psutil.Process]]]]:
    """A search, and what lists its workers; all are ended after the block."""
    process = start(*arguments)
    run = str(arguments[0].with_name("run"))
    seen: list[psutil.Process] = []

    def workers() -> list[psutil.Process]:
        for each in psutil.process_iter(["cmdline"]):
            words = each.info["cmdline"] or []
            if "autoad_nni.engines.workers.worker" in words and words[-1].startswith(run) and words[0] != "env":
                seen.append(each)
        return [each for each in dict.fromkeys(seen) if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    try:
        yield process, workers
    finally:
        process.kill()
        for each in workers():
            each.kill()
        process.communicate()


def verdicts(run: Path) -> dict[str, str]:
    return {line["sample"]["distance"]: line["verdict"] for line in history(run)}


def events(run: Path) -> list[tuple[str, int]]:
    lines = [json.loads(line) for line in (run / "state" / "journal.jsonl").read_text().splitlines()]
    return [(line["event"], line["id"]) for line in lines[1:]]


@pytest.fixture(scope="module")
def with_one_worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment file and the run of a search with one worker."""
    folder = tmp_path_factory.mktemp("one worker")
    file = write(folder / "x.yml", maxTrialNumber=5, trialCommand=f"{TRIAL} --weight-sharing")
    ended = command("search", file, "--output", folder / "run", "--workers", "1")
    assert (ended.code, ended.err) == (0, "")
    return folder


def test_one_worker_finds_what_a_search_in_one_process_finds(with_one_worker: Path, tmp_path: Path) -> None:
    assert command("search", with_one_worker / "x.yml", "--output", tmp_path / "alone").code == 0
    runs = (with_one_worker / "run", tmp_path / "alone")
    assert history(runs[0]) == history(runs[1])
    weights = [{path.name: load_file(path) for path in run.rglob("*.safetensors")} for run in runs]
    assert weights[0].keys() == weights[1].keys() >= {"best.safetensors"} and len(weights[0]) > 6
    assert all(
        torch.equal(each, weights[1][file][key]) for file in weights[0] for key, each in weights[0][file].items()
    )
    assert not (runs[0] / "state" / "workers").exists()
    assert len(list((runs[0] / "tensorboard").iterdir())) == 6


@pytest.mark.slow
def test_any_number_of_workers_goes_on_with_a_search(with_one_worker: Path, tmp_path: Path) -> None:
    run = shutil.copytree(with_one_worker / "run", tmp_path / "run")
    more = ad.search(with_one_worker / "x.yml", output=run, trials=7, resume=True, workers=2)
    assert sorted(record.number for record in more.records) == list(range(7))
    assert history(run)[:5] == history(with_one_worker / "run")


@pytest.mark.faults
def test_a_worker_that_is_killed_is_replaced_and_its_trial_runs_again(site: Path, tmp_path: Path) -> None:
    file = experiment(tmp_path, ["exits", "once", "l2", "l1"])
    ended = search(file, site, "--workers", "2")
    assert ended.code == 0, ended.err
    assert verdicts(tmp_path / "run") == {"exits": "crashed", "once": "ok", "l2": "ok", "l1": "ok"}
    assert ended.out.count("ended (exit code 7); another one takes its place.") == 2
    assert ended.out.count("ended (signal 9); another one takes its place.") == 1
    crashed = next(line for line in history(tmp_path / "run") if line["verdict"] == "crashed")
    assert "ended twice while it ran" in crashed["detail"]
    assert [event for event, _ in events(tmp_path / "run")].count("again") == 2


@pytest.mark.faults
def test_a_worker_that_hangs_is_ended_and_the_search_goes_on(site: Path, tmp_path: Path) -> None:
    file = experiment(tmp_path, ["sleeps", "loops", "l2"], trialCommand=f"{TRIAL} --max-seconds 4")
    ended = search(file, site, "--workers", "2")
    assert ended.code == 0, ended.err
    assert verdicts(tmp_path / "run") == {"sleeps": "crashed", "loops": "crashed", "l2": "ok"}
    lines = [line for line in ended.out.splitlines() if ", and hung, at File " in line]
    assert len(lines) == 4 and {line.rsplit(" in ", 1)[1].split(")")[0] for line in lines} == {"map", "match"}


@pytest.mark.faults
@pytest.mark.parametrize("more", [[], ["--cluster", "local"]])
def test_workers_end_when_the_search_is_killed(site: Path, tmp_path: Path, more: list[str]) -> None:
    """One of them sleeps, the other holds Python's lock; what is resumed has an attempt less."""
    file = experiment(tmp_path, ["sleeps", "loops"])
    with started(file, site, "--workers", "2", *more) as (process, workers):
        wait_for(lambda: (tmp_path / "marker").exists() and len(events(tmp_path / "run")) == 2)
        found = workers()
        assert len(found) == 2
        process.kill()
        if more:  # they see no beat; the one that holds the lock has no thread to see it
            wait_for(lambda: len(workers()) <= 1)
        else:
            wait_for(lambda: not workers())


@pytest.mark.faults
def test_ctrl_c_ends_the_workers_and_is_no_attempt(site: Path, tmp_path: Path) -> None:
    file = experiment(tmp_path, ["sleeps", "l2"])
    for more in ([], ["--resume"], ["--resume"]):
        (tmp_path / "marker").unlink(missing_ok=True)
        with started(file, site, "--workers", "1", *more) as (process, workers):
            wait_for(lambda: (tmp_path / "marker").exists())
            second = command("search", file, "--output", tmp_path / "run", "--workers", "1", "--resume")
            assert (second.code == 2 and "another search runs in" in second.err) or "sleeps" in second.err
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=200)
            assert (process.returncode, err) == (130, "stopped. The same command with --resume goes on.\n")
            assert not workers()
    assert [event for event, _ in events(tmp_path / "run")].count("stop") == 3


@pytest.mark.slow
def test_two_searches_do_not_share_a_folder(site: Path, tmp_path: Path) -> None:
    file = experiment(tmp_path, ["sleeps"])
    with started(file, site, "--workers", "1"):
        wait_for(lambda: (tmp_path / "marker").exists())
        second = search(file, site, "--workers", "1", "--resume")
    assert second.code == 2 and second.err.startswith("autoad-nni: another search runs in ")


@pytest.mark.faults
def test_a_disk_that_is_full_for_a_worker_ends_the_search_and_is_no_crash(tmp_path: Path) -> None:
    file, run = write(tmp_path / "x.yml", maxTrialNumber=3, searchSpace=BIG), tmp_path / "run"
    with largest_file(8000):
        ended = command("search", file, "--output", run, "--workers", "2")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert ".safetensors cannot be written: File too large. Expected to keep results there." in ended.err
    assert not (run / "state" / "workers").exists()
    assert command("search", file, "--output", run, "--resume", "--workers", "1").code == 0
    assert [line["verdict"] for line in history(run)] == ["ok"] * 3


@pytest.mark.faults
def test_a_killed_search_goes_on_with_any_number_of_workers(site: Path, tmp_path: Path) -> None:
    """The journal is replayed; trials that were open run again, and nothing is lost or counted twice."""
    lasting = space(distance=["lasts", "l2"])
    file = write(tmp_path / "x.yml", maxTrialNumber=10, searchSpace=lasting)
    run = tmp_path / "run"
    before: list[dict[str, Any]] = []
    for more in (["--workers", "2"], ["--workers", "1", "--resume"], ["--workers", "2", "--resume"]):
        n_before = len(before)
        with started(file, site, *more) as (process, _):
            wait_for(lambda n=n_before: (run / "history.jsonl").exists() and len(history(run)) >= n + 2)
            process.kill()
            process.communicate()
        assert history(run)[: len(before)] == before
        before = history(run)
    assert search(file, site, "--resume").code == 0
    ended = history(run)
    assert ended[: len(before)] == before and sorted(line["number"] for line in ended) == list(range(10))
    assert {line["verdict"] for line in ended} == {"ok"}


@pytest.mark.slow
def test_a_trial_that_the_end_stops_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another worker runs meanwhile is, if it ends well."""
    file, run = write(tmp_path / "x.yml", maxTrialNumber=4, maxExperimentDuration="1000s"), tmp_path / "run"
    words = ["search", file, "--output", run, "--workers", "2"]
    with monkeypatch.context() as clock:
        # So little that no trial ends in it, as soon as one has ended.
        clock.setattr(InProcessSearch, "seconds_left", lambda it: 1e-9 if it.folder.best is not None else 50.0)
        began = time.monotonic()
        ended = command(*words)
        took = time.monotonic() - began
    before = history(run)
    assert ended.code == 0 and len(before) in (1, 2)
    stopped = [trial for event, trial in events(run) if event == "stop"]
    assert stopped and sorted([*stopped, *(line["number"] for line in before)]) == list(
        range(len(stopped) + len(before))
    )
    lines = [json.loads(line) for line in (run / "state" / "journal.jsonl").read_text().splitlines()]
    spent = [line["spent"] for line in lines if line["event"] == "end"]
    assert len(spent) == len(before) and 0 < sum(spent) < took
    assert command(*words, "--resume").code == 0
    assert history(run)[: len(before)] == before and {line["verdict"] for line in history(run)} == {"ok"}
    assert sorted(line["number"] for line in history(run)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cluster", "local"], "--cluster local is given without a number of workers. "),
        (["--workers", "2", "--cluster-option", "timeout_min=9"], "Options of a cluster are given without one. "),
        (["--workers", "2", "--cluster", "moon"], "--cluster moon cannot be used: AutoExecutor doesn't know "),
        (["--workers", "2", "--cluster", "local", "--cluster-option", "x"], "--cluster-option is x. Expected NAME="),
        (
            ["--workers", "2", "--cluster", "local", "--cluster-option", "timeout_min=soon"],
            '--cluster local cannot be used: Parameter "timeout_min" expected type',
        ),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    ended = command("search", write(tmp_path / "x.yml"), "--output", tmp_path / "run", *words)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert ended.err.startswith(f"autoad-nni: {expected}")
    assert not (tmp_path / "run").exists()
