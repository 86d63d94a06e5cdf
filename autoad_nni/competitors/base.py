"""The interface of a competitor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from autoad_nni.data import Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.scoring import Prediction
from autoad_nni.registry import COMPETITORS

__all__ = ["Competitor", "load_competitor", "shuffled"]


class Competitor(ABC):
    """A method that learns from the images of a task and scores others.

    Attributes:
        needs_classes: Whether it learns to tell the classes of the normal images apart.
        has_map: Whether it says where in an image its score comes from.
        shared_seconds: Processor seconds that an earlier `fit` in this process spent on what this one uses, too, such
            as the classifier of ODIN after MSP; 0 if it did everything itself.
    """

    needs_classes: ClassVar[bool] = False
    has_map: ClassVar[bool] = True
    shared_seconds: float = 0.0

    @abstractmethod
    def fit(self, task: Task) -> Self:
        """Learn from ``task.train``; what a method chooses by its figures, it chooses on ``task.validation``.

        Raises:
            AutoADError: The task lacks what the method needs.
        """

    @abstractmethod
    def predict(self, images: Tensor) -> Prediction:
        """Score images; higher is more anomalous.

        Shape:
            ``(n, channels, height, width)`` float32 in [0, 1], of the task's image shape; score ``(n,)``, anomaly_map
            ``(n, 1, height, width)``, of zeros where the method has none.
        """


def load_competitor(name: str, **settings: Any) -> Competitor:
    """Make a competitor by its registered name (entry-point group ``autoad_nni.competitors``).

    Args:
        name: Such as ``"odin"``.
        settings: Of the method; ``seed`` for all of them.

    Raises:
        AutoADError: The name is unknown, or a setting is.

    Example:
        >>> load_competitor("msp", epochs=1).needs_classes
        True
    """
    kind: type[Competitor] = COMPETITORS.load(name)
    try:
        return kind(**settings)
    except TypeError as error:
        raise AutoADError(
            f"the settings of {name} are {settings}: {error}. Expected those of {kind.__name__}. Correct them."
        ) from None


def shuffled(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the numbers 0 to n - 1 in random order, in batches; a last one of a single image is left out.

    Batch normalization cannot train on one value per channel.
    """
    for batch in torch.split(torch.randperm(n, generator=generator), batch_size):
        if len(batch) > 1 or n == 1:
            yield batch
