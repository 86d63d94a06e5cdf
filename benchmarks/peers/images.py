"""The images of a task as files that a program in another environment reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoad_nni.data import Task
from autoad_nni.storing import storing

__all__ = ["write_images"]


def write_images(task: Task, folder: Path) -> None:
    """Write ``train.npy``, ``validation.npy`` and ``test.npy``; no labels and no masks leave this environment.

    Shape:
        ``(n, channels, height, width)`` float32 in [0, 1], the very numbers that a trial sees.

    Raises:
        StorageError: The disk refuses.
    """
    parts = {"train": task.train, "validation": task.validation.images, "test": task.test.images}
    with storing(folder, "Make room."):
        folder.mkdir(parents=True, exist_ok=True)
        for name, images in parts.items():
            np.save(folder / f"{name}.npy", images.numpy())
