"""What the advisor and a trial ask of NNI's manager, over its REST interface."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

__all__ = ["limit_trials", "own_parameters", "replace_lost_trials", "rest_url", "trial_error"]


def rest_url() -> str:
    """Return the manager's REST address as the advisor's environment gives it."""
    channel = os.environ["NNI_TUNER_COMMAND_CHANNEL"]
    return channel.replace("ws://", "http://", 1).removesuffix("/tuner") + "/api/v1/nni"


def limit_trials(n_trials: int) -> None:
    """End the experiment after ``n_trials`` trials.

    A strategy that finished by itself leaves the experiment without an end (NNI's own message for it turns the
    status to TUNER_NO_MORE_TRIAL for ever); a lowered maximum turns it to DONE.
    """
    _change_max_trials(lambda maximum: n_trials)


def replace_lost_trials(lost: Container[int]) -> None:
    """Raise the experiment's maximum by the number of jobs that ran for the given parameter ids.

    After a kill NNI counts the jobs that it lost as run, and would end the experiment with that many results less.
    """
    jobs = _get("trial-jobs")
    n_lost = sum(json.loads(job["hyperParameters"][0])["parameter_id"] in lost for job in jobs)
    if n_lost:
        _change_max_trials(lambda maximum: None if maximum is None else maximum + n_lost)


def _change_max_trials(change: Callable[[int | None], int | None]) -> None:
    profile = _get("experiment")
    profile["params"]["maxTrialNumber"] = change(profile["params"].get("maxTrialNumber"))
    request = Request(
        f"{rest_url()}/experiment?update_type=MAX_TRIAL_NUM",
        data=json.dumps(profile).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    urlopen(request, timeout=30).close()


def _get(path: str) -> Any:
    with urlopen(f"{rest_url()}/{path}", timeout=30) as response:
        return json.load(response)


def own_parameters() -> dict[str, Any] | None:
    """Return the parameter record that NNI's database has for the running trial.

    NNI hands the next parameters to whichever trial asks first, so of two trials that start together each can get
    the other's, and the web UI then shows a result beside parameters that did not give it. A trial that takes the
    record under its own job id is what the web UI says it is.

    Returns:
        ``{"parameter_id": ..., "parameters": {label: value}, ...}``, or None where the manager cannot be asked
        (a trial on another machine): then NNI's answer has to do.
    """
    channel = os.environ.get("NNI_TRIAL_COMMAND_CHANNEL", "")
    base, found, _ = channel.partition("/env/")
    if not found or not base.startswith("http") or os.environ.get("NNI_PLATFORM") == "remote":
        return None  # what answers there, on another machine, knows of no jobs
    url = f"{base}/api/v1/nni/trial-jobs/{os.environ['NNI_TRIAL_JOB_ID']}"
    for attempt in range(10):
        try:
            with urlopen(url, timeout=10) as response:
                records = json.load(response).get("hyperParameters") or []
        except (URLError, OSError, ValueError):
            records = []  # the job is entered a moment after its process starts
        if records:
            record: dict[str, Any] = json.loads(records[-1])
            return record
        time.sleep(0.05 * (attempt + 1))
    return None


def trial_error(job_id: str) -> str:
    """Return the last line that a trial wrote to stderr, as far as it is on this machine."""
    experiment = Path(os.environ["NNI_CHECKPOINT_DIRECTORY"]).parent
    for log in sorted(experiment.glob(f"**/trials/{job_id}/*stderr*")):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "(nothing on this machine; see the trial's log in the web UI)"
