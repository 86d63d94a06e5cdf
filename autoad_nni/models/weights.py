"""Weights of pretrained networks: a file of the user's, or downloaded when asked for.

A file is safetensors (by its ending, ``.safetensors``), or torch's format, as torchvision distributes its weights. That
one is read with ``weights_only=True``: tensors and plain containers, no code.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import torch
from torch import Tensor, nn

from autoad_nni.errors import AutoADError

__all__ = ["WeightsFile", "check_is_file", "load_weights", "weights_id"]

# What torch and safetensors raise for files that are cut off, of another kind, or want to run code.
_UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, pickle.UnpicklingError)


class WeightsFile(NamedTuple):
    """Where the weights of a network come from.

    Attributes:
        network: Its name, for messages.
        argument: Which argument, and option of the command, takes a file.
        url: The file of those who trained it.
        ignored: Tensors that the file may have besides those of the network.
    """

    network: str
    argument: str
    url: str
    ignored: frozenset[str] = frozenset()


def load_weights(module: nn.Module, source: WeightsFile, path: Path | None, *, download: bool) -> None:
    """Fill a network with its weights.

    Args:
        module: Of the network; every tensor of it is overwritten.
        source: Which network, for messages; where its weights are.
        path: The file.
        download: Without a file: fetches it into torch's cache, where it is found the next time.

    Raises:
        AutoADError: Neither a file nor ``download``; the download fails; or the file is not there, cannot be read, or
            is of another network.
    """
    if path is None and not download:
        raise AutoADError(
            f"no weights of {source.network}. Expected [[{source.argument}=FILE]] or [[download=True]]. Give the file "
            f"of {source.url.removeprefix('https://')}, or let [[download=True]] fetch it."
        )
    where = source.url.rsplit("/", 1)[-1] if path is None else str(path)
    state = _download(source) if path is None else _read(path, source)
    if isinstance(state, dict):
        state = {name: value for name, value in state.items() if name not in source.ignored}
    _check(state, module.state_dict(), where, source)
    module.load_state_dict(state)


def weights_id(network: str, module: nn.Module) -> str:
    """Return the name of a network and the SHA-256 of the names, shapes and numbers of its tensors.

    It is the same whatever the format and the name of the file.

    Example:
        >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> _ = b.load_state_dict(a.state_dict())
        >>> weights_id("tiny", a) == weights_id("tiny", b), len(weights_id("tiny", a))
        (True, 69)
    """
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"{network} {total.hexdigest()}"


def _download(source: WeightsFile) -> Any:
    try:
        return torch.hub.load_state_dict_from_url(
            source.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except _UNREADABLE as error:
        if isinstance(error, HTTPError):
            error.close()
        # Not the unpickler's reason: it advises to switch its protection off.
        is_reason = isinstance(error, (OSError, RuntimeError))
        reason = " ".join(str(error).split()) if is_reason else "what was fetched is no state dict"
        raise AutoADError(
            f"cannot download the weights of {source.network}: {reason}. Expected a connection to "
            f"{source.url.removeprefix('https://')}. Fetch the file by hand and give "
            f"[[{source.argument}=FILE]]."
        ) from error


def check_is_file(path: Path, network: str, argument: str = "weights") -> None:
    """Raise AutoADError unless there is a file; messages name the network and the argument."""
    if not os.path.isfile(path):
        raise AutoADError(f"[[{argument}={path}]] is no file. Expected weights of {network}. Check the path.")


def _read(path: Path, source: WeightsFile) -> Any:
    check_is_file(path, source.network, source.argument)
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                return load_file(path)
            except SafetensorError as error:
                raise ValueError(str(error)) from error
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise AutoADError(
            f"[[{source.argument}={path}]] cannot be read. Expected a state dict of {source.network} and nothing else, "
            "as safetensors or in torch's format. Fetch it again, or save module.state_dict()."
        ) from error


def _check(state: Any, wanted: dict[str, Tensor], where: str, source: WeightsFile) -> None:
    fault = None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        fault = "holds no state dict"
    elif missing := [name for name in wanted if name not in state]:
        fault = f"lacks {len(missing)} tensors, {missing[0]} first"
    elif unknown := [str(name) for name in state if name not in wanted]:
        fault = f"has {len(unknown)} unknown tensors, {unknown[0]} first"
    else:
        for name, tensor in wanted.items():
            if state[name].shape != tensor.shape:
                fault = f"has {name} of shape {tuple(state[name].shape)} in place of {tuple(tensor.shape)}"
                break
    if fault:
        raise AutoADError(
            f"{where} {fault}. Expected the state dict of {source.network}, as in "
            f"{source.url.rsplit('/', 1)[-1]}. Give that file as [[{source.argument}]]."
        )
