"""An SSH server of the test's own on 127.0.0.1, and workers behind it: a Python and a home each."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from installed import install

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

_CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding remote
Subsystem sftp internal-sftp
"""
# Every command that comes over SSH starts with one of these two.
_PYTHON = """#!/bin/sh
echo "$*" >> {folder}/calls
export HOME={folder}/home PYTHONPATH={path} OMP_NUM_THREADS=1
exec {python} "$@"
"""
_COMMAND = """#!/bin/sh
exec {folder}/bin/python -m autoad_nni "$@"
"""


@contextmanager
def ssh_server(folder: Path) -> Iterator[dict[str, Any]]:
    """Runs the server, and yields how a machine of NNI's ``machineList`` logs in."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words, login = _prepare(folder, port)
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*words, "-D"], stderr=log) as process,
    ):
        try:
            _wait_for(port, process)
            yield login
        finally:
            sessions = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            for session in sessions:
                if session.is_running():
                    session.terminate()


@contextmanager
def tunnelled_ssh_server(folder: Path, manager_port: int) -> Iterator[dict[str, Any]]:
    """As `ssh_server`, on a machine whose network reaches nothing but NNI's port, through an SSH tunnel."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        port = server.getsockname()[1]
        words, login = _prepare(folder, port)
        alone = _started(stack, "unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep 600")
        inside = ["nsenter", f"--net=/proc/{alone.pid}/ns/net"]
        wait_for(lambda: "LOOPBACK,UP" in _printed(*inside, "ip", "link"), "network")
        sessions: list[subprocess.Popen[bytes]] = []
        stack.callback(lambda: [session.terminate() or session.wait() for session in sessions])

        def serve() -> None:
            with suppress(OSError):  # closed
                while True:
                    connection, _ = server.accept()
                    with connection, (folder / "log").open("a") as log:
                        pipes = {"stdin": connection, "stdout": connection, "stderr": log}
                        sessions.append(subprocess.Popen([*inside, *words, "-i"], **pipes))

        threading.Thread(target=serve, daemon=True).start()
        options = ("StrictHostKeyChecking=no", f"UserKnownHostsFile={folder}/known", "LogLevel=ERROR")
        tunnel = ["ssh", "-N", "-i", login["sshKeyFile"], "-p", str(port), *(f"-o{option}" for option in options)]
        forward = f"{manager_port}:127.0.0.1:{manager_port}"
        _started(stack, *tunnel, "-R", forward, f"{login['user']}@127.0.0.1")
        wait_for(lambda: f"127.0.0.1:{manager_port} " in _printed(*inside, "ss", "-ltn"), "tunnel")
        yield login


def _prepare(folder: Path, port: int) -> tuple[list[str], dict[str, Any]]:
    """Makes keys and configuration; returns the server's command and how to log in."""
    assert SSHD is not None
    folder.mkdir()
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # an sshd of root refuses to start without it
    login = {"host": "127.0.0.1", "port": port, "user": getpass.getuser(), "sshKeyFile": str(folder / "key")}
    return [SSHD, "-e", "-f", str(folder / "config")], login


def _started(stack: ExitStack, *words: str) -> subprocess.Popen[bytes]:
    process = stack.enter_context(subprocess.Popen(words))
    stack.callback(process.terminate)
    return process


def _printed(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout


def wait_for(reached: Callable[[], object], what: str = "", *, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.2)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert process.poll() is None, "sshd does not start"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, "sshd")


class Worker:
    """A machine of its own, as far as NNI sees: its Python has plugins that no other has, its home is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.site = folder / "site"
        for path in (self.home, self.site, folder / "bin"):
            path.mkdir(parents=True)
        path = os.pathsep.join([str(self.site), *(entry for entry in sys.path if entry)])
        for name, text in (("python", _PYTHON), ("autoad-nni", _COMMAND)):
            script = folder / "bin" / name
            script.write_text(text.format(folder=folder, path=path, python=sys.executable))
            script.chmod(0o755)

    def machine(self, login: dict[str, Any]) -> dict[str, Any]:
        """Its entry in NNI's ``machineList``."""
        return {**login, "pythonPath": str(self.folder / "bin")}

    def calls(self) -> list[str]:
        """What its Python was asked to do."""
        return (self.folder / "calls").read_text().splitlines()

    def trials(self) -> list[Path]:
        """The folders of the trials that it ran."""
        return list(self.home.glob("nni-experiments/*/environments/*/trials/*"))

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("HOME") == str(self.home):
                found.append(process)
        return found

    def running(self, words: str) -> list[psutil.Process]:
        """Its processes with these words in the command line, the youngest last."""
        found = [process for process in self.processes() if words in " ".join(process.cmdline())]
        return sorted(found, key=lambda process: process.create_time())

    def end(self) -> None:
        """End what is left of it."""
        for process in self.processes():
            process.kill()


def install_distance(site: Path) -> Path:
    """Install a distance, ``doubled``: twice `l1`."""
    source = (
        "from autoad_nni.models.distances.l1 import L1Distance\n\n\n"
        "class Doubled(L1Distance):\n"
        "    def map(self, reconstruction, images):\n"
        "        return 2 * super().map(reconstruction, images)\n"
    )
    points = "[autoad_nni.losses]\ndoubled = doubled_distance:Doubled\n"
    return install(site, "doubled-distance", "1.0", points, doubled_distance=source)


def listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses on which these processes listen."""
    found = set()
    for process in processes:
        if process.is_running():
            found |= {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    return found
