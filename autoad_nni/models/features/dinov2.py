"""DINOv2: a vision transformer trained without labels, by timm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from autoad_nni.errors import AutoADError
from autoad_nni.models.features.base import FeatureExtractor, standardized
from autoad_nni.models.weights import WeightsFile, load_weights, weights_id

__all__ = ["DinoFeatures", "dinov2_vits14"]

_URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"
# Its authors' file has it, for training; timm's network does not.
_FOR_TRAINING = frozenset({"mask_token"})


class DinoFeatures(FeatureExtractor):
    """The normalized tokens of squares of 14 x 14 pixels, behind the last block.

    Images are resized so that their sides are multiples of 14.

    Args:
        network: A vision transformer of timm for images of any size, with its weights.
        weights: Their name and hash.

    Reference:
        Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2023.
    """

    strides = (14,)

    def __init__(self, network: Any, weights: str) -> None:
        super().__init__()
        self.weights = weights
        self.network = network
        self.eval().requires_grad_(False)

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the one map that there is."""
        (stride,) = self.strides
        height, width = (-(-side // stride) for side in images.shape[2:])
        size = (height * stride, width * stride)
        if images.shape[2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        tokens = self.network.forward_features(standardized(images))[:, self.network.num_prefix_tokens :]
        yield stride, tokens.transpose(1, 2).unflatten(2, (height, width))


def dinov2_vits14(download: bool = False, weights: Path | None = None) -> FeatureExtractor:
    """DINOv2's small vision transformer, by timm; stride 14 with 384 channels.

    Args:
        download: Whether torch may fetch the weights (88 MB) into its cache, where no file is given.
        weights: Its authors' ``dinov2_vits14_pretrain.pth``, or timm's file for ``vit_small_patch14_dinov2``.

    Raises:
        AutoADError: timm is missing, there are no weights, or they are of another network.
    """
    try:
        import timm
    except ModuleNotFoundError:
        raise AutoADError(
            "timm is not installed. Expected it for the features dinov2_vits14. Install it with: "
            "pip install 'autoad-nni[timm]'"
        ) from None
    network = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True)
    source = WeightsFile("dinov2_vits14", "weights", _URL, _FOR_TRAINING)
    load_weights(network, source, weights, download=download)
    return DinoFeatures(network, weights_id("dinov2_vits14", network))
