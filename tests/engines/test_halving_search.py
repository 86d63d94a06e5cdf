"""Real searches whose trials are stopped early: in this process, in workers, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.run_command import command
from cli.small_experiment import history, tuner, write

import autoad_nni as ad
from autoad_nni.searches.halving import is_among_best
from autoad_nni.verdicts import Verdict

TRIAL = "autoad-nni trial --data digits --abnormal photos --limit 200 --epochs 1 --steps 40 --threads 1"
N_TRIALS = 9
HALVING = {"reduction": 2, "rungs": 2}
EVOLUTION = {"strategy": "regularized_evolution", "strategy_args": {"population_size": 4, "sample_size": 2}}


def experiment(folder: Path, **changes: Any) -> Path:
    return write(
        folder / "x.yml",
        **{
            "trialCommand": TRIAL,
            "maxTrialNumber": N_TRIALS,
            "tuner": tuner(**EVOLUTION, halving=HALVING),
            **changes,
        },
    )


def journal(run: Path) -> list[dict[str, Any]]:
    """The events of a run, without the seconds that differ from run to run."""
    events = [json.loads(line) for line in (run / "state" / "journal.jsonl").read_text().splitlines()]
    for event in events:
        for measured in ("seconds", "ms"):
            event.get("record", {}).pop(measured, None)
        event.pop("spent", None)
    return events


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halving")
    ended = command("search", experiment(folder), "--output", folder / "run")
    assert ended.code == 0, ended.err
    assert "stopped" in ended.out
    return folder / "run"


def test_trials_are_stopped_as_the_rule_says(run: Path) -> None:
    rungs = [event for event in journal(run) if event["event"] == "rung"]
    seen: dict[int, list[float]] = {0: [], 1: []}
    for event in rungs:
        assert event["goes_on"] == is_among_best(event["reward"], seen[event["rung"]], 2)
        seen[event["rung"]].append(event["reward"])
    assert len(seen[0]) == N_TRIALS > len(seen[1]) > 1
    last = {event["id"]: event for event in rungs}
    for trial in history(run):
        event = last[trial["number"]]
        assert trial["verdict"] == ("ok" if event["goes_on"] else "stopped")
        if not event["goes_on"]:
            assert trial["reward"] == event["reward"] == trial["validation"]["auroc"]
    assert {trial["verdict"] for trial in history(run)} == {"ok", "stopped"}


def test_the_winner_was_trained_to_its_end_and_stopped_trials_are_shown(run: Path) -> None:
    found = ad.Run(run)
    stopped = [record for record in found.records if record.verdict is Verdict.STOPPED]
    ok = [record for record in found.records if record.ok]
    assert len(ok) + len(stopped) == N_TRIALS and all(record.reward > 0 for record in stopped)
    assert found.best is not None
    assert found.best.trial.reward == max(record.reward for record in ok)
    assert all(record.ok for record in found.best.members)
    assert found.best.search["summary"]["verdicts"] == {"ok": len(ok), "stopped": len(stopped)}
    assert "stopped" in (run / "report.html").read_text()


def test_a_trial_that_went_on_is_the_trial_of_a_search_without_halving(run: Path) -> None:
    record = next(trial for trial in history(run) if trial["verdict"] == "ok")
    ended = command("trial", "--run", run, "--number", record["number"])
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["fingerprint"] == record["fingerprint"]


@pytest.mark.slow
def test_one_worker_gives_what_this_process_gives(run: Path, tmp_path: Path) -> None:
    ended = command("search", experiment(tmp_path), "--output", tmp_path / "run", "--workers", 1)
    assert ended.code == 0, ended.err
    assert journal(tmp_path / "run") == journal(run)


KILLED = """
import os, signal, sys
from autoad_nni.cli import main
from autoad_nni.searches.journal import Journal
write, left = Journal._append, int(sys.argv.pop(1))

def append(self, event, *arguments, **more):
    global left
    write(self, event, *arguments, **more)
    left -= event != "again"
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Journal._append = append
main()
"""


def written(run: Path) -> list[dict[str, Any]]:
    """The events of a run, as they would be if it had not been killed."""
    return [event for event in journal(run) if event["event"] != "again"] if run.exists() else []


@pytest.mark.slow
def test_a_search_that_is_killed_and_resumed_equals_one_that_was_not(run: Path, tmp_path: Path) -> None:
    """Killed in three trials: behind the submission, behind a rung that is passed, and one that is not."""
    events = journal(run)
    behind: list[int] = []
    for kind in (("submit", None), ("rung", True), ("rung", False)):
        # Twice in one trial, and it would count as one that ends its process.
        after = 2 if not behind else next(i for i in range(behind[-1], len(events)) if events[i]["event"] == "end")
        later = range(after, len(events))
        behind.append(next(i for i in later if (events[i]["event"], events[i].get("goes_on")) == kind))
    words = ["search", str(experiment(tmp_path)), "--output", str(tmp_path / "run")]
    for index in behind:
        there = written(tmp_path / "run")
        left = index + 1 - max(1, len(there))  # the first line is no event
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(left), *words, *(["--resume"] if there else [])],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert written(tmp_path / "run") == events[: index + 1]
    ended = command(*words, "--resume")
    assert ended.code == 0, ended.err
    assert written(tmp_path / "run") == events
    assert history(tmp_path / "run") == history(run)


def test_a_search_goes_on_with_the_halving_that_it_began_with(run: Path, tmp_path: Path) -> None:
    other = experiment(tmp_path, tuner=tuner(**EVOLUTION))
    ended = command("search", other, "--output", run, "--resume")
    assert ended.code == 2 and "halving" in ended.err
