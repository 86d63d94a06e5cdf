"""Finds a port for NNI's server, and keeps other launches off it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from autoad_nni.engines.nnictl.experiments import has_server, known_experiments
from autoad_nni.errors import AutoADError

__all__ = ["PORTS", "UnusablePort", "reserved_port", "unusable_port"]

PORTS = range(8080, 8181)
"""Those that ``launch`` takes the first free one of."""

_LOOPBACK = "127.0.0.1"


class UnusablePort(AutoADError):
    """NNI's server cannot listen on a port."""


@contextmanager
def reserved_port(ports: Sequence[int]) -> Iterator[int]:
    """Yield the first port on which NNI's server can listen, and keep it from other launches within the block.

    The server listens seconds after its port was chosen. Until then the UDP port of the same number stands for it: the
    system gives that to one process at a time, of whatever user, and takes it back when the process ends, however that
    happens. NNI itself uses no UDP.

    Args:
        ports: The port that the user wants, or several to choose from.

    Raises:
        UnusablePort: If none of them can be used.
    """
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as claim:
            fault = _bind(claim, port) or _try_to_listen(port)
            if not fault:
                yield port
                return
    if len(ports) == 1:
        raise unusable_port(ports[0], fault)
    raise UnusablePort(f"no port from {ports[0]} to {ports[-1]} is free. Expected one. Give a free one with [[port]].")


def unusable_port(port: int, fault: int = errno.EADDRINUSE) -> UnusablePort:
    """Make the error for a port on which NNI's server cannot listen; it names the experiment that has the port."""
    known = known_experiments().items()
    owner = next((name for name, entry in known if entry["port"] == port and has_server(name)), None)
    if owner is not None:
        reason, advice = f"is in use by experiment {owner}", f", or end that experiment: nnictl stop {owner}"
    elif fault == errno.EADDRINUSE:
        reason, advice = "is in use by another program", "."
    else:
        reason, advice = f"cannot be used: {os.strerror(fault)}", "."
    return UnusablePort(
        f"port {port} {reason}. Expected a port on which nothing listens. Give another one with [[port]], or leave "
        f"[[port]] out for the first free one{advice}"
    )


def _bind(claim: socket.socket, port: int) -> int:
    """Return 0, or the number of the system's error."""
    try:
        claim.bind((_LOOPBACK, port))
    except OSError as error:
        return error.errno or errno.EADDRINUSE
    return 0


def _try_to_listen(port: int) -> int:
    """Return 0, or the number of the system's error."""
    with socket.socket() as probe:
        # As NNI's server does: what the system remembers of the connections of an ended server is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if fault := _bind(probe, port):
            return fault
    with socket.socket() as probe:  # not every system refuses to bind beside a server that has all interfaces
        return errno.EADDRINUSE if probe.connect_ex((_LOOPBACK, port)) == 0 else 0
