"""What ``launch`` and nnictl need: commands, ports; and which of NNI's servers others can reach."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoad_nni.doctor.findings import Finding, Level
from autoad_nni.engines.nnictl.ports import PORTS, UnusablePort, reserved_port

__all__ = ["commands", "free_port", "node", "open_servers"]


def commands() -> Iterator[Finding]:
    """Find nnictl, and the program that the trials of a bare nnictl would run."""
    here = Path(sys.executable).parent
    if not (here / "nnictl").exists():
        yield Finding(
            Level.FAILURE, f"nnictl is not beside this Python, in {here}", "pip install --force-reinstall nni"
        )
    on_path = shutil.which("autoad-nni")
    if on_path is not None and Path(on_path).resolve().parent == here.resolve():
        yield Finding(Level.OK, f"trials of nnictl run {on_path}")
        return
    yield Finding(
        Level.WARNING,
        f"autoad-nni on PATH is {on_path or 'missing'}, this one is in {here}: 'search' and 'launch' use this one, "
        "trials of a bare 'nnictl create' the one on PATH",
        f"Activate the environment: . {here / 'activate'}",
    )


def node() -> Iterator[Finding]:
    """Start the Node.js that NNI brings along."""
    import nni_node

    program = Path(str(nni_node.__path__[0])) / "node"
    ended = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    if ended.returncode:
        yield Finding(
            Level.FAILURE,
            f"NNI's server cannot start: {program} ended with {ended.returncode}",
            "'search' works without it. NNI 3.0 has Node.js for Linux, macOS and Windows on x86-64.",
        )
    else:
        yield Finding(Level.OK, f"NNI's server runs on Node.js {ended.stdout.strip()}")


def free_port() -> Iterator[Finding]:
    """Find a port for ``launch``."""
    try:
        with reserved_port(PORTS) as port:
            yield Finding(Level.OK, f"'launch' would take port {port}")
    except UnusablePort as error:
        yield Finding(Level.FAILURE, str(error), "Stop experiments that have ended: nnictl stop --all")


def open_servers() -> Iterator[Finding]:
    """Name NNI's servers that other machines can reach."""
    import psutil

    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            is_server = any(Path(word).parts[-2:] == ("nni_node", "main.js") for word in words)
            listening = [each for each in _connections(process) if each.status == "LISTEN"] if is_server else []
        except psutil.Error:  # it has ended, or is another user's
            continue
        experiment = words[words.index("--experiment-id") + 1] if "--experiment-id" in words else "?"
        for each in listening:
            what = f"NNI's server of experiment {experiment}, process {process.pid}, listens on {each.laddr.ip}"
            if ipaddress.ip_address(each.laddr.ip).is_loopback:
                yield Finding(Level.OK, f"{what}:{each.laddr.port}, this machine only")
            else:
                yield Finding(
                    Level.WARNING,
                    f"{what}:{each.laddr.port}: who reaches that can run code as {_user(process)}",
                    f"End it, nnictl stop {experiment}, and go on with: autoad-nni launch --resume {experiment}",
                )


def _connections(process: Any) -> list[Any]:
    # psutil 6 renamed it.
    method = getattr(process, "net_connections", None) or process.connections
    return list(method(kind="tcp"))


def _user(process: Any) -> str:
    try:
        return str(process.username())
    except Exception:  # no name for the number
        return f"user {os.getuid()}"
