"""The real trial; one that is stopped at a rung waits there until NNI's manager ends it, however long that takes."""

from __future__ import annotations

import json
import time
from typing import Any

import nni

from autoad_nni.cli import main
from autoad_nni.engines.nnictl.folders import nni_experiment_folder

report = nni.report_intermediate_result


def report_and_wait(figures: dict[str, Any]) -> None:
    """At a rung until the journal says that this trial goes on."""
    report(figures)
    asked = (nni.trial._params["parameter_id"], figures.get("rung"))
    journal = nni_experiment_folder() / "checkpoint" / "journal.jsonl"
    while "rung" in figures:
        # The last line may be written at this moment.
        events = [json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if any((event.get("id"), event.get("rung"), event.get("goes_on")) == (*asked, True) for event in events):
            return
        time.sleep(0.05)


if __name__ == "__main__":
    nni.report_intermediate_result = report_and_wait
    main()
