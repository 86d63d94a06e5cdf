"""How much memory training takes, measured before it starts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autoad_nni.models.detector import Detector, Inputs

__all__ = ["bytes_per_image"]


def bytes_per_image(detector: Detector, image: Inputs) -> int:
    """Return the bytes that torch saves for backward of one image: nearly all that a training step takes.

    Measured in one forward pass in evaluation mode; every tensor that autograd saves is counted once. Gradients and
    the intermediate results of single operations come on top, but not all is held at once: a training step took 0.4
    to 1.6 times this for each image.

    Args:
        detector: On any device.
        image: One image ``(1, channels, height, width)``, or its features.

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> from autoad_nni.models.distances.l2 import L2Distance
        >>> class Scaled(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = torch.nn.Parameter(torch.ones(()))
        ...     def forward(self, images):
        ...         return images * self.factor, images.flatten(1)
        >>> bytes_per_image(Detector(Scaled(), ReconstructionHypothesis(), L2Distance()), torch.zeros(1, 1, 10, 10))
        800
    """
    saved: dict[int, int] = {}
    own = {parameter.data_ptr() for parameter in detector.parameters()}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that its own graph held would never be freed

    def unpack(tensor: Any) -> Any:
        return tensor

    was_training = detector.training
    detector.eval()  # statistics of normalizations stay as they are
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, unpack):
            # A copy: the image may be a view of all training images, whose storage would count as the image's.
            alone = image[torch.tensor([0], device=image.device)].to(detector.device)
            total = detector(alone).distance.sum()
    finally:
        detector.train(was_training)
    del total
    return sum(saved.values())
