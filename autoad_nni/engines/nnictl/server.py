"""Waits for the server of an experiment, and stops it."""

from __future__ import annotations

import contextlib
import json
import time
from urllib.request import urlopen

from autoad_nni.engines.nnictl.experiments import has_server
from autoad_nni.engines.nnictl.nnictl_process import run_nnictl, server_gone
from autoad_nni.errors import AutoADError

__all__ = ["stop_server", "wait_for_end"]

_PAUSE_S = 2


def wait_for_end(experiment_id: str, port: int) -> None:
    """Wait until an experiment whose server listens on ``port`` has ended.

    ``nnictl resume --foreground`` does not wait, other than ``nnictl create --foreground``: it stops at once.

    Raises:
        AutoADError: If the experiment ended in ERROR, or somebody else ended its server.
    """
    status = ""
    while status != "DONE":
        time.sleep(_PAUSE_S)
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/nni/check-status", timeout=60) as response:
                status = str(json.load(response)["status"])
        except (OSError, ValueError):  # also when the server is only too busy to answer
            status = "" if has_server(experiment_id) else "STOPPED"
        if status == "ERROR":
            raise AutoADError(f"experiment {experiment_id} ended in ERROR. See its log/dispatcher.log for the reason.")
        if status == "STOPPED":
            raise server_gone(experiment_id)


def stop_server(experiment_id: str) -> None:
    """Stop the experiment's server and its trials, if it has one."""
    if has_server(experiment_id):
        # Ctrl-C in a terminal reaches nnictl too, which may be quicker.
        with contextlib.suppress(AutoADError):
            run_nnictl(["stop", experiment_id], echo=lambda line: None)
