"""Runs part of a check in another process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from autoad_nni.testing.checking import Plugin, expect

__all__ = ["in_new_process"]

# The path first: the plugin may lie in a folder that only pytest has put there.
_SERVER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from autoad_nni.testing import defect_checks, distance_checks, feature_checks, hypothesis_checks, new_process; "
    "new_process._serve()"
)
# The libraries of macOS may crash in a forked process.
_FORKS = hasattr(os, "fork") and sys.platform != "darwin"


def in_new_process(function: Callable[[Plugin], Tensor], plugin: Plugin) -> Tensor:
    """Return ``function(plugin)`` computed by a new Python process, from seed 0, as float64.

    The process imports both by module and name, so both are a class or a function at the top level of a module.
    It has one thread, and hashes strings otherwise than this one. To save the seconds of importing torch it is forked,
    where that is safe, from a process that has imported torch and the checks but no plugin. That one starts at the
    first call and ends with this process.

    Args:
        function: Gives a tensor of one dimension.
        plugin: Makes the plugin; may be a ``functools.partial`` with keywords that are paths, numbers or flags.

    Example:
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> from autoad_nni.testing.distance_checks import scores_of_fixed_images
        >>> in_new_process(scores_of_fixed_images, L1Distance).shape
        torch.Size([5])
    """
    made = plugin if isinstance(plugin, functools.partial) else functools.partial(plugin)
    request = {
        "function": _address(function),
        "plugin": _address(made.func),
        "keywords": {name: str(each) if isinstance(each, Path) else each for name, each in made.keywords.items()},
        "path": _path(),
        "folder": os.getcwd(),
        "environment": _environment(),
    }
    return torch.tensor(_usable_server().ask(request), dtype=torch.float64)


def _address(thing: Any) -> tuple[str, str]:
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    importable = module is not None and module != "__main__" and name is not None and "<" not in name
    expect(
        importable,
        f"{name or repr(thing)} of {module}, which another process cannot import. Give the contract a class or a "
        "function that stands at the top level of a module, not a local one, a lambda or an instance",
    )
    return str(module), str(name)


def _path() -> list[str]:
    return [str(folder) for folder in sys.path]


def _environment() -> dict[str, str]:
    """This process's, without its seed of hashes, and with one thread for all libraries: none runs during a fork."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"} | {"OMP_NUM_THREADS": "1"}


class _Server:
    """The process that answers requests."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, json.dumps(_path())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=_environment(),
        )  # fmt: skip
        atexit.register(self.end)

    def is_usable(self) -> bool:
        """Whether it runs, takes more than one request, and was started by this process and not by its parent."""
        return _FORKS and self._owner == os.getpid() and self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> list[float]:
        """Return the numbers that the function gave."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._errors.seek(0)
        self._errors.truncate()
        with contextlib.suppress(BrokenPipeError):  # it has ended; the empty answer says so
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        code, numbers = json.loads(line) if line else (self._process.wait(), [])
        self._errors.seek(0)
        reason = (self._errors.read().strip().splitlines() or ["no output"])[-1]
        expect(code == 0 and line != "", f"the new process ended with {code}: {reason}")
        return list(numbers)

    def end(self) -> None:
        """Close its input, and wait until it has ended."""
        atexit.unregister(self.end)
        self._errors.close()
        if self._owner == os.getpid():
            self._process.communicate()


_server: _Server | None = None


def _usable_server() -> _Server:
    global _server
    if _server is None or not _server.is_usable():
        if _server is not None:
            _server.end()
        _server = _Server()
    return _server


def _serve() -> None:
    """In the server: answer each line of its input by exit code and numbers."""
    torch.set_num_threads(1)
    requests, answers = _take_streams()
    for line in requests:
        request = json.loads(line)
        print(json.dumps(_fork(request) if _FORKS else (0, _answer(request))), file=answers, flush=True)


def _take_streams() -> tuple[TextIO, TextIO]:
    """Return the input and the output for messages only: a plugin that reads or prints gets and disturbs nothing."""
    taken = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return taken


def _fork(request: dict[str, Any]) -> tuple[int, list[float]]:
    """Return exit code and numbers of a fork of this process that computes the answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            numbers = _answer(request)
            with open(writing, "w") as file:
                json.dump(numbers, file)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with open(reading) as file:
        written = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, json.loads(written) if code == 0 else []


def _answer(request: dict[str, Any]) -> list[float]:
    """Compute what was asked for, with path, folder and environment of the process that asks."""
    sys.path[:] = request["path"]
    importlib.invalidate_caches()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    function, plugin = _find(request["function"]), _find(request["plugin"])
    keywords = {name: Path(each) if isinstance(each, str) else each for name, each in request["keywords"].items()}
    torch.manual_seed(0)
    numbers: list[float] = function(functools.partial(plugin, **keywords)).tolist()
    return numbers


def _find(address: tuple[str, str]) -> Any:
    thing: Any = importlib.import_module(address[0])
    for name in address[1].split("."):
        thing = getattr(thing, name)
    return thing
