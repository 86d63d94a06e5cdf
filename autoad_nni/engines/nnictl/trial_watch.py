"""Follows the trials of a running experiment, for a display of its progress."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple
from urllib.request import urlopen

from autoad_nni.trial.record import TrialRecord

__all__ = ["TrialCount", "TrialWatch", "count_trials"]

_ENDED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")
_PAUSE_S = 2.0
_SHARE = 0.05  # of the server's time, at most: it reads all trials anew for each answer
_TIMEOUT_S = 30.0


class TrialCount(NamedTuple):
    """How far an experiment is.

    Attributes:
        ended: Trials that ended, however they did.
        total: Trials after which the experiment ends; None for no limit.
        best: Best reward of a trial with the verdict ok; None before there is one.
    """

    ended: int
    total: int | None
    best: float | None


class TrialWatch:
    """Asks NNI's server every few seconds, in a thread of its own, and ends with the block.

    Nothing that goes wrong here reaches the experiment: a question without an answer is asked again.

    Args:
        port: The server's.
        listener: Called when the server first answers, with True for a count of what an earlier session recorded, and
            then once for each trial that ended.
    """

    def __init__(self, port: int, listener: Callable[[TrialCount, bool], None]) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/nni"
        self._listener = listener
        self._seen: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trial watch", daemon=True)

    def __enter__(self) -> TrialWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(1)  # it may wait for an answer, and is left to that

    def _watch(self) -> None:
        pause = _PAUSE_S
        while not self._ended.wait(pause):
            started = time.monotonic()
            try:
                counts = count_trials(self._get("experiment"), self._get("trial-jobs"))
                self._report(counts)
            except Exception:
                continue  # the server is not up yet, busy or gone, or the display is: no reason to end anything
            finally:
                pause = max(_PAUSE_S, (time.monotonic() - started) / _SHARE)

    def _report(self, counts: list[TrialCount]) -> None:
        recorded = self._seen is None
        first = len(counts) - 1 if self._seen is None else self._seen
        for count in counts[first:]:
            if not self._ended.is_set():
                self._listener(count, recorded)
        self._seen = len(counts)

    def _get(self, path: str) -> Any:
        with urlopen(f"{self._url}/{path}", timeout=_TIMEOUT_S) as response:
            return json.load(response)


def count_trials(profile: dict[str, Any], jobs: list[dict[str, Any]]) -> list[TrialCount]:
    """Return how far an experiment was before its first trial ended, and after each that did.

    Args:
        profile: The server's answer to ``experiment``.
        jobs: The server's answer to ``trial-jobs``. A trial that was lost with a killed server stands there twice, with
            the same parameters; the advisor has raised the experiment's limit for it, and it counts once.
    """
    started = [job for job in jobs if job.get("hyperParameters")]
    trials = {job["hyperParameters"][0]: job for job in started}
    limit = profile["params"].get("maxTrialNumber")
    total = None if limit is None else limit - (len(started) - len(trials))
    ended = [job for job in trials.values() if job["status"] in _ENDED]
    counts = [TrialCount(0, total, None)]
    for job in sorted(ended, key=lambda job: job.get("endTime") or 0):
        rewards = [value for value in (counts[-1].best, _reward(job)) if value is not None]
        counts.append(TrialCount(len(counts), total, max(rewards, default=None)))
    return counts


def _reward(job: dict[str, Any]) -> float | None:
    if not job.get("finalMetricData"):
        return None
    report = json.loads(json.loads(job["finalMetricData"][0]["data"]))  # what the trial sent, in NNI's own JSON
    record = TrialRecord.from_report(0, {}, report)
    return record.reward if record.ok else None
