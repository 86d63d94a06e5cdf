"""Frozen feature extractors: images to maps of features, by networks that others have trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from autoad_nni.errors import AutoADError
from autoad_nni.models.features.base import FeatureExtractor
from autoad_nni.models.features.maps import FeatureMaps
from autoad_nni.models.surroundings import keeping_random_states
from autoad_nni.models.weights import check_is_file
from autoad_nni.registry import FEATURES

__all__ = ["Extraction", "FeatureExtractor", "FeatureMaps", "load_extractor"]


@dataclass(frozen=True)
class Extraction:
    """Where the weights of a feature extractor come from.

    Attributes:
        download: Whether they may be downloaded.
        weights: A file that has them.
    """

    download: bool = False
    weights: Path | None = None


def load_extractor(name: str, *, download: bool = False, weights: Path | None = None) -> FeatureExtractor:
    """Load a registered feature extractor; the last one is kept, so that thirty trials load it once.

    Those who ask for the same one share it: copy it before changing it or moving it to another device. Random states
    are left as they were, whether it was kept or loaded: networks draw weights before they are given theirs.

    Args:
        name: What it is registered as.
        download: Whether it may download its weights.
        weights: A file with its weights, instead.

    Raises:
        AutoADError: It is unknown or broken, a package is missing, or there are no weights.

    Example:
        >>> load_extractor("pixels").strides
        (1, 2, 4, 8, 16, 32)
        >>> load_extractor("pixels") is load_extractor("pixels")
        True
    """
    if weights is not None:
        check_is_file(weights, name)  # also for an extractor that has no weights
    changed = weights.stat().st_mtime_ns if weights else 0
    return _load(name, download, weights, changed)


@lru_cache(maxsize=1)
def _load(name: str, download: bool, weights: Path | None, changed: int) -> FeatureExtractor:
    with keeping_random_states():
        extractor = FEATURES.load(name)(download=download, weights=weights)
    if not isinstance(extractor, FeatureExtractor):
        raise AutoADError(
            f"The {FEATURES.noun} '{name}' of {FEATURES.origin(name).distribution} gave a {type(extractor).__name__}. "
            f"Expected a FeatureExtractor. Run 'autoad-nni plugins check {name}', or use another."
        )
    return extractor
