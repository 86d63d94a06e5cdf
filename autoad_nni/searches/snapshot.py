"""The state of a strategy beside the journal, so that resuming a long search takes no longer than a short one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from autoad_nni.searches.journal import Journal
from autoad_nni.tensor_files import read_tensors, write_tensors

__all__ = ["Snapshot", "read_snapshot", "snapshot_path", "write_snapshot"]

_FORMAT = 1
_TENSOR = "__tensor__"


class Snapshot(NamedTuple):
    """What a strategy's ``state_dict`` gave when it had taken all results so far; trials may run.

    Attributes:
        state: Plain JSON and tensors.
        n_events: How many events of the journal are behind it.
        iterations_before: Iterations of earlier strategies of the same search, which a replay that differed ended.
    """

    state: dict[str, Any]
    n_events: int
    iterations_before: int


def snapshot_path(journal: Journal) -> Path:
    """Return where the snapshot of a search is: beside its journal."""
    return journal.path.with_name("strategy.safetensors")


def write_snapshot(journal: Journal, state: dict[str, Any], *, iterations_before: int) -> None:
    """Write the state of a strategy after all that the journal holds, atomically.

    Args:
        journal: Of the search.
        state: Plain JSON and tensors.
        iterations_before: See `Snapshot`.

    Raises:
        StorageError: If the disk refuses.
        TypeError: If the state holds something else.
    """
    tensors: dict[str, Tensor] = {}
    notes = {
        "format": _FORMAT,
        "n_events": journal.n_events,
        "journal": journal.digest(journal.n_events),
        "iterations_before": iterations_before,
        "state": _without_tensors(state, tensors),
    }
    write_tensors(snapshot_path(journal), tensors, **notes)


def read_snapshot(journal: Journal) -> Snapshot | None:
    """Read the snapshot of a search; None if there is none that fits, as the journal alone is enough to go on.

    It fits the journal that begins with the same bytes. The first of its lines names the version and all plugins.
    """
    try:
        tensors, notes = read_tensors(snapshot_path(journal))
        n_events = notes["n_events"]
        if notes["format"] != _FORMAT or notes["journal"] != journal.digest(n_events):
            return None
        return Snapshot(_with_tensors(notes["state"], tensors), n_events, notes["iterations_before"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return plain JSON, with names in the place of tensors, which are put into ``tensors``."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {name: _without_tensors(part, tensors) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(part, tensors) for part in value]
    return value


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {name: _with_tensors(part, tensors) for name, part in value.items()}
    return [_with_tensors(part, tensors) for part in value] if isinstance(value, list) else value
