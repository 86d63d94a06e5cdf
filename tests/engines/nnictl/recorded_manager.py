"""Stands in for NNI's manager: sends an advisor the commands that NNI was seen to send, and collects its answers."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nni.runtime.command_channel.websocket import connection as websocket
from websockets.sync.server import ServerConnection, serve

from autoad_nni.engines.nnictl.advisor import StrategyAdvisor


class RecordedManager:
    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def send(self, kind: str, content: Any = "") -> None:
        self._connection.send(json.dumps({"type": kind, "content": content if content == "" else json.dumps(content)}))

    def receive(self, *, timeout_s: float = 60) -> tuple[str, str]:
        command = json.loads(self._connection.recv(timeout=timeout_s))
        return command["type"], command.get("content", "")

    def trials(self, count: int) -> dict[int, dict[str, Any]]:
        """The parameters of the next trials by their ids."""
        records = []
        for _ in range(count):
            kind, content = self.receive()
            assert kind == "TR", (kind, content)
            records.append(json.loads(content))
        return {record["parameter_id"]: record["parameters"] for record in records}

    def end(self, trial_id: int, reward: float) -> None:
        """What NNI sends when a trial has reported and ended."""
        report = json.dumps({"default": reward})
        metric = {"parameter_id": trial_id, "trial_job_id": f"job{trial_id}", "type": "FINAL", "sequence": 0}
        self.send("ME", {**metric, "value": report})
        parameters = json.dumps({"parameter_id": trial_id, "parameters": {}})
        self.send("EN", {"trial_job_id": f"job{trial_id}", "event": "SUCCEEDED", "hyper_params": parameters})


class _Rest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = [] if self.path.endswith("trial-jobs") else {"params": {"maxTrialNumber": 99}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def advised(checkpoint: Path, patch: pytest.MonkeyPatch, **choice: Any) -> Iterator[RecordedManager]:
    """One session of an advisor: from its connection to its end."""
    connections: queue.Queue[ServerConnection] = queue.Queue()
    over = threading.Event()

    def hold(connection: ServerConnection) -> None:
        connections.put(connection)
        over.wait()

    rest = ThreadingHTTPServer(("127.0.0.1", 0), _Rest)
    with serve(hold, "127.0.0.1", 0) as server, rest:
        for serving in (server, rest):
            threading.Thread(target=serving.serve_forever, daemon=True).start()
        channel = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/tuner"
        names = SimpleNamespace(NNI_TUNER_COMMAND_CHANNEL=channel, NNI_MODE="start")
        patch.setattr("nni.runtime.msg_dispatcher_base.dispatcher_env_vars", names)
        patch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://127.0.0.1:{rest.server_port}/tuner")
        patch.setenv("NNI_CHECKPOINT_DIRECTORY", str(checkpoint))
        advisor = StrategyAdvisor(**choice)
        manager = RecordedManager(connections.get(timeout=120))
        thread = threading.Thread(target=advisor.run, daemon=True)
        thread.start()
        loop = websocket._event_loop
        try:
            yield manager
        finally:
            manager.send("TE")
            thread.join(120)
            over.set()
            rest.shutdown()
            server.shutdown()
        assert not thread.is_alive()
        while loop.is_running():
            time.sleep(0.01)
        loop.close()  # NNI leaves it open
