"""What TensorBoard shows of a trial and of a search: scalars, and a row of its hparams tab for each trial."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from itertools import count
from pathlib import Path
from typing import Any

from autoad_nni.storing import append_bytes, storing
from autoad_nni.trial.record import TrialRecord

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
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._append(step, [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()])

    def add_trial(self, record: TrialRecord) -> None:
        """Write a trial's sample, reward and time of one image for the hparams tab.

        The tab's other metrics are the last of the trial's scalars.

        The trial's own folder holds all of it, so that the trial is one run. torch's ``add_hparams`` makes another.

        Raises:
            StorageError: If the disk refuses.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        ended = time.time()
        status = api_pb2.STATUS_SUCCESS if record.ok else api_pb2.STATUS_FAILURE
        # Without a group_name: the tab joins those of one name, and equal samples may have been tried twice.
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=ended - record.seconds)
        for label, value in record.sample.items():
            _set_hparam(start.hparams[label], value)
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
        parts = {
            metadata.SESSION_START_INFO_TAG: plugin_data_pb2.HParamsPluginData(session_start_info=start),
            metadata.SESSION_END_INFO_TAG: plugin_data_pb2.HParamsPluginData(session_end_info=end),
        }
        values = [
            Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(part), tensor=metadata.NULL_TENSOR)
            for tag, part in parts.items()
        ]
        figures = {"reward": record.reward} | ({} if record.ms is None else {"ms": record.ms})
        values += [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._append(0, values)

    def _append(self, step: int, values: list[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

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


def _set_hparam(hparam: Any, value: Any) -> None:
    """Set a value of the three types that the tab knows; others are shown as JSON."""
    if isinstance(value, bool):
        hparam.bool_value = value
    elif isinstance(value, int | float):
        hparam.number_value = value
    else:
        hparam.string_value = value if isinstance(value, str) else json.dumps(value)


def _record(event: Any) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()
