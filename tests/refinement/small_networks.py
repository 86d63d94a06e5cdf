"""Networks small enough to work out by hand, and files of weights in torchvision's format."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoad_nni.refinement import Classifier, Segmenter

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


class TinyClassifier(nn.Module):
    """One convolution, ReLU, the mean of each channel, one linear layer."""

    def __init__(self, n_classes: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.rectified = nn.ReLU()
        self.classes = nn.Linear(4, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.classes(self.rectified(self.convolution(images)).mean((2, 3)))
        return scores


class TinySegmenter(nn.Module):
    """Red speaks for the cat, green for the dog, nothing for the background."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": torch.stack([torch.zeros_like(images[:, 0]), images[:, 0], images[:, 1]], 1)}


def tiny_classifier(seed: int = 0, side: int = 16) -> Classifier:
    torch.manual_seed(seed)
    module = TinyClassifier().eval()
    return Classifier(module=module, layer=module.rectified, side=side, **PLAIN)


def tiny_segmenter(side: int = 16) -> Segmenter:
    return Segmenter(module=TinySegmenter(), side=side, classes=("background", "cat", "dog"), **PLAIN)


def small_state(module: nn.Module) -> dict[str, Tensor]:
    """A state dict of the module's shapes that takes next to no room: what has many rows repeats one."""
    state = {}
    for name, tensor in module.state_dict().items():
        row = torch.rand(tensor.shape) + 0.5  # above 0, as a variance is
        if tensor.ndim > 1:
            n_inputs = tensor[0].numel()
            row = (torch.randn(tensor.shape[1:]) * (2 / n_inputs) ** 0.5).expand(tensor.shape)
        state[name] = row.to(tensor.dtype)
    return state
