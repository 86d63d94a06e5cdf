"""Reads NNI's messages as plain JSON: NNI's own decoder imports classes and unpickles what it finds in them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import nni
from nni.runtime.command_channel.websocket import connection
from nni.runtime.trial_command_channel import local_legacy, v3

__all__ = ["next_parameters", "receive_command"]


def receive_command(channel: connection.WsConnection) -> Any:
    """Wait for the next command that NNI's manager sends to the advisor."""
    return json.loads(connection._wait(channel._ws.recv()))


def next_parameters() -> dict[str, Any]:
    """Ask NNI's manager for the parameters of the running trial.

    Returns:
        ``{"parameter_id": ..., "parameters": {label: value}, ...}``, what the trial's reports are filed under.
    """
    v3.nni = SimpleNamespace(load=json.loads, dump=nni.dump)
    local_legacy.load = lambda *, fp: json.load(fp)
    nni.get_next_parameter()
    record: dict[str, Any] = nni.trial._params
    return record
