"""The two pretrained networks: what they are, and what they want of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.errors import AutoADError
from autoad_nni.models.weights import WeightsFile, load_weights

__all__ = ["Classifier", "Network", "Segmenter", "deeplabv3", "vgg16"]

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A pretrained network and the images that it was trained on.

    Args:
        module: In evaluation mode.
        side: The shorter side of an image is resized to this many pixels, the longer in proportion.
        mean: Taken off red, green and blue in [0, 1]; the default is ImageNet's.
        std: They are divided by it.

    Example:
        >>> network = Network(module=nn.Identity(), side=10, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> prepared = network.prepare(torch.ones(1, 1, 20, 30))
        >>> prepared.shape, prepared.unique()
        (torch.Size([1, 3, 10, 15]), tensor([1.]))
    """

    module: nn.Module
    side: int = 224
    mean: Colour = (0.485, 0.456, 0.406)
    std: Colour = (0.229, 0.224, 0.225)

    def prepare(self, images: Tensor) -> Tensor:
        """Resizes, makes grey images RGB, normalizes, and moves to the module's device.

        Nothing is cut off at the edges, as it is where a network is tested on ImageNet: a map is wanted of all pixels.

        Shape:
            ``(n, 1 or 3, height, width)`` in [0, 1] to ``(n, 3, H, W)``.
        """
        scale = self.side / min(images.shape[2:])
        height, width = (round(side * scale) for side in images.shape[2:])
        resized = to_image_shape(images.cpu(), ImageShape(3, height, width))
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        device = next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))
        return ((resized - mean) / std).to(device)

    def checked(self, answers: Tensor) -> Tensor:
        """Return what the module, or its gradient, gave.

        Raises:
            AutoADError: A value is not finite, as when weights of another network happen to fit.
        """
        if not answers.isfinite().all():
            raise AutoADError(
                f"{type(self.module).__name__} gives values that are not finite. Expected a trained network. Check its "
                "weights."
            )
        return answers


@dataclass(frozen=True, kw_only=True)
class Classifier(Network):
    """A convolutional network that maps images to class scores ``(n, n_classes)``; any ``nn.Module`` that does.

    Args:
        layer: Where Grad-CAM is computed; its output is ``(n, channels, h, w)``, and it runs once in a forward pass.
            None: the last ``nn.Conv2d`` by definition. Where an activation follows that has a module of its own,
            name this one: Grad-CAM is defined on rectified maps.
    """

    layer: nn.Module | None = None

    @property
    def cam_layer(self) -> nn.Module:
        """The layer, or the last convolution.

        Raises:
            AutoADError: There is neither.
        """
        convolutions = [module for module in self.module.modules() if isinstance(module, nn.Conv2d)]
        if self.layer is None and not convolutions:
            raise AutoADError("the classifier has no nn.Conv2d. Expected a convolutional network. Give layer=MODULE.")
        return self.layer or convolutions[-1]


@dataclass(frozen=True, kw_only=True)
class Segmenter(Network):
    """A network that maps images to scores ``(n, n_classes, H, W)``, or to ``{"out": scores}`` as torchvision's do.

    Args:
        classes: Names in the order of the scores, before a softmax; ``classes[0]`` is the background.
    """

    classes: tuple[str, ...]

    def scores(self, images: Tensor) -> Tensor:
        """Run the network on images.

        Shape:
            ``(n, 1 or 3, height, width)`` in [0, 1] to ``(n, n_classes, H, W)``.

        Raises:
            AutoADError: It gives something else, or values that are not finite.
        """
        answer = self.module(self.prepare(images))
        scores = answer.get("out") if isinstance(answer, Mapping) else answer
        if isinstance(scores, Tensor) and scores.ndim == 4 and scores.shape[:2] == (len(images), len(self.classes)):
            return self.checked(scores)
        if isinstance(scores, Tensor):
            got = f"a tensor of shape {tuple(scores.shape)}"
        elif isinstance(answer, Mapping):
            got = f"a mapping of {', '.join(map(str, answer))}"
        else:
            got = type(answer).__name__
        raise AutoADError(
            f"the segmentation network {type(self.module).__name__} gives {got}. Expected scores of shape "
            f"({len(images)}, {len(self.classes)}, H, W), one for each of the {len(self.classes)} classes, or a "
            "mapping with these as 'out'. Wrap it, or correct Segmenter(classes=...)."
        )


def vgg16(weights: Path | None = None, *, download: bool = False, device: torch.device | None = None) -> Classifier:
    """Make VGG-16 as trained on ImageNet, from torchvision; Grad-CAM at the rectified fifth block, as its authors do.

    Args:
        weights: State dict of ``torchvision.models.vgg16``, 528 MB: safetensors, or torch's format.
        download: Lets torchvision fetch the weights where no file is given.
        device: None for the CPU.

    Raises:
        AutoADError: There are no weights, or they are of another network.
    """
    from torchvision.models import VGG16_Weights, vgg16

    source = WeightsFile("VGG-16", "classifier_weights", VGG16_Weights.IMAGENET1K_V1.url)
    module = _load(vgg16, source, weights, download, device)
    return Classifier(module=module, layer=module.get_submodule("features.29"))


def deeplabv3(weights: Path | None = None, *, download: bool = False, device: torch.device | None = None) -> Segmenter:
    """Make DeepLabV3 on ResNet-50 as trained on COCO with the 20 classes of PASCAL VOC, from torchvision.

    Args:
        weights: State dict of ``torchvision.models.segmentation.deeplabv3_resnet50``, 161 MB: safetensors, or torch's
            format.
        download: Lets torchvision fetch the weights where no file is given.
        device: None for the CPU.

    Raises:
        AutoADError: There are no weights, or they are of another network.

    Differs from the paper, whose network was trained on PASCAL VOC 2012; torchvision has none of these. Which backbone
    it had, the paper does not say.
    """
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights, deeplabv3_resnet50

    trained = DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1

    def build() -> nn.Module:
        # `weights_backbone` has a default that downloads.
        module: nn.Module = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
        return module

    source = WeightsFile("DeepLabV3", "saliency_weights", trained.url)
    module = _load(build, source, weights, download, device)
    return Segmenter(module=module, side=520, classes=tuple(trained.meta["categories"]))


def _load(
    build: Callable[[], Any], source: WeightsFile, path: Path | None, download: bool, device: torch.device | None
) -> nn.Module:
    # On the meta device, as random weights of this many numbers take seconds to draw.
    with torch.device("meta"):
        module: nn.Module = build()
    load_weights(module.to_empty(device="cpu"), source, path, download=download)
    return module.to(device or torch.device("cpu")).eval().requires_grad_(False)
