"""What is made of nnictl's lines: those of real runs, shortened."""

from __future__ import annotations

import pytest

from autoad_nni.engines.nnictl.nnictl_process import NnictlFailed, NnictlOutput
from autoad_nni.errors import AutoADError

BEGIN = """\
[2026-11-28 10:46:21] Creating experiment, Experiment ID: 0efc9izj
[2026-11-28 10:46:24] INFO (NNIManager) Change NNIManager status from: INITIALIZED to: RUNNING
[2026-11-28 10:46:26] ERROR (TrainingServiceCompat) No parameters available
"""
UNREACHABLE = """\
ConnectionRefusedError: [Errno 111] Connection refused
urllib3.exceptions.MaxRetryError: HTTPConnectionPool(host='localhost', port=18339): Max retries exceeded
requests.exceptions.ConnectionError: HTTPConnectionPool(host='localhost', port=18339): Max retries exceeded
[2026-11-28 10:46:38] Experiment stopped.
"""


@pytest.mark.parametrize(
    ("lines", "code", "kind", "message"),
    [
        (
            "[2026-11-28 10:46] INFO (ShutdownManager) Initiate shutdown: training service initialize failed\n"
            "[2026-11-28 10:46] ERROR (TrainingServiceCompat) Training srevice initialize failed: Error: ECONNREFUSED\n"
            "[2026-11-28 10:46] INFO (NNIManager) Change NNIManager status from: RUNNING to: STOPPING\n" + UNREACHABLE,
            1,
            NnictlFailed,
            "NNI's server gave up: Training srevice initialize failed: Error: ECONNREFUSED. Expected it to run until "
            "the last trial has ended. Correct trainingService in the experiment file.",
        ),
        (
            "[2026-11-28 10:46] INFO (ShutdownManager) Initiate shutdown: REST request\n"
            "[2026-11-28 10:46] INFO (NNIManager) Change NNIManager status from: RUNNING to: STOPPING\n" + UNREACHABLE,
            1,
            AutoADError,
            "the server of experiment 0efc9izj, or its dispatcher, was stopped from outside. Expected both to run "
            "until the last trial has ended. Go on with: autoad-nni launch --resume 0efc9izj",
        ),
        (
            "Error: Cannot find module 'express'\n" + UNREACHABLE,
            1,
            NnictlFailed,
            "nnictl create failed with exit code 1: Error: Cannot find module 'express'",
        ),
        (
            "[2026-11-28 10:46] ERROR (NNIRestHandler) NNIError: Datastore error: disk full\n"
            "requests.exceptions.HTTPError: 500 Server Error: Internal Server Error for url: http://localhost:18339\n",
            1,
            NnictlFailed,
            "nnictl create failed with exit code 1: NNIError: Datastore error: disk full",
        ),
        (
            "[2026-11-28 10:46] ERROR (NNIManager) Dispatcher error: the strategy broke\n"
            "[2026-11-28 10:46] INFO (NNIManager) Change NNIManager status from: RUNNING to: ERROR\n",
            0,
            AutoADError,
            "experiment 0efc9izj ended in ERROR: the strategy broke. See its log/dispatcher.log.",
        ),
    ],
)
def test_the_reason_is_found_in_one_line(lines: str, code: int, kind: type[AutoADError], message: str) -> None:
    output = NnictlOutput()
    for line in (BEGIN + lines).splitlines():
        output.read(line)
    with pytest.raises(AutoADError) as caught:
        output.raise_fault("create", code)
    assert (type(caught.value), str(caught.value)) == (kind, message)


def test_an_experiment_that_ends_well_has_no_fault() -> None:
    output = NnictlOutput()
    for line in (BEGIN + "[2026-11-28 10:46] INFO (NNIManager) status from: DONE to: STOPPING").splitlines():
        output.read(line)
    output.raise_fault("create", 0)
