"""Grad-CAM: where a classifier sees the class that it finds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from autoad_nni.errors import AutoADError
from autoad_nni.refinement.networks import Classifier

__all__ = ["grad_cam", "require_captum"]


def require_captum() -> None:
    """Check that captum is there, before anything is read or computed.

    Raises:
        AutoADError: If it is not installed.
    """
    try:
        import captum.attr  # noqa: F401
    except ImportError:
        raise AutoADError(
            "captum is not installed. Expected it for Grad-CAM. Install it with: pip install 'autoad-nni[refine]'"
        ) from None


def grad_cam(
    classifier: Classifier,
    images: Tensor,
    *,
    target: int | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    r"""Compute Grad-CAM at a classifier's last convolutional layer.

    .. math:: G = \mathrm{ReLU}\Big(\sum_k \frac{1}{mn} \sum_{m,n} \frac{\partial y}{\partial A^k_{mn}} A^k\Big)

    with the activations :math:`A^k` of the layer's channels and the class score :math:`y` before the softmax. The map
    of the layer is resized bilinearly and divided by its maximum, image by image; it stays 0 where nothing speaks for
    the class.

    Args:
        classifier: Network, layer and normalization.
        images: In [0, 1].
        target: Index of the class; None: of each image, the class with the highest score.
        size: Height and width of the result; None: those of the images.

    Shape:
        - images: ``(n, 1 or 3, height, width)``
        - result: ``(n, 1, *size)``, in [0, 1], on the classifier's device

    Raises:
        AutoADError: captum is not installed; the classifier has no class ``target``, or gives values that are not
            finite.

    Not given by the paper: how the map is scaled, and the class y where no one names it.

    Reference:
        Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV 2017.
    """
    require_captum()
    from captum.attr import LayerGradCam

    inputs = classifier.prepare(images)
    with torch.no_grad():
        scores = classifier.checked(classifier.module(inputs))
    if target is not None and not 0 <= target < scores.shape[1]:
        raise AutoADError(
            f"the target class is {target}. Expected 0 to {scores.shape[1] - 1}, the classes of the classifier. "
            "Give another one, or none for the class that it finds."
        )
    classes = scores.argmax(1) if target is None else torch.full((len(inputs),), target, device=inputs.device)
    # A gradient must reach the layer also where the weights want none.
    with torch.enable_grad():
        maps = LayerGradCam(classifier.module, classifier.cam_layer).attribute(
            inputs.requires_grad_(), classes, relu_attributions=True
        )
    resized = F.interpolate(
        classifier.checked(maps.detach()), size or images.shape[2:], mode="bilinear", align_corners=False
    )
    highest = resized.amax((2, 3), keepdim=True)
    return torch.where(highest > 0, resized / highest, torch.zeros_like(resized)).clamp(0, 1)
