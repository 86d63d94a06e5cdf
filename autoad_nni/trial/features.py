"""Features of a set of images: computed once, kept on disk, shared by trials and processes."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from autoad_nni.data.cache import CacheFolder
from autoad_nni.models.features import FeatureExtractor, FeatureMaps
from autoad_nni.models.surroundings import keeping_random_states
from autoad_nni.registry import FEATURES

__all__ = ["extract"]

# Part of every key: raised when a built-in extractor, or what is kept, changes.
_VERSION: Final = 2
# What safetensors and torch raise for a file that is cut off, of another kind, or gone.
_UNREADABLE: Final = (SafetensorError, OSError, RuntimeError, ValueError, LookupError)


def extract(
    extractor: FeatureExtractor,
    images: Tensor,
    stages: Sequence[int],
    *,
    name: str,
    batch: int = 32,
    cache: CacheFolder | None = None,
) -> FeatureMaps:
    """Return features of images, computed now or kept from before; only stages that are missing are computed.

    A stage is a file in the cache, and is memory-mapped; not in half precision, in which a last digit that another
    runtime computes otherwise becomes one in a thousand. It belongs to these images, the extractor with its version and
    weights, the stage, and the kind of device; one whose checksum is wrong counts as missing. With no cache, or on a
    disk that cannot be written, features are computed each time and stay in memory. Random states are left as they
    were, whether features were computed or not.

    Args:
        extractor: Computes where its parameters are.
        images: ``(n, 1 or 3, height, width)`` in [0, 1], on the CPU.
        stages: Strides of the stages that are wanted.
        name: What the extractor is registered as.
        batch: Images at a time.
        cache: Default: ``features`` in `autoad_nni.data.cache.cache_folder`.

    Returns:
        The features, finest stage first, float32, on the CPU.

    Raises:
        AutoADError: A stage that the extractor does not have, or ``$AUTOAD_NNI_CACHE_MB`` is not a number.

    Example:
        >>> from autoad_nni.models.features import load_extractor
        >>> features = extract(load_extractor("pixels"), torch.rand(10, 3, 16, 9), (4, 2), name="pixels")
        >>> [tuple(each.shape) for each in features.maps], features.image_size
        ([(10, 3, 8, 5), (10, 3, 4, 3)], (16, 9))
    """
    extractor.check_stages(stages)
    stages = sorted(set(stages))
    cache = cache or CacheFolder("features")
    device = next(extractor.parameters(), images).device
    keys = _keys(extractor, images, stages, name, device) if cache.max_bytes else {}
    found = {stage: _read(cache.find(key), images) for stage, key in keys.items()}
    maps = {stage: kept for stage, kept in found.items() if kept is not None}
    missing = [stage for stage in stages if stage not in maps]
    if missing:
        with keeping_random_states([device]):
            computed = _compute(extractor, images, missing, batch, device)
        for stage, of_stage in zip(missing, computed, strict=True):
            maps[stage] = _kept(cache, keys.get(stage), of_stage, images)
        cache.trim()
    height, width = images.shape[2:]
    return FeatureMaps(tuple(maps[stage] for stage in stages), (height, width))


def _compute(
    extractor: FeatureExtractor, images: Tensor, stages: Sequence[int], batch: int, device: torch.device
) -> list[Tensor]:
    """The maps of some stages of all images, on the CPU."""
    whole: list[Tensor] = []
    for begin in range(0, max(len(images), 1), batch):
        parts = extractor(images[begin : begin + batch].to(device), stages)
        whole = whole or [torch.empty(len(images), *part.shape[1:], dtype=torch.float32) for part in parts]
        for into, part in zip(whole, parts, strict=True):
            into[begin : begin + batch] = part
    return whole


def _kept(cache: CacheFolder, key: str | None, maps: Tensor, images: Tensor) -> Tensor:
    """The maps from the file to which they were written, so that memory is free again; as they are if there is none."""
    if key is None or maps.nbytes > cache.max_bytes:
        return maps
    cache.write(key, lambda path: _write(path, maps))
    stored = _read(cache.find(key), images)
    return maps if stored is None else stored


def _write(path: Path, maps: Tensor) -> None:
    try:
        save_file({"maps": maps}, path, metadata={"crc32": _checksum(maps)})
    except SafetensorError as error:  # no space, for instance
        raise OSError(str(error)) from error


def _read(path: Path | None, images: Tensor) -> Tensor | None:
    """The maps of a file, memory-mapped; None if there is none, or not a whole one of these images."""
    if path is None:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            maps: Tensor = file.get_tensor("maps")
            checksum = (file.metadata() or {}).get("crc32")
    except _UNREADABLE:
        return None
    is_right = maps.dtype == torch.float32 and maps.ndim == 4 and len(maps) == len(images)
    return maps if is_right and checksum == _checksum(maps) else None


def _checksum(maps: Tensor) -> str:
    return f"{zlib.crc32(_bytes_of(maps), zlib.crc32(str(tuple(maps.shape)).encode())):08x}"


def _bytes_of(tensor: Tensor) -> memoryview:
    numbers = tensor.contiguous().numpy().reshape(-1).view(np.uint8)
    return numbers.data


def _keys(
    extractor: FeatureExtractor, images: Tensor, stages: Sequence[int], name: str, device: torch.device
) -> dict[int, str]:
    version = FEATURES.origin(name).version if name in FEATURES.names() else ""
    common = f"{_VERSION} {name} {version} {extractor.weights} {device.type} {_digest(images)}"
    return {stage: hashlib.sha256(f"{common} {stage}".encode()).hexdigest() for stage in stages}


# A search asks for features of the same images in every trial: hashing 1,300 of 224 pixels takes a second.
_digests: MutableMapping[Tensor, tuple[int, str]] = WeakTensorKeyDictionary()


def _digest(images: Tensor) -> str:
    """A hash of shape and numbers."""
    version, digest = _digests.get(images, (-1, ""))
    if version != images._version:
        total = hashlib.sha256(f"{images.dtype} {tuple(images.shape)} ".encode())
        total.update(_bytes_of(images))
        version, digest = images._version, total.hexdigest()
        _digests[images] = (version, digest)
    return digest
