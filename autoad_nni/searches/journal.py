"""The append-only record of a search: what was submitted, how it ended, in the order in which the strategy saw it.

The journal is the whole state of a search. A strategy is a deterministic function of its seed, its space and the
order of the results, so a search is resumed by giving a fresh strategy the recorded results again (see
`autoad_nni.searches.replay`). That holds for every NNI strategy, also for those whose ``state_dict`` is incomplete.

Events: ``submit`` (a sample is proposed, and its trial begins), ``rung`` (a trial came to a rung, and goes on or not),
``end``; and of trials that had no end when a session ended: ``stop`` (it was stopped on purpose) and ``again`` (it
begins once more).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError
from autoad_nni.storing import append_line, file_changed, read_lines, storing
from autoad_nni.trial.record import TrialRecord

__all__ = ["Journal"]

Event = dict[str, Any]

_FORMAT = 2
_WIDTH = 120  # of a value in a message
_ATTEMPTS = {"submit": 1, "again": 1, "stop": -1, "rung": 0, "end": 0}


class Journal:
    """The journal of one search.

    Args:
        path: The JSONL file; created with its folder when missing.
        identity: What makes two searches the same: strategy, its arguments, seed, search space. Plain JSON.

    Raises:
        AutoADError: If the file belongs to a search with another identity, or was changed by hand.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        lines = read_lines(path)
        head = {"event": "search", "format": _FORMAT, **identity}
        if not lines:
            append_line(path, head)
        else:
            self._check_identity(lines[0], json.loads(json.dumps(head)))
            self._check_order(lines[1:])
        self.recorded: list[Event] = lines[1:]
        """The events of earlier sessions, oldest first."""
        self.n_events = len(self.recorded)
        """How many there are now."""
        self.clock: Callable[[], float] | None = None
        """Returns the seconds since the end before; set where several trials run at a time."""
        self._attempts = Counter[int]()
        for event in self.recorded:
            self._attempts[event["id"]] += _ATTEMPTS[event["event"]]

    def _check_identity(self, found: Event, expected: Event) -> None:
        # In the order of the identity: what the user wrote is named before what follows from it.
        for key in [*expected, *sorted(set(found) - set(expected))]:
            old, new = found.get(key), expected.get(key)
            if old != new:
                if isinstance(old, dict) and isinstance(new, dict):
                    part = next(part for part in [*new, *old] if old.get(part) != new.get(part))
                    key, old, new = f"{key}, {part}", old.get(part), new.get(part)
                if isinstance(old, list) and isinstance(new, list):
                    old, new = _around_the_difference(old, new)
                raise AutoADError(
                    f"{self.path} was recorded with {key} = {_short(old)}, this search has {_short(new)}. "
                    "A search is resumed only as it was: put the old value back, or start anew with another output "
                    "folder."
                )

    def _check_order(self, events: list[Event]) -> None:
        """Raise unless trials are submitted as 0, 1, 2, ... and each ends at most once, after its submission."""
        n_submitted, open_ids = 0, set[int]()
        for number, event in enumerate(events, 2):
            trial = event.get("id") if type(event.get("id")) is int else None
            if event.get("event") == "submit" and trial == n_submitted and isinstance(event.get("sample"), dict):
                open_ids.add(n_submitted)
                n_submitted += 1
            elif event.get("event") == "end" and trial in open_ids and _is_end(event):
                open_ids.remove(event["id"])
            elif trial in open_ids and (event.get("event") in ("stop", "again") or _is_rung(event)):
                pass
            else:
                raise file_changed(self.path, number, _short(event), "the next trial's submission or an end")

    def seconds_recorded(self) -> float:
        """Return what earlier sessions took: the time of their trials, or less if several ran at a time."""
        ends = [event for event in self.recorded if event["event"] == "end"]
        return float(sum(event.get("spent", TrialRecord.from_json(event["record"]).seconds) for event in ends))

    def submitted(self, trial_id: int, sample: Mapping[str, Any]) -> None:
        """Record that the strategy proposed a sample."""
        self._append("submit", trial_id, sample=dict(sample))

    def ended(self, record: TrialRecord) -> None:
        """Record how a trial ended."""
        spent = {} if self.clock is None else {"spent": round(self.clock(), 3)}
        self._append("end", record.number, record=record.to_json(), **spent)

    def came_to_rung(self, trial_id: int, rung: int, reward: float, *, goes_on: bool) -> None:
        """Record what a trial had reached at a rung, and whether it goes on."""
        self._append("rung", trial_id, rung=rung, reward=reward, goes_on=goes_on)

    def stopped(self, trial_id: int) -> None:
        """Record that a trial was stopped on purpose: it is no fault of its own that it has no end."""
        self._append("stop", trial_id)

    def begun_again(self, trial_id: int) -> None:
        """Record that a trial without an end begins once more."""
        self._append("again", trial_id)

    def attempts(self, trial_id: int) -> int:
        """Return how often a trial has begun without being stopped on purpose."""
        return self._attempts[trial_id]

    def digest(self, n_events: int) -> str:
        """Return the SHA-256 of the first line and of so many events."""
        lines = self.path.read_bytes().splitlines(keepends=True)[: n_events + 1]
        return hashlib.sha256(b"".join(lines)).hexdigest()

    def _append(self, event: str, trial_id: int, **more: Any) -> None:
        append_line(self.path, {"event": event, "id": trial_id, **more})
        self.n_events += 1
        self._attempts[trial_id] += _ATTEMPTS[event]


def _is_rung(event: Event) -> bool:
    rung, reward = event.get("rung"), event.get("reward")
    is_number = isinstance(reward, int | float) and not isinstance(reward, bool) and math.isfinite(reward)
    is_sound = type(rung) is int and rung >= 0 and is_number and isinstance(event.get("goes_on"), bool)
    return event.get("event") == "rung" and is_sound


def _is_end(event: Event) -> bool:
    spent = event.get("spent", 0.0)
    if isinstance(spent, bool) or not isinstance(spent, int | float) or not 0 <= spent < math.inf:
        return False
    try:
        return TrialRecord.from_json(event.get("record")).number == int(event["id"])
    except AutoADError:
        return False


def _around_the_difference(old: list[Any], new: list[Any]) -> tuple[list[Any], list[Any]]:
    """The part of two long lists around their first difference; of options, the name before a value too."""
    if max(len(_short(value)) for value in (old, new)) < _WIDTH:
        return old, new
    n_equal = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, n_equal - 1)
    return old[start : start + 3], new[start : start + 3]


def _short(value: Any, width: int = _WIDTH) -> str:
    text = json.dumps(value)
    return text if len(text) <= width else text[: width - 3] + "..."
