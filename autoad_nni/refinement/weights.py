"""Weights of pretrained networks: a file of the user's, or downloaded when asked for.

A file is safetensors (by its ending, ``.safetensors``), or torch's format, as torchvision distributes its weights. That
one is read with ``weights_only=True``: tensors and plain containers, no code.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import torch
from torch import Tensor, nn

from autoad_nni.errors import AutoADError

__all__ = ["WeightsFile", "load_weights"]

# What torch and safetensors raise for files that are cut off, of another kind, or want to run code.
_UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, pickle.UnpicklingError)


class WeightsFile(NamedTuple):
    """Where the weights of a network come from.

    Attributes:
        network: Its name, for messages.
        option: The command's option for a file.
        url: torchvision's file.
    """

    network: str
    option: str
    url: str


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
            f"no weights of {source.network}. Expected {source.option} FILE or --download. Give the file of "
            f"{source.url.removeprefix('https://')}, or let --download fetch it."
        )
    where = source.url.rsplit("/", 1)[-1] if path is None else str(path)
    state = _download(source) if path is None else _read(path, source)
    _check(state, module.state_dict(), where, source)
    module.load_state_dict(state)


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
            f"{source.url.removeprefix('https://')}. Fetch the file by hand and give {source.option} FILE."
        ) from error


def _read(path: Path, source: WeightsFile) -> Any:
    if not path.is_file():
        raise AutoADError(f"{source.option} {path} is no file. Expected weights of {source.network}. Check the path.")
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
            f"{source.option} {path} cannot be read. Expected a state dict of {source.network} and nothing else, as "
            "safetensors or in torch's format. Fetch it again, or save module.state_dict()."
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
            f"{where} {fault}. Expected the state dict of {source.network}, as torchvision's "
            f"{source.url.rsplit('/', 1)[-1]}. Give that file as {source.option}."
        )
