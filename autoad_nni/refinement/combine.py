"""Eq. 20: the score map, weighted pixel by pixel."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from autoad_nni.refinement.gradients import grad_cam
from autoad_nni.refinement.networks import Classifier, Segmenter
from autoad_nni.refinement.saliency import object_mask

__all__ = ["Refinement", "refine", "refine_map"]


def refine_map(score_map: Tensor, grad_cam: Tensor, saliency: Tensor) -> Tensor:
    r"""Weight a score map: down where a classifier sees its class, down where no salient object is.

    .. math:: \alpha = r \odot (1 - G) \odot s

    (Eq. 20 of the paper), with the reconstruction error :math:`r`, the Grad-CAM :math:`G` and the mask :math:`s`.

    Args:
        score_map: Distance of image and reconstruction per pixel: 0 or more, higher where more anomalous.
        grad_cam: How much a pixel speaks for the class of the object, in [0, 1].
        saliency: How much a pixel belongs to the object, in [0, 1].

    Shape:
        All three and the result: ``(n, 1, h, w)``.

    Raises:
        ValueError: The shapes differ, a value is out of its range, or one is not finite.

    Differs from the paper, whose Eq. 20 prints :math:`\frac{1}{mn} \sum_m \sum_n (1 - \partial y / \partial A_{mn})`.
    Read to the letter, that is one number per channel of the layer, 1 minus the weight that Grad-CAM gives the channel:
    it has no pixels, so it could not tell one from another. The text calls the factor a map "opposite to the
    Grad-CAM", so it is here 1 minus Grad-CAM's map, which weights the channels of A by these averages, adds them up
    and drops what is negative; scaled to [0, 1], as Grad-CAM has no unit.

    Example:
        >>> import torch
        >>> score_map = torch.tensor([[[[4.0, 4.0, 4.0]]]])
        >>> refine_map(score_map, torch.tensor([[[[0.0, 0.75, 0.0]]]]), torch.tensor([[[[1.0, 1.0, 0.5]]]]))
        tensor([[[[4., 1., 2.]]]])
    """
    if score_map.ndim != 4 or score_map.shape[1] != 1 or not score_map.shape == grad_cam.shape == saliency.shape:
        shapes = ", ".join(str(tuple(each.shape)) for each in (score_map, grad_cam, saliency))
        raise ValueError(f"maps of shapes {shapes}. Expected three of one shape (n, 1, h, w).")
    for name, values, highest in (
        ("score_map", score_map, float("inf")),
        ("grad_cam", grad_cam, 1.0),
        ("saliency", saliency, 1.0),
    ):
        if not (values.isfinite().all() and (values >= 0).all() and (values <= highest).all()):
            raise ValueError(f"{name} has a value that is not finite, below 0 or above {highest:g}.")
    return score_map * (1 - grad_cam) * saliency


class Refinement(NamedTuple):
    """The maps of a refinement, each ``(n, 1, h, w)``.

    Attributes:
        score_map: The model's, less its lowest value per image.
        kept: 1 - Grad-CAM, in [0, 1].
        saliency: In [0, 1].
        refined: The product of the three.
    """

    score_map: Tensor
    kept: Tensor
    saliency: Tensor
    refined: Tensor


def refine(
    score_map: Tensor,
    photographs: Tensor,
    *,
    classifier: Classifier,
    segmenter: Segmenter,
    target: int | None = None,
    object_name: str | None = None,
) -> Refinement:
    """Refine the score maps of a model with what two pretrained networks see in the same images.

    The lowest value of each map is taken off first: in windows a hypothesis may have lifted the whole map,
    or lowered it below 0, and a product is not indifferent to that.

    Args:
        score_map: The model's, at the size of its images; finite.
        photographs: The same images, as fine as they are to be had: the networks want 224 and 520 pixels.
        classifier: For the Grad-CAM.
        segmenter: For the mask.
        target: Index of the classifier's class; None: the class that it finds in each image.
        object_name: Class of the segmenter; None: any object.

    Shape:
        - score_map: ``(n, 1, h, w)``
        - photographs: ``(n, 1 or 3, H, W)``, in [0, 1]

    Raises:
        AutoADError: captum is not installed, a class is unknown, or a network gives values that are not finite.
        ValueError: The score map is not finite.
    """
    score_map = score_map.detach()
    height, width = score_map.shape[2:]
    cam = grad_cam(classifier, photographs, target=target, size=(height, width)).to(score_map.device)
    mask = object_mask(segmenter, photographs, object_name, size=(height, width)).to(score_map.device)
    lowered = score_map - score_map.amin((2, 3), keepdim=True)
    return Refinement(lowered, 1 - cam, mask, refine_map(lowered, cam, mask))
