"""Experiments that are stopped and killed under nnictl go on, one trial at a time, to the end of one that was not.

Two at a time, the order in which trials end decides what is proposed next.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from engines.nnictl.experiment import Experiment, launch, rewards_by_sample, search_in_process, write_experiment

# Sessions that take 20 seconds take 200 where six other processes want the two cores.
pytestmark = pytest.mark.timeout(600)


def test_a_launch_that_is_terminated_goes_on_to_the_same_winner(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path, write_experiment(tmp_path, trialConcurrency=1, maxTrialNumber=3))
    expected = search_in_process(experiment.file, tmp_path / "run")
    with ExitStack() as stack:
        stack.push(experiment)  # stops what still runs when an assertion fails
        with experiment.launch(str(experiment.file), printed=tmp_path / "printed.txt") as process:
            experiment.wait_for_trials(1)
            process.terminate()
            err = process.communicate(timeout=300)[1]
        go_on = f"stopped. Go on with: autoad-nni launch --resume {experiment.id}\n"
        assert (process.returncode, err) == (130, go_on) and experiment.manager() is None
        before = experiment.journal()
        n_before = experiment.n_ended()
        ended = launch(tmp_path, "--resume", experiment.id)
    assert ended.code == 0, ended
    assert experiment.journal()[: len(before)] == before
    assert rewards_by_sample(experiment.journal()) == expected
    assert_shown(ended.out, range(n_before + 1, 4), expected)
    assert experiment.manager() is None
    for name in ("best.safetensors", "scores.json"):
        assert (experiment.folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    best, in_process = (json.loads((run / "best.json").read_text()) for run in (experiment.folder, tmp_path / "run"))
    assert best["test"] == in_process["test"] and best["validation"] == in_process["validation"]


def assert_shown(out: str, numbers: range, expected: list[tuple[str, float]]) -> None:
    """Raise unless a session shows its own trials, then the figures of the test images."""
    shown = re.findall(rf"^trial (\d)/{len(expected)}  best auroc (\S+)  ", out, re.MULTILINE)
    assert [int(number) for number, _ in shown] == list(numbers)
    assert shown[-1][1] == f"{max(reward for _, reward in expected):.4f}"
    assert "on test (read once, for this model): auroc" in out


@pytest.mark.slow
def test_stop_resume_kill_launch_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    file = write_experiment(tmp_path, trialConcurrency=1)
    expected = search_in_process(file, tmp_path / "run")
    with Experiment(tmp_path, file) as experiment:
        experiment.wait_for_trials(1)
        experiment.nnictl("stop", experiment.id)
        before = experiment.journal()
        experiment.resume()
        experiment.wait_for_trials(4)
        manager = experiment.manager()
        assert manager is not None
        manager.kill()
        manager.wait(100)
        n_before = experiment.n_ended()
        ended = launch(tmp_path, "--resume", experiment.id)  # while its tuner and trials are still there
        assert ended.code == 0, ended
        journal = experiment.journal()
        assert journal[: len(before)] == before
        assert rewards_by_sample(journal) == expected
        assert_shown(ended.out, range(n_before + 1, 7), expected)
        assert experiment.manager() is None
