"""What the cache of decoded images gains: loading a set of 1024-pixel files without, into, and from it.

    python benchmarks/image_cache.py

60 RGB files of 1024 x 1024 pixels, as MVTec-AD has them: upscaled patches of the photographs in scikit-image, with
noise, so that they compress about as photographs do. Loaded at 224 pixels; each way in turn, medians of three.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from autoad_nni.data import ImageShape, SourceOptions, TaskOptions, load_task
from autoad_nni.data.sources.photos import Photos

N_TRAIN, N_TEST, SIDE = 48, 12, 1024


def write_set(root: Path) -> int:
    """Writes the set; returns the bytes of all files."""
    rng = np.random.default_rng(0)
    patches = Photos(SourceOptions()).read(np.arange(N_TRAIN + N_TEST), ImageShape(3, 64, 64))
    size = 0
    for number, patch in enumerate(patches):
        small = Image.fromarray((patch.permute(1, 2, 0) * 255).byte().numpy())
        pixels = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.float32)
        pixels += rng.normal(0, 3, pixels.shape)
        kind = "train/good" if number < N_TRAIN else ("test/good", "test/dent")[number % 2]
        path = root / kind / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, compress_level=6)
        size += path.stat().st_size
    return size


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        size = write_set(Path(folder, "set"))
        options = TaskOptions(data="folder", root=Path(folder, "set"), image_size=224)

        def seconds(megabytes: int, cache: str) -> float:
            os.environ.update(AUTOAD_NNI_CACHE=str(Path(folder, cache)), AUTOAD_NNI_CACHE_MB=str(megabytes))
            started = time.perf_counter()
            load_task(options)
            return time.perf_counter() - started

        load_task(options)  # the files are in the system's own cache from here on
        rounds = [(seconds(0, "none"), seconds(1000, f"new-{i}"), seconds(1000, f"new-{i}")) for i in range(3)]
    without, filling, using = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{N_TRAIN + N_TEST} files of {SIDE} x {SIDE}, {size / 1e6:.0f} MB, at 224 pixels")
    print(
        f"without a cache {without:.2f} s; filling it {filling / without:.2f} of that, using it {using / without:.3f}"
    )


if __name__ == "__main__":
    main()
