"""The machine: processor, memory, GPU, disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autoad_nni.data.cache import CacheFolder, cache_folder
from autoad_nni.doctor.findings import Finding, Level
from autoad_nni.errors import AutoADError

__all__ = ["cache", "disk", "gpu", "memory"]

_GIB = 2**30
# A winner of several weighs some hundred megabytes, the models of a search while it goes on a few times that.
_LEAST_DISK, _LITTLE_DISK = 1 * _GIB, 5 * _GIB
# A search over solar cells peaks at 2.9 GB (experiments/RESULTS.md).
_LITTLE_MEMORY = 4 * _GIB


def memory() -> Iterator[Finding]:
    """Count cores and free memory."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = psutil.virtual_memory().available
    what = f"{cores} core{'' if cores == 1 else 's'}, {free / _GIB:.1f} GiB of memory free"
    if free < _LITTLE_MEMORY:
        yield Finding(Level.WARNING, what, "A search in 224 x 224 pixels takes 3 GiB: end other programs, or give "
                      "--max-memory and a smaller --image-size.")  # fmt: skip
    else:
        yield Finding(Level.OK, what)


def gpu() -> Iterator[Finding]:
    """Ask torch for a GPU, and compare with what the system says."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        yield Finding(Level.OK, f"{len(names)} GPU: {', '.join(names)}")
        if len(names) == 1:
            yield Finding(
                Level.NOTE,
                "one GPU: NNI never starts a trial with trialGpuNumber: 1 on such a machine",
                "In files for launch or nnictl leave trialGpuNumber out, or set maxTrialNumberPerGpu: 2.",
            )
    elif shutil.which("nvidia-smi"):
        yield Finding(
            Level.WARNING,
            f"there is an NVIDIA driver, but torch {torch.__version__} sees no GPU",
            "Run nvidia-smi; install a torch for CUDA that this driver supports.",
        )
    else:
        yield Finding(Level.OK, "no GPU: trials run on the processor")


def disk() -> Iterator[Finding]:
    """Write a file where searches write, and see how much is free."""
    for name, folder in {
        "this folder": Path.cwd(),
        "the temporary folder": Path(tempfile.gettempdir()),
        "the home folder, where NNI keeps experiments": Path.home(),
    }.items():
        yield _folder(name, folder, Level.FAILURE)


def cache() -> Iterator[Finding]:
    """See whether decoded images and features can be kept."""
    folder = cache_folder()
    try:
        limit = CacheFolder("images").max_bytes
    except AutoADError as error:
        yield Finding(Level.FAILURE, str(error), "unset AUTOAD_NNI_CACHE_MB")
        return
    if not limit:
        yield Finding(Level.NOTE, "AUTOAD_NNI_CACHE_MB is 0: images are decoded anew by every trial of launch")
        return
    exists = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    # Without a cache a search is slower, not wrong.
    yield _folder(f"the cache, {limit / _GIB:.1f} GiB at most", exists, Level.WARNING)


def _folder(name: str, folder: Path, level: Level) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            level, f"{name}, {folder}: {error.strerror}", "Make it writable, free space, or use another folder."
        )
    what = f"{name}, {folder}: {free / _GIB:.1f} GiB free"
    if free < _LEAST_DISK:
        return Finding(level, what, "A search needs 1 GiB: free some.")
    return Finding(
        Level.WARNING if free < _LITTLE_DISK else Level.OK, what, "" if free >= _LITTLE_DISK else "Free some."
    )
