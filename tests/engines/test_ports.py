from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest

from autoad_nni.engines.nnictl.ports import UnusablePort, reserved_port

PORTS = range(21000, 21400)
HOLD = """
import sys
from autoad_nni.engines.nnictl.ports import reserved_port
with reserved_port([int(sys.argv[1])]):
    print("held", flush=True)
    sys.stdin.read()
"""


def listening(address: str, port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
    server.bind((address, port))
    server.listen()
    return server


def test_ports_reserved_at_the_same_time_differ() -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(reserved_port(PORTS)) for _ in range(5)]
    assert len(set(ports)) == 5
    with reserved_port([ports[0]]) as port:
        assert port == ports[0], "given back with the block"


def test_a_server_can_listen_on_a_reserved_port() -> None:
    with reserved_port(PORTS) as port, closing(listening("127.0.0.1", port)):
        pass


def test_another_process_keeps_its_port_until_it_is_killed() -> None:
    with reserved_port(PORTS) as port:
        pass
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with reserved_port(range(port, port + 50)) as other:
            assert other > port
        process.kill()
        process.wait()
        with reserved_port([port]) as again:
            assert again == port


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_on_which_something_listens_is_passed_over(address: str) -> None:
    with reserved_port(PORTS) as port:
        pass
    with closing(listening(address, port)), reserved_port(range(port, port + 50)) as other:
        assert other > port


def test_connections_of_an_ended_server_do_not_keep_its_port() -> None:
    with reserved_port(PORTS) as port:
        server = listening("127.0.0.1", port)
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        accepted, _ = server.accept()
        accepted.close()  # by the server first: the system remembers the connection for a minute
        client.recv(1)
    server.close()
    with reserved_port([port]) as again:
        assert again == port


def test_no_free_port_is_one_line() -> None:
    with reserved_port(PORTS) as port:
        ports = [port, port + 1]
        with closing(listening("127.0.0.1", port + 1)), pytest.raises(UnusablePort) as caught, reserved_port(ports):
            pass
    message = caught.value.on_command_line()
    assert message == f"no port from {port} to {port + 1} is free. Expected one. Give a free one with --port."
