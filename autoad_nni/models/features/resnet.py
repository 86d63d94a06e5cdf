"""Residual networks as trained on ImageNet, from torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoad_nni.models.features.base import FeatureExtractor, standardized
from autoad_nni.models.weights import WeightsFile, load_weights, weights_id

__all__ = ["ResNetFeatures", "resnet18", "wide_resnet50_2"]


class ResNetFeatures(FeatureExtractor):
    """The outputs of the four layers of residual blocks.

    Args:
        network: A residual network of torchvision, with its weights.
        weights: Their name and hash.

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2016; Zagoruyko and Komodakis, Wide Residual Networks,
        2016.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, network: Any, weights: str) -> None:
        super().__init__()
        self.weights = weights
        self.network = network
        self.network.fc = None  # classes are not wanted
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Run layer after layer."""
        net = self.network
        features = net.maxpool(net.relu(net.bn1(net.conv1(standardized(images)))))
        for stride, layer in zip(self.strides, (net.layer1, net.layer2, net.layer3, net.layer4), strict=True):
            features = layer(features)
            yield stride, features


def resnet18(download: bool = False, weights: Path | None = None) -> FeatureExtractor:
    """ResNet-18 of torchvision; strides 4 to 32 with 64, 128, 256 and 512 channels.

    Args:
        download: Whether torch may fetch the weights (45 MB) into its cache, where no file is given.
        weights: State dict of ``torchvision.models.resnet18``, safetensors or torch's format.

    Raises:
        AutoADError: There are no weights, or they are of another network.
    """
    from torchvision import models

    return _load("resnet18", models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1.url, download, weights)


def wide_resnet50_2(download: bool = False, weights: Path | None = None) -> FeatureExtractor:
    """Wide ResNet-50-2 of torchvision; strides 4 to 32 with 256, 512, 1024 and 2048 channels.

    Args:
        download: Whether torch may fetch the weights (132 MB) into its cache, where no file is given.
        weights: State dict of ``torchvision.models.wide_resnet50_2``, safetensors or torch's format.

    Raises:
        AutoADError: There are no weights, or they are of another network.

    Differs from / not given by the paper: the first of torchvision's two sets of weights, which articles on anomaly
    detection use.
    """
    from torchvision import models

    url = models.Wide_ResNet50_2_Weights.IMAGENET1K_V1.url
    return _load("wide_resnet50_2", models.wide_resnet50_2, url, download, weights)


def _load(name: str, build: Any, url: str, download: bool, weights: Path | None) -> FeatureExtractor:
    # On the meta device, as random weights of this many numbers take seconds to draw.
    with torch.device("meta"):
        network = build()
    load_weights(network.to_empty(device="cpu"), WeightsFile(name, "weights", url), weights, download=download)
    return ResNetFeatures(network, weights_id(name, network))
