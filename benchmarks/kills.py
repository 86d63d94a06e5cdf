"""Kills searches at random times, resumes them at once, and counts what is lost.

Usage: python benchmarks/kills.py LOG [--times 50] [--fault search manager dispatcher trial launch] [--home DIR]

``search`` runs in a process of its own; the others are processes of ``autoad-nni launch``: NNI's manager, the
dispatcher with our advisor, one trial, and launch itself. Each is killed with SIGKILL at a random time, and resumed
while what the kill left is still there. The log gets a line for each kill; a stopped run goes on where its log ends.

Outcomes: as uninterrupted; lost (an ended trial is gone), twice (a trial ended twice), differs (other samples or
rewards), hung, traceback, refused (a resume that was answered with one line every time for ten minutes). A trial that
is killed itself counts as uninterrupted if it alone is recorded as crashed, or ran once more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
os.environ.setdefault("NNI_FRAMEWORK", "none")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import psutil  # noqa: E402
from cli.small_experiment import history, write  # noqa: E402
from engines.nnictl.experiment import TRIAL, Experiment, rewards_by_sample, write_experiment  # noqa: E402
from faults import forked  # noqa: E402

FAULTS = ("search", "manager", "dispatcher", "trial", "launch")
TRIALS = 8
HUNG_S = 600

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--times", type=int, default=50, help="Of each fault, those in the log included.")
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--home", type=Path, help="Where what goes wrong is kept; default: a temporary folder.")
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="autoad-nni-kills-"))
    home.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.times):
        done = {line["fault"] for line in read(arguments.log) if line["number"] == number}
        for fault in [fault for fault in arguments.fault if fault not in done]:
            folder = home / f"{fault}-{number:03d}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            result = kill_once(fault, folder, random.Random(f"{fault} {number}"))
            with arguments.log.open("a") as file:
                file.write(json.dumps({"fault": fault, "number": number, **result}) + "\n")
            print(fault, number, result, flush=True)
            if result["outcome"] == AS_UNINTERRUPTED:
                shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(table(read(arguments.log))))


def read(log: Path) -> list[Result]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


AS_UNINTERRUPTED = "as uninterrupted"


def table(results: list[Result]) -> list[str]:
    """Markdown: fault, times tried, outcomes."""
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        outcomes[result["fault"]][result["outcome"]] += 1
    rows = ["| killed | times | outcome |", "|---|---|---|"]
    for fault, counts in outcomes.items():
        found = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
        rows.append(f"| {fault} | {counts.total()} | {found} |")
    return rows


def kill_once(fault: str, folder: Path, chance: random.Random) -> Result:
    return kill_search(folder, chance) if fault == "search" else kill_launch(fault, folder, chance)


# --- in one process ---

_straight: dict[str, Any] = {}


def kill_search(folder: Path, chance: random.Random) -> Result:
    file, run = write(folder / "x.yml", maxTrialNumber=TRIALS), folder / "run"
    if "search" not in _straight:
        forked.run("--version")  # the process that others are forked from imports torch
        began = time.monotonic()
        assert forked.run("search", file, "--output", folder / "straight").code == 0
        _straight.update(seconds=time.monotonic() - began, search=history(folder / "straight"))
    after = chance.uniform(0.05, _straight["seconds"])
    started = forked.start("search", file, "--output", run)
    time.sleep(after)
    started.kill()
    started.wait()
    before = history(run) if (run / "history.jsonl").exists() else []
    resume = ["--resume"] if (run / "state" / "journal.jsonl").exists() else []
    try:
        ended = forked.run("search", file, "--output", run, *resume)
    except AssertionError:
        return {"after": after, "outcome": "hung"}
    outcome = judge(_straight["search"], history(run) if ended.code == 0 else [], before, ended.err)
    return {"after": round(after, 2), "ended_before": len(before), "outcome": outcome}


def judge(straight: list[Any], found: list[Any], before: list[Any], err: str) -> str:
    if "Traceback" in err:
        return "traceback"
    if err:
        return f"stopped: {err.strip()}"
    if any(trial not in found for trial in before):
        return "lost"
    if len(found) > len(straight):
        return "twice"
    return AS_UNINTERRUPTED if found == straight else "differs"


# --- under nnictl ---


# What NNI starts as a trial: it reports as `autoad-nni trial` does, and takes a second, not ten.
QUICK_TRIAL = f"""#!{sys.executable}
import json
import nni
from autoad_nni.engines.nnictl.manager import own_parameters
from autoad_nni.engines.nnictl.plain_json import next_parameters
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

next_parameters()
nni.trial._params = own_parameters() or nni.trial._params
sample = nni.get_current_parameter()
reward = len(json.dumps(sample)) % 97 / 97
number = nni.trial._params["parameter_id"]
record = TrialRecord(number=number, sample=sample, verdict=Verdict.OK, reward=reward, validation={{"auroc": reward}})
nni.report_final_result(record.to_report())
"""


def experiment_in(folder: Path) -> Experiment:
    """An experiment whose ``autoad-nni trial`` is `QUICK_TRIAL`."""
    command = folder / "bin" / "autoad-nni"
    command.parent.mkdir()
    command.write_text(QUICK_TRIAL)
    command.chmod(0o755)
    # One at a time, so that the order of the samples does not depend on the machine's load.
    trial = f"env PATH={command.parent}:/usr/bin:/bin {TRIAL}"
    return Experiment(folder, write_experiment(folder, trialCommand=trial, maxTrialNumber=TRIALS, trialConcurrency=1))


def straight_launch(folder: Path) -> list[tuple[str, float | None]]:
    """Sample and reward of every trial of an experiment that nobody interrupts."""
    home = folder.with_name("straight")
    kept = home / "results.json"
    if not kept.exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        experiment = experiment_in(home)
        with experiment.launch(str(experiment.file), printed=experiment.home / "printed.txt") as process:
            err = process.communicate(timeout=HUNG_S)[1]
        assert process.returncode == 0, err
        kept.write_text(json.dumps(rewards_by_sample(experiment.journal())))
    return [(sample, reward) for sample, reward in json.loads(kept.read_text())]


def kill_launch(fault: str, folder: Path, chance: random.Random) -> Result:
    straight = straight_launch(folder)
    experiment = experiment_in(folder)
    try:
        with experiment.launch(str(experiment.file), printed=experiment.home / "printed.txt") as process:
            after = chance.uniform(0, 15)
            time.sleep(after)
            victim = wait_for_victim(fault, experiment, process)
            if victim is None:
                code, err = end_of(process)
                return {"after": round(after, 2), "outcome": "ended before the kill", "code": code, "err": err}
            before = ends(experiment)
            victim.kill()
            if fault == "trial":
                ended, refused = end_of(process), 0
            else:
                ended, refused = resume_until_the_end(experiment)
                process.kill()
        result: Result = {"after": round(after, 2), "ended_before": len(before), "refused": refused}
        return {**result, "outcome": judge_launch(fault, straight, experiment, before, ended)}
    finally:
        end_what_is_left(experiment)


def wait_for_victim(fault: str, experiment: Experiment, launch: subprocess.Popen[str]) -> psutil.Process | None:
    while launch.poll() is None:
        if fault == "launch":
            return psutil.Process(launch.pid)
        manager = experiment.manager()
        if manager is not None and (found := victim_of(fault, manager)):
            return found
        time.sleep(0.01)
    return None


def victim_of(fault: str, manager: psutil.Process) -> psutil.Process | None:
    if fault == "manager":
        return manager
    word = "--exp_params" if fault == "dispatcher" else "bin/autoad-nni"
    try:
        children = [child for child in manager.children(recursive=True) if word in " ".join(child.cmdline())]
    except psutil.Error:
        return None
    return children[-1] if children else None


def ends(experiment: Experiment) -> list[dict[str, Any]]:
    """The ended trials in the journal, of which a torn last line may be missing."""
    path = experiment.folder / "checkpoint" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    events = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [event for event in events if event["event"] == "end"]


def end_of(process: subprocess.Popen[str]) -> tuple[int | None, str]:
    try:
        err = process.communicate(timeout=HUNG_S)[1]
    except subprocess.TimeoutExpired:
        return None, ""
    return process.returncode, err


def resume_until_the_end(experiment: Experiment) -> tuple[tuple[int | None, str], int]:
    """Resume at once, and again while a server that still comes down is a reason to refuse; how often it was."""
    deadline = time.monotonic() + HUNG_S
    refused = 0
    while True:
        with experiment.launch(
            "--resume", experiment.id, printed=experiment.home / f"resumed-{refused}.txt"
        ) as process:
            ended = end_of(process)
        if ended[0] in (0, None) or "Traceback" in ended[1] or time.monotonic() > deadline:
            return ended, refused
        refused += 1
        with (experiment.home / "refused.txt").open("a") as file:
            file.write(ended[1])
        time.sleep(1)


def judge_launch(
    fault: str,
    straight: list[tuple[str, float | None]],
    experiment: Experiment,
    before: list[dict[str, Any]],
    ended: tuple[int | None, str],
) -> str:
    code, err = ended
    if code is None:
        return "hung"
    if "Traceback" in err:
        return "traceback"
    if code != 0:
        return f"refused: {err.strip()}"
    after = ends(experiment)
    if any(event not in after for event in before):
        return "lost"
    numbers = [event["id"] for event in after]
    if len(numbers) != len(set(numbers)):
        return "twice"
    if len(numbers) < TRIALS:
        return f"lost: {len(numbers)} of {TRIALS} trials ended"
    crashed = [event for event in after if event["record"]["verdict"] == "crashed"]
    if fault == "trial":  # what is learned from the crash changes the samples after it
        return AS_UNINTERRUPTED if len(crashed) <= 1 else f"{len(crashed)} crashed"
    return AS_UNINTERRUPTED if rewards_by_sample(experiment.journal()) == straight else "differs"


def end_what_is_left(experiment: Experiment) -> None:
    """End the processes of this experiment: its home is in their environment."""
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("HOME") == str(experiment.home):
            process.kill()


if __name__ == "__main__":
    main()
