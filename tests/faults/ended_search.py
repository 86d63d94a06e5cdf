"""What a search leaves, as far as every search of the same experiment leaves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli.run_command import Ended
from cli.small_experiment import history
from searches.small_search import proposed_and_ended


def without_seconds(content: Any) -> Any:
    """Plain JSON without the durations, which differ from run to run."""
    if isinstance(content, list):
        return [without_seconds(part) for part in content]
    if isinstance(content, dict):
        return {key: without_seconds(value) for key, value in content.items() if key not in ("seconds", "ms")}
    return content


def left_by(run: Path) -> dict[str, Any]:
    """All that is the same after every search, interrupted or not."""
    state = run / "state"
    return {
        "journal": [without_seconds(json.loads(line)) for line in proposed_and_ended(state / "journal.jsonl")],
        "history": history(run),
        "best": without_seconds(json.loads((run / "best.json").read_text())),
        "scores": json.loads((run / "scores.json").read_text()),
        "weights": (run / "best.safetensors").read_bytes(),
        "kept": {path.name: path.read_bytes() for path in state.glob("trial-*")},
        "iterations": (state / "iterations.jsonl").read_bytes(),
        "files": sorted(path.name for path in run.iterdir()),
        "hidden": [path.name for path in run.rglob(".*")],
    }


def check_resumed(ended: Ended, run: Path, expected: dict[str, Any], case: object) -> None:
    """Raise unless a resumed search ended well, and as one that was never interrupted."""
    assert (ended.code, ended.err) == (0, ""), (case, ended)
    left = left_by(run)
    for name, value in expected.items():
        assert left[name] == value, (case, name)


def check_one_line(ended: Ended, *parts: str, code: int | None = None) -> None:
    """Raise unless a command stopped with one line on stderr, and an exit code that says so."""
    assert ended.code > 0 and code in (None, ended.code), ended
    assert ended.err.count("\n") == 1 and ended.err.startswith("autoad-nni: "), ended.err
    for part in parts:
        assert part in ended.err, ended.err
