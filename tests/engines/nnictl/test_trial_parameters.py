"""A trial under NNI, against an HTTP server that gives it the parameters of an attacker."""

from __future__ import annotations

import base64
import json
import os
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nni
import pytest
from cli.run_command import run


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return tmp_path / "made"


@pytest.fixture
def record(made: Path) -> str:
    code = {"__nni_type__": "bytes:" + base64.b64encode(pickle.dumps(Code(made))).decode()}
    record = json.dumps({"parameter_id": 0, "parameters": {"distance": code}})
    nni.load(record)
    assert made.exists(), "or these tests could not fail"
    made.rmdir()
    return record


@pytest.fixture
def manager(record: str) -> Iterator[str]:
    class Manager(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer({})

        def do_GET(self) -> None:
            if "/trial-jobs/" in self.path:
                self._answer({"hyperParameters": [record]})
            else:
                self._answer({"type": "parameter", "parameter": record})

        def _answer(self, content: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Manager) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/env/local/trial"
        server.shutdown()


@pytest.mark.parametrize("channel", ["http", pytest.param("files", marks=pytest.mark.slow)])
def test_parameters_are_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, manager: str, made: Path, channel: str
) -> None:
    """Over NNI's present channel, and over that of its older training services."""
    output = tmp_path / "environments" / "local" / "trials" / "job"
    output.mkdir(parents=True)
    (tmp_path / "parameter.cfg").write_text(record)
    names = {"NNI_PLATFORM": "local", "NNI_TRIAL_JOB_ID": "job", "NNI_EXP_ID": "experiment"}
    names |= {"NNI_OUTPUT_DIR": str(output), "NNI_SYS_DIR": str(tmp_path), "NNI_TRIAL_SEQ_ID": "0"}
    if channel == "http":
        names["NNI_TRIAL_COMMAND_CHANNEL"] = manager
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    ended = run("trial", "--data", "digits", "--abnormal", "photos", "--epochs", "1", "--threads", "1")
    assert ended.code == 2 and "Traceback" not in ended.err, ended
    assert "__nni_type__" in ended.err and len(ended.err.splitlines()) == 1
    assert not made.exists()
