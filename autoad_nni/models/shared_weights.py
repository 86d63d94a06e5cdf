"""Weights that the trials of a search share (Eq. 3 of the paper), as files in a folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.storing import replace_file, storing

__all__ = ["SharedWeights"]

_State = dict[str, Tensor]


class SharedWeights:
    r"""The shared :math:`\omega`: one safetensors file per operation that learns. A trial reads first and writes last.

    An operation is a module that has learnable parameters itself (a convolution, a normalization). Models share it if
    it is the same one in the same place: equal path in the autoencoder (side and number of the layer), class, settings
    as in its ``extra_repr`` (channels, kernel, ...) and shapes. So any torch module works, and a space keeps two
    operations apart by different paths or settings. An operation that no earlier trial had starts fresh. The buffers of
    a module, like the running statistics of batch normalization, are shared with its parameters.

    Files are replaced as a whole: concurrent trials read the old or the new one, never half of each, and the last
    writer wins. A file also holds what its writer started from, so that a trial that was killed before its end was
    recorded starts from the same weights when it is repeated, and has the same result.

    Args:
        folder: Belongs to one search; made by the first `store`.
        trial: Name of the trial in the search; the same when it is repeated.

    Differs from the paper, which trains shared weights batch by batch, also in its self-imitation (Algorithm 1, lines
    9 and 20): here each trial trains them for its epochs, since a strategy trains nothing.

    Reference:
        Li et al., TNNLS 2022, Eq. 3; Pham et al., "Efficient Neural Architecture Search via Parameters Sharing",
        ICML 2018.

    Example:
        >>> import tempfile
        >>> first, second = nn.Sequential(nn.Conv2d(1, 8, 3)), nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     SharedWeights(Path(folder), "0").store(first)
        ...     n_taken = SharedWeights(Path(folder), "1").load_into(second)
        >>> torch.equal(first[0].weight, second[0].weight)
        True
    """

    def __init__(self, folder: Path, trial: str) -> None:
        self._folder = folder
        self._trial = trial

    @torch.no_grad()
    def load_into(self, autoencoder: nn.Module) -> int:
        """Replace fresh weights by shared ones, in place, where there are any.

        Returns:
            The number of operations with shared weights.

        Raises:
            AutoADError: A file cannot be read, or holds something else.
        """
        n_taken = 0
        for operation in _operations(autoencoder):
            start = self._start(operation)
            for name, tensor in operation.state.items():
                if start:
                    tensor.copy_(start[name])
            n_taken += bool(start)
        return n_taken

    def store(self, autoencoder: nn.Module) -> None:
        """Write the weights of a trained autoencoder for later trials.

        Raises:
            StorageError: A file cannot be written.
            AutoADError: An existing one cannot be read.
        """
        from safetensors.torch import save

        for operation in _operations(autoencoder):
            now = {name: tensor.detach().cpu().contiguous() for name, tensor in operation.state.items()}
            parts = {"now": now, "before": self._start(operation)}
            tensors = {f"{part}/{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
            path = self._folder / operation.file_name
            with storing(path, "Make room or give write access, or drop [[weight_sharing]]."):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, save(tensors, metadata={"operation": operation.key, "trial": self._trial}))

    def _start(self, operation: _Operation) -> _State:
        """What this trial starts from, also if it has written already; empty for fresh weights."""
        from safetensors import SafetensorError, safe_open

        path = self._folder / operation.file_name
        if not os.path.exists(path):
            return {}
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                part = "before/" if metadata.get("trial") == self._trial else "now/"
                names = [name for name in file.keys() if name.startswith(part)]  # noqa: SIM118  # no mapping
                state = {name.removeprefix(part): file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise _foreign(path, f"cannot be read: {' '.join(str(error).split()).rstrip('.')}") from None
        shapes = {name: tensor.shape for name, tensor in operation.state.items()}
        found = {name: tensor.shape for name, tensor in state.items()}
        if metadata.get("operation") != operation.key or (found != shapes and (found or part == "now/")):
            raise _foreign(path, f"does not hold weights of {operation.key}")
        return state


class _Operation:
    """A module that learns, with its parameters and buffers by name."""

    def __init__(self, path: str, module: nn.Module) -> None:
        persistent = module.state_dict(keep_vars=True)
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        self.state: _State = {name: tensor for name, tensor in own if name in persistent}
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in self.state.items())
        self.key = f"{path or 'autoencoder'}: {type(module).__qualname__}({module.extra_repr()}) with {shapes}"
        readable = re.sub(r"[^\w.-]", "_", f"{path or 'autoencoder'}-{type(module).__name__}", flags=re.ASCII)
        self.file_name = f"{readable[-80:]}-{hashlib.sha256(self.key.encode()).hexdigest()[:16]}.safetensors"


def _operations(autoencoder: nn.Module) -> Iterator[_Operation]:
    for path, module in autoencoder.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            yield _Operation(path, module)


def _foreign(path: Path, got: str) -> AutoADError:
    return AutoADError(
        f"{path} {got}. Expected what a trial with [[weight_sharing]] wrote. "
        "Delete the file: the operation then starts fresh."
    )
