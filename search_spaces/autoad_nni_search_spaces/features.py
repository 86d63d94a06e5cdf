"""The search space of features: a frozen network, what is learned of its features, a hypothesis and a distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import nni
from nni.mutable import SampleValidationError
from nni.nas.nn.pytorch import ModelSpace

from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_architecture
from autoad_nni.models.feature_model import FEATURE_CHOICES, FeatureModel
from autoad_nni.models.samples import check_labels_of

__all__ = ["FeatureSpace"]

EXTRACTORS: Final = ("efficientnet_lite0", "contrast", "patches", "pixels")
HYPOTHESES: Final = ("density", "cluster", "centroid", "reconstruction", "memory")
DISTANCES: Final = ("l1", "l2", "l21")

_PLAIN: Final[Mapping[str, Any]] = {
    "extractor": "efficientnet_lite0",
    "stages": "8+16",
    "enlargement": 2,
    "neighbourhood": 1,
    "vectors": "location",
    "projection": "all",
    "layers": "none",
    "hypothesis": "memory",
    "distance": "l2",
}
_CONTRAST: Final[Mapping[str, Any]] = {**_PLAIN, "extractor": "contrast", "enlargement": 1}
_PIXELS: Final[Mapping[str, Any]] = {
    **_PLAIN,
    "extractor": "pixels",
    "stages": "4",
    "vectors": "image",
}


class FeatureSpace(ModelSpace):  # type: ignore[misc]  # nni ships no types
    r"""All models of features (:class:`autoad_nni.models.feature_model.FeatureModel`).

    The choices are labelled ``extractor``, ``stages``, ``enlargement``, ``neighbourhood``, ``vectors``,
    ``projection``, ``layers``, ``hypothesis`` and ``distance``. Vectors of images have no layers, whatever is chosen.

    Args:
        channels: Channels of the images.
        extractors: Names to choose the extractor from.
        hypotheses: Names to choose the hypothesis from.
        distances: Names to choose the distance from.

    Example:
        >>> sorted(FeatureSpace.known)
        ['contrast_centroid', 'contrast_mixture', 'feature_autoencoder', 'feature_mixture', 'mean_image',
         'nearest_neighbour', 'padim', 'patchcore', 'pca']
        >>> len(FeatureSpace().simplify())
        9
    """

    known: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "patchcore": {**_PLAIN, "neighbourhood": 3},
        "padim": {**_PLAIN, "vectors": "place", "projection": "128", "hypothesis": "centroid"},
        "feature_mixture": {**_PLAIN, "stages": "16", "hypothesis": "density"},
        "feature_autoencoder": {**_PLAIN, "layers": "2 of 1x1 to 32", "hypothesis": "reconstruction"},
        "contrast_mixture": {**_CONTRAST, "stages": "4+8", "hypothesis": "density"},
        "contrast_centroid": {**_CONTRAST, "stages": "4", "hypothesis": "centroid"},
        "pca": {**_PIXELS, "projection": "128", "hypothesis": "reconstruction"},
        "nearest_neighbour": _PIXELS,
        "mean_image": {**_PIXELS, "hypothesis": "centroid"},
    }
    """Known methods, as points of the space: a search can begin with them."""

    has_layers: ClassVar[bool] = False
    """Whether the space is made with a number of layers; for ``autoad-nni space --layers``."""

    def __init__(
        self,
        *,
        channels: int = 1,
        extractors: Sequence[str] = EXTRACTORS,
        hypotheses: Sequence[str] = HYPOTHESES,
        distances: Sequence[str] = DISTANCES,
    ) -> None:
        super().__init__()
        self.channels = channels
        plugins = {"extractor": extractors, "hypothesis": hypotheses, "distance": distances}
        for label, values in {**plugins, **FEATURE_CHOICES}.items():
            self.add_mutable(nni.choice(label, list(values)))

    def freeze(self, sample: Mapping[str, Any]) -> FeatureModel:
        """Build the model that a sample describes.

        Args:
            sample: A value for every label.

        Raises:
            AutoADError: A label is unknown or missing, or a value is not one of its label's.
        """
        check_labels_of(sample, list(self.simplify()))
        try:
            self.validate(dict(sample))
        except SampleValidationError as error:
            raise AutoADError(f"The sample is not in the search space: {error}. Correct it.") from error
        model = build_architecture(sample, channels=self.channels, space="features")
        assert isinstance(model, FeatureModel)
        return model

    @classmethod
    def for_labels(
        cls,
        labels: Iterable[str],
        *,
        channels: int,
        hypotheses: Sequence[str] = HYPOTHESES,
        distances: Sequence[str] = DISTANCES,
        extractors: Sequence[str] = EXTRACTORS,
    ) -> FeatureSpace:
        """Build the space; AutoADError unless exactly its labels are given."""
        space = cls(channels=channels, hypotheses=hypotheses, distances=distances, extractors=extractors)
        check_labels_of(list(labels), [str(label) for label in space.simplify()])
        return space
