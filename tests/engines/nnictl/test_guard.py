"""Whom a server of NNI's own Node answers when our preload guards it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nni_node
import psutil
import pytest

from autoad_nni.engines.nnictl.guard import node_options

NODE = Path(nni_node.__file__).parent
# Answers requests and WebSockets as NNI's manager does: express and ws on one server.
SERVER = """
const server = require('http').createServer((request, answer) => answer.end('secret'));
const { WebSocketServer } = require('ws');
new WebSocketServer({ server }).on('connection', (socket) => socket.send('secret'));
server.listen(0, () => console.log(server.address().port));
"""
# Prints what reaches it.
ECHO = """
const server = require('http').createServer((request, answer) => {
  console.log(request.url);
  request.on('data', (body) => console.log(String(body)));
  answer.end('secret');
});
new (require('ws').WebSocketServer)({ server });
server.listen(0, () => console.log(server.address().port));
"""
UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


@contextmanager
def served(script: str, *, options: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    with subprocess.Popen(
        [str(NODE / "node"), "-e", script],
        cwd=NODE, env={**os.environ, "NODE_OPTIONS": options}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(SERVER, options=node_options()) as (port, _):
        yield port


def ask(port: int, headers: dict[str, str], *, line: str = "GET / HTTP/1.1", body: str = "") -> str:
    """What comes back before the server closes the connection, or has nothing to add to a secret."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        lines = [line, *(f"{name}: {value}" for name, value in headers.items()), f"Content-Length: {len(body)}"]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        received = b""
        while (part := connection.recv(4096)) and b"secret" not in received + part:
            received += part
        return (received + part).decode(errors="replace")


def own(port: int, name: str = "127.0.0.1") -> dict[str, str]:
    return {"Host": f"{name}:{port}"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
@pytest.mark.parametrize("upgrade", [False, True])
def test_programs_and_own_pages_are_answered(port: int, name: str, upgrade: bool) -> None:
    headers = own(port, name) | (UPGRADE if upgrade else {})
    assert "secret" in ask(port, headers)
    page = {"Origin": f"http://{name.lower()}:{port}", "Sec-Fetch-Site": "same-origin"}
    assert "secret" in ask(port, headers | page)
    assert "secret" in ask(port, headers | {"Sec-Fetch-Site": "none"}), "entered by hand"


@pytest.mark.parametrize(
    "foreign",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},  # a name that its owner let point to 127.0.0.1
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "0.0.0.0:{port}"},
        {"Host": "127.0.0.1:{port}.evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},  # another server on this machine
        {"Origin": "http://127.0.0.1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("upgrade", [False, True])
def test_pages_of_other_sites_are_refused(port: int, foreign: dict[str, str], upgrade: bool) -> None:
    headers = own(port) | (UPGRADE if upgrade else {})
    headers |= {name: value.format(port=port) for name, value in foreign.items()}
    answer = ask(port, headers)
    assert answer.startswith("HTTP/1.1 403 Forbidden") and "Connection: close" in answer and "secret" not in answer


def test_a_request_without_a_host_is_refused(port: int) -> None:
    assert ask(port, {}, line="GET / HTTP/1.0").startswith("HTTP/1.1 403 Forbidden")
    assert ask(port, UPGRADE, line="GET / HTTP/1.1").startswith("HTTP/1.1 4")


def test_a_post_without_a_preflight_is_refused(port: int) -> None:
    headers = own(port) | {"Content-Type": "text/plain", "Origin": "http://evil.example"}
    for more in ({}, {"Expect": "100-continue"}):
        answer = ask(port, headers | more, line="POST / HTTP/1.1", body='{"x": 1}')
        assert "403 Forbidden" in answer and "secret" not in answer


def test_the_site_that_nni_passes_on_is_refused(port: int) -> None:
    for path in ("/netron", "/netron/x", "//NETRON/"):
        assert ask(port, own(port), line=f"GET {path} HTTP/1.1").startswith("HTTP/1.1 403 Forbidden")


def test_listens_on_loopback_and_no_guard_would_answer_anybody(port: int) -> None:
    """The second half: the tests above can fail."""
    with served(SERVER, options="") as (open_port, _):
        foreign = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert "secret" in ask(open_port, foreign) and "secret" in ask(open_port, foreign | UPGRADE)
    connections = psutil.net_connections("tcp")
    (address,) = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    assert address == "127.0.0.1"


START = """
const { spawn } = require('child_process');
spawn('tensorboard', ['--bind_all --logdir_spec=0-a:/b', '--port=6006'], { shell: true, stdio: 'inherit' });
"""


def test_the_tensorboard_of_the_web_ui_listens_on_loopback(tmp_path: Path) -> None:
    """NNI starts it so (extensions/nniTensorboardManager.js)."""
    program = tmp_path / "tensorboard"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "NODE_OPTIONS": node_options(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(NODE / "node"), "-e", START], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.splitlines() == ["--host=127.0.0.1", "--logdir_spec=0-a:/b", "--port=6006"]


# Sends and closes at once: its socket is then listed as root's, or no more.
OTHER_USER = """
import os, socket, struct, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
port, ending = int(sys.argv[1]), sys.argv[2]
connection = socket.socket()
connection.connect(("127.0.0.1", port))
connection.sendall(f"GET /{ending} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n".encode())
if ending == "wait":
    print(connection.recv(4096).decode())
elif ending == "reset":
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
connection.close()
"""


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="needs root, to be another user")
def test_other_users_of_this_machine_are_refused() -> None:
    with served(ECHO, options=node_options()) as (port, process):
        for ending in ("wait", "close", "reset"):
            if ending != "wait":
                process.send_signal(signal.SIGSTOP)  # it looks when the other one is gone
            other = subprocess.run(
                [sys.executable, "-I", "-c", OTHER_USER, str(port), ending], capture_output=True, text=True, timeout=200
            )
            process.send_signal(signal.SIGCONT)
            assert other.returncode == 0, other.stderr
            assert ending != "wait" or other.stdout.startswith("HTTP/1.1 403 Forbidden"), other.stdout
        assert "secret" in ask(port, own(port), line="GET /ours HTTP/1.1")
        process.kill()
        assert process.stdout is not None and process.stdout.read() == "/ours\n", "no other request came through"
