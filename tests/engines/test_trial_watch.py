"""What `launch` learns of its trials from NNI's server, on answers like NNI's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from autoad_nni.engines.nnictl import trial_watch
from autoad_nni.engines.nnictl.trial_watch import TrialCount, TrialWatch, count_trials


def job(parameter_id: int, status: str, *, end: int | None = None, metrics: Any = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": status, "hyperParameters": [json.dumps({"parameter_id": parameter_id})]}
    if end is not None:
        entry["endTime"] = end
    if metrics is not None:
        entry["finalMetricData"] = [{"data": json.dumps(json.dumps(metrics))}]
    return entry


PROFILE = {"params": {"maxTrialNumber": 7}}
JOBS = [
    job(0, "SUCCEEDED", end=40, metrics={"default": 0.5, "verdict": "ok"}),
    job(1, "FAILED", end=10),
    job(2, "RUNNING"),
    job(3, "SUCCEEDED", end=20, metrics=0.25),
    job(4, "SUCCEEDED", end=30, metrics={"default": 0.9, "verdict": "ignores_input"}),
    job(5, "SUCCEEDED", end=50, metrics={"default": 0.4}),
    {"status": "WAITING"},
]


def test_trials_are_counted_in_the_order_in_which_they_ended() -> None:
    assert count_trials(PROFILE, JOBS) == [
        TrialCount(0, 7, None),
        TrialCount(1, 7, None),
        TrialCount(2, 7, 0.25),
        TrialCount(3, 7, 0.25),
        TrialCount(4, 7, 0.5),
        TrialCount(5, 7, 0.5),
    ]


def test_a_trial_that_was_lost_and_run_again_counts_once() -> None:
    """The advisor has raised the limit from 2 to 3 for it."""
    jobs = [job(0, "FAILED", end=10), job(1, "SUCCEEDED", end=20, metrics=0.5), job(0, "RUNNING")]
    assert count_trials({"params": {"maxTrialNumber": 3}}, jobs)[-1] == TrialCount(1, 2, 0.5)


def test_an_experiment_without_a_limit_has_no_total() -> None:
    assert count_trials({"params": {}}, JOBS)[-1].total is None


@contextmanager
def server(answers: Iterator[tuple[int, bytes]]) -> Iterator[int]:
    """A server on loopback that gives the next answer whenever it is asked for the trials."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            jobs = self.path.endswith("/trial-jobs")
            code, body = next(answers) if jobs else (200, json.dumps(PROFILE).encode())
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield http.server_address[1]
        finally:
            http.shutdown()
            thread.join()


def test_each_trial_is_reported_once_whatever_the_server_answers_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_watch, "_PAUSE_S", 0.01)
    heard: list[tuple[TrialCount, bool]] = []
    last = threading.Event()

    def listener(count: TrialCount, recorded: bool) -> None:
        heard.append((count, recorded))
        if len(heard) == 2:
            raise BrokenPipeError("nobody looks at the display")
        if count.ended == 5:
            last.set()

    def answers() -> Iterator[tuple[int, bytes]]:
        yield 500, b""
        yield 200, b"{no JSON"
        yield 200, json.dumps(JOBS[1:3]).encode()  # one had ended in an earlier session
        yield 200, json.dumps(JOBS[1:4]).encode()
        yield 404, b"null"
        yield 200, b'[{"hyperParameters": 3}]'
        while True:
            yield 200, json.dumps(JOBS).encode()

    with server(answers()) as port, TrialWatch(port, listener):
        assert last.wait(120)
    counts = count_trials(PROFILE, JOBS)
    assert heard[0] == (counts[1], True)
    assert [entry for entry in heard[1:] if entry[0].ended > 2] == [(count, False) for count in counts[3:]]


def test_the_watch_ends_with_its_block_although_no_server_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_watch, "_PAUSE_S", 0.01)
    with TrialWatch(9, lambda count, recorded: None) as watch:
        pass
    assert not watch._thread.is_alive()
