"""TensorBoard scalars of a trial and of a search."""

from __future__ import annotations

import io
import os
import socket
import time
from itertools import count
from pathlib import Path
from typing import Any

from autoad_nni.storing import append_bytes, storing

__all__ = ["ScalarWriter"]

_number = count()


class ScalarWriter:
    """Writes scalars; TensorBoard is imported at the first one, when training has begun long since.

    Each call is on disk when it returns: TensorBoard's own writer is a thread that prints a traceback when the disk is
    full.

    Args:
        folder: Where the event file goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def add(self, step: int, scalars: dict[str, float]) -> None:
        """Write one value per name.

        Raises:
            StorageError: If the disk refuses.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        with storing(self._folder):
            if self._path is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{next(_number)}"
                self._path = self._folder / name
                append_bytes(self._path, _record(Event(wall_time=time.time(), file_version="brain.Event:2")))
            append_bytes(self._path, _record(event))

    def add_iteration(self, figures: dict[str, float]) -> None:
        """Write the figures that a strategy gives of an iteration."""
        self.add(int(figures["iteration"]), {f"strategy/{name}": value for name, value in figures.items()})


def _record(event: Any) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()
