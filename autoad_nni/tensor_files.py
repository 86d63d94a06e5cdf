"""Files of tensors with a checksum: a damaged one is refused, not taken for another model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoad_nni.opening import open_regular, parse_json
from autoad_nni.storing import replace_file, storing

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_tensors", "write_tensors"]

_KEY = "autoad_nni"
_NO_DIGEST = "0" * 64


def write_tensors(path: Path, tensors: Mapping[str, Tensor], **notes: Any) -> None:
    """Write a safetensors file, atomically, with the SHA-256 of its bytes.

    Args:
        path: The file, replaced as a whole.
        tensors: On the CPU, contiguous, by name.
        notes: Plain JSON that goes with them.

    Raises:
        StorageError: If the disk refuses.
    """
    from safetensors.torch import save

    # One key: safetensors writes several in any order. The digest is that of the file with zeros in its place.
    content = save(dict(tensors), metadata={_KEY: json.dumps({"sha256": _NO_DIGEST, **notes})})
    digest = hashlib.sha256(content).hexdigest()
    with storing(path):
        replace_file(path, content.replace(_NO_DIGEST.encode(), digest.encode(), 1))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: tensors and notes.

    Raises:
        OSError: If the file is missing or cannot be read.
        ValueError: If it is damaged, or was not written by `write_tensors`; the message is the reason.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "some.safetensors")
        ...     write_tensors(path, {"a": torch.ones(2)}, of="trial 3")
        ...     whole = read_tensors(path)
        ...     content = bytearray(path.read_bytes())
        ...     content[-1] ^= 1
        ...     _ = path.write_bytes(content)
        ...     try:
        ...         read_tensors(path)
        ...     except ValueError as error:
        ...         print(whole, error)
        ({'a': tensor([1., 1.])}, {'of': 'trial 3'}) it does not match its checksum
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    with open_regular(path) as file:
        content = file.read()
    try:
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
        notes = parse_json(header["__metadata__"][_KEY])
        digest = notes.pop("sha256").encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("it has no checksum, or its beginning is damaged") from None
    at = content.find(digest)
    rest = memoryview(content)
    found = hashlib.sha256(rest[:at])
    found.update(_NO_DIGEST.encode())
    found.update(rest[at + len(digest) :])
    if at < 0 or found.hexdigest().encode() != digest:
        raise ValueError("it does not match its checksum")
    try:
        return load(content), notes
    except SafetensorError as error:
        raise ValueError(" ".join(str(error).split())) from None
