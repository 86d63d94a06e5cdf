"""Runs part of a check in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoad_nni.testing.checking import Factory, P, expect

__all__ = ["in_new_process"]

# The path first: the plugin may lie in a folder that only pytest has put there.
_CHILD = (
    "import json, sys; request = json.load(sys.stdin); sys.path[:] = request['path']; "
    "from autoad_nni.testing.new_process import _answer; _answer(request)"
)


def in_new_process(function: Callable[[Factory[P]], Tensor], plugin: Factory[P]) -> Tensor:
    """Return ``function(plugin)`` computed by a new Python process, from seed 0, as float64.

    The process imports both by module and name, so both are a class or a function at the top level of a module.
    It has one thread, and hashes strings otherwise than this one.

    Args:
        function: Gives a tensor of one dimension.
        plugin: Makes the plugin.

    Example:
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> from autoad_nni.testing.distance_checks import scores_of_fixed_images
        >>> in_new_process(scores_of_fixed_images, L1Distance).shape
        torch.Size([5])
    """
    path = [str(folder) for folder in sys.path]
    request = {"path": path, "function": _address(function), "plugin": _address(plugin)}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], input=json.dumps(request), capture_output=True, text=True, env=environment
    )
    reason = (child.stderr.strip().splitlines() or ["no output"])[-1]
    expect(child.returncode == 0, f"the new process ended with {child.returncode}: {reason}")
    return torch.tensor(json.loads(child.stdout.splitlines()[-1]), dtype=torch.float64)


def _address(thing: Any) -> tuple[str, str]:
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    importable = module is not None and module != "__main__" and name is not None and "<" not in name
    expect(
        importable,
        f"{name or repr(thing)} of {module}, which another process cannot import. Give the contract a class or a "
        "function that stands at the top level of a module, not a local one, a lambda or an instance",
    )
    return str(module), str(name)


def _find(address: tuple[str, str]) -> Any:
    thing: Any = importlib.import_module(address[0])
    for name in address[1].split("."):
        thing = getattr(thing, name)
    return thing


def _answer(request: dict[str, Any]) -> None:
    """In the new process: print the result as its last line."""
    torch.set_num_threads(1)
    function, plugin = _find(request["function"]), _find(request["plugin"])
    torch.manual_seed(0)
    print(json.dumps(function(plugin).tolist()))
