"""The mask of the salient object, from a segmentation network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from autoad_nni.errors import AutoADError
from autoad_nni.refinement.networks import Segmenter

__all__ = ["object_mask"]


@torch.no_grad()
def object_mask(
    segmenter: Segmenter, images: Tensor, name: str | None = None, *, size: tuple[int, int] | None = None
) -> Tensor:
    """Compute how probably each pixel belongs to an object.

    Args:
        segmenter: Network, its classes, normalization.
        images: In [0, 1].
        name: Class of the object; None: any, that is, 1 minus the probability of the background.
        size: Height and width of the result; None: those of the images.

    Shape:
        - images: ``(n, 1 or 3, height, width)``
        - result: ``(n, 1, *size)``, in [0, 1], on the segmenter's device

    Raises:
        AutoADError: The network has no such class, or gives no scores, or some that are not finite.

    Not given by the paper: whether its mask is a probability or a decision, and whether it is that of one class. A
    probability blurs what a decision would cut out: a defect at the object's edge keeps a part of its score.
    """
    known = segmenter.classes[1:]
    if name is not None and name not in known:
        raise AutoADError(f"the object is {name!r}. Expected one of {', '.join(known)}. Give one, or none for any.")
    probabilities = segmenter.scores(images).softmax(1)
    mask = 1 - probabilities[:, :1] if name is None else probabilities[:, known.index(name) + 1, None]
    resized = F.interpolate(mask, size or images.shape[2:], mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(0, 1)
