"""From a sample to a detector: the one place that knows how the labels of a sample name the parts of a model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.features import Extraction, load_extractor
from autoad_nni.models.local_codes import LocalCodes
from autoad_nni.models.surroundings import keeping_random_states
from autoad_nni.registry import ARCHITECTURES, HYPOTHESES, LOSSES, Registry

__all__ = ["build_architecture", "build_detector", "place"]


def build_detector(
    sample: Mapping[str, Any], *, channels: int, space: str = "autoencoder", extraction: Extraction | None = None
) -> Detector:
    """Build the untrained detector that a sample describes, on the CPU; imports no NNI.

    Weights come from torch's global random state alone, not from what was imported or loaded before.

    Args:
        sample: A value for every label of the search space; ``hypothesis`` and ``distance`` are names of plugins.
        channels: Channels of the images, 1 or 3.
        space: Name of the search space that the sample is from.
        extraction: Where the weights of the sample's feature extractor come from, if it has one.

    Raises:
        AutoADError: A label is unknown or missing, a value is not one of its label's, or weights are missing.

    Example:
        >>> layer = {"channels": 3, "kernel": 3, "pooling": "max", "pooling_kernel": 3, "normalization": "none"}
        >>> sample = {f"layer1_{key}": value for key, value in layer.items()} | {"layer1_activation": "relu"}
        >>> detector = build_detector({**sample, "hypothesis": "density", "distance": "l1"}, channels=1)
        >>> type(detector.hypothesis).__name__
        'DensityHypothesis'
    """
    autoencoder = build_architecture(sample, channels=channels, space=space, extraction=extraction)
    hypothesis = _plugin(HYPOTHESES, sample, "hypothesis")
    distance = _plugin(LOSSES, sample, "distance")
    whole = hypothesis.needs_codes and not getattr(autoencoder, "local_codes", False)
    local = LocalCodes(_plugin(HYPOTHESES, sample, "hypothesis")) if whole else None
    return place(Detector(autoencoder, hypothesis, distance, local), torch.device("cpu"))


def build_architecture(
    sample: Mapping[str, Any], *, channels: int, space: str = "autoencoder", extraction: Extraction | None = None
) -> nn.Module:
    """Build only the architecture that a sample describes; see `build_detector`."""
    extraction = extraction or Extraction()
    build = _load(ARCHITECTURES, space)
    more = {}
    # A sample of another space may have one: what the architecture does not take, it refuses as an unknown label.
    if "extractor" in sample and "extractor" in inspect.signature(build).parameters:
        more["extractor"] = load_extractor(
            str(sample["extractor"]), download=extraction.download, weights=extraction.weights
        )
    architecture: nn.Module = build(sample, channels=channels, **more)
    return architecture


def place(detector: Detector, device: torch.device) -> Detector:
    """Move a detector to a device.

    On a CPU the weights lie channels-last in memory: training takes about 0.8 of the time, and the scores agree but for
    rounding (benchmarks/devices.py). On CUDA that was not measured, so weights stay as they are there; bfloat16 gave
    other scores and is used nowhere.
    """
    detector = detector.to(device)
    return detector.to(memory_format=torch.channels_last) if device.type == "cpu" else detector


def _plugin(registry: Registry, sample: Mapping[str, Any], label: str) -> Any:
    if label not in sample:
        raise AutoADError(f"The label '{label}' is missing. Expected the name of a {registry.noun}. Add it.")
    return _load(registry, str(sample[label]))()


def _load(registry: Registry, name: str) -> Any:
    """Load a plugin; only the first time its module is imported, which may draw or seed."""
    with keeping_random_states():
        return registry.load(name)
