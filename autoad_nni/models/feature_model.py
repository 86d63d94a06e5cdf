"""The model of the search space ``features``: what is learned of the features of a frozen network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.models.features.base import FeatureExtractor
from autoad_nni.models.features.enlarged import Enlarged
from autoad_nni.models.features.maps import FeatureMaps
from autoad_nni.models.fitted import FittedModule
from autoad_nni.models.locations import Projection, Whitening
from autoad_nni.models.samples import check_labels_of, check_value, stages_of

__all__ = ["FEATURE_CHOICES", "FeatureModel", "FeatureReconstruction", "build_feature_model"]

FEATURE_CHOICES: Final[Mapping[str, Sequence[int | str]]] = {
    "stages": ("4", "8", "16", "32", "4+8", "8+16", "16+32", "8+16+32"),
    "enlargement": (1, 2),
    "neighbourhood": (1, 3),
    "vectors": ("location", "place", "image"),
    "projection": ("all", "16", "64", "128"),
    "layers": (
        "none",
        *(f"{n} of {kernel}x{kernel} to {code}" for n in (1, 2) for kernel in (1, 3) for code in (8, 32, 64)),
    ),
}
"""What is chosen beside extractor, hypothesis and distance.

An autoencoder is one choice, not three: without one, kernel and code would be choices that change nothing.
"""

# For means and components; 512 MB.
_MOST_NUMBERS: Final = 128_000_000
_AT_A_TIME: Final = 32
# Of an image as a whole, as many as there can be.
_COMPONENTS_OF_IMAGES = 256


class FeatureReconstruction(NamedTuple):
    """Output of a model of features for a batch.

    Args:
        reconstruction: ``(batch, channels, h, w)``.
        code: ``(batch, d, h, w)``.
        target: What the reconstruction is compared with, of its shape.
    """

    reconstruction: Tensor
    code: Tensor
    target: Tensor


class FeatureModel(FittedModule):
    r"""Vectors of features, standardized and projected, with or without an autoencoder of 1 or 2 layers.

    The maps of the stages are averaged over a neighbourhood, enlarged to the finest one and joined; each channel is
    standardized by its mean and deviation over the training images. ``vectors`` says what one vector is: the features
    at a location, ``location`` or ``place``, or all features of an image, ``image``. Vectors are projected to principal
    components; with ``place``, the components are then measured in units of their place
    (:class:`autoad_nni.models.locations.Whitening`).

    With ``layers`` ``none``, and always for ``image``, there is no autoencoder: the code is the components, and the
    reconstruction is what they say of the features: principal component analysis; of all components, the features
    themselves, so that their distance is 0. With ``2 of 3x3 to 8``, for instance, an encoder of two 3 x 3 convolutions
    turns the components into a code of 8 channels, and its mirror reconstructs them; leaky ReLU stands between two
    layers.

    Known methods are points of this space: PatchCore (a memory of ``location`` vectors), PaDiM (the centroid of
    ``place`` vectors), PCA and nearest neighbours of images.

    Differs from the paper, which has no features of other networks.

    Args:
        extractor: Frozen; not part of the state.
        n_features: Channels of all stages together.
        choices: A value for ``extractor``, its name, and for each label of `FEATURE_CHOICES`.

    Shape:
        - features: :class:`autoad_nni.models.features.maps.FeatureMaps`
        - output: reconstruction and target ``(n, c, h, w)``, code map ``(n, d, h, w)``; of images ``(n, d, 1, 1)``
    """

    means: Tensor
    deviations: Tensor

    def __init__(self, extractor: FeatureExtractor, n_features: int, choices: Mapping[str, Any]) -> None:
        super().__init__()
        self.extractor_name = str(choices["extractor"])
        enlargement = int(choices["enlargement"])
        # In a list, so that its weights are not saved with the model.
        self._extractors = [extractor if enlargement == 1 else Enlarged(extractor, enlargement)]
        self.stages = stages_of(choices["stages"])
        self.neighbourhood = int(choices["neighbourhood"])
        self.vectors = str(choices["vectors"])
        self.local_codes = self.vectors != "image"
        size = n_features if choices["projection"] == "all" else int(choices["projection"])
        size = min(size, n_features) if self.local_codes else _image_size_of(choices["projection"])
        self.projection = Projection(size)
        self.whitening = Whitening() if self.vectors == "place" else None
        self.encoder: nn.Sequential | None
        self.decoder: nn.Sequential | None
        self.encoder, self.decoder = _layers(str(choices["layers"]) if self.local_codes else "none", size)
        self.register_buffer("means", torch.empty(0))
        self.register_buffer("deviations", torch.empty(0))

    @property
    def extractor(self) -> FeatureExtractor:
        """The frozen network, with the enlargement before it."""
        return self._extractors[0]

    def extractor_on(self, device: torch.device) -> FeatureExtractor:
        """Return the extractor on a device; from then on it stays there."""
        known = next(self.extractor.parameters(), None)
        if known is not None and known.device != device:
            self._extractors[0] = copy.deepcopy(self.extractor).to(device)  # shared with others: not moved itself
        return self.extractor

    @property
    def weights(self) -> str:
        """Name and SHA-256 of the extractor's weights; "" if it has none."""
        return self.extractor.extractor.weights if isinstance(self.extractor, Enlarged) else self.extractor.weights

    @property
    def extraction(self) -> str:
        """The extractor with the enlargement before it, and its weights: equal for models that share features."""
        return f"{self.extractor_name} {self.extractor.weights}"

    @torch.no_grad()
    def extract(self, images: Tensor, stages: Sequence[int] | None = None) -> FeatureMaps:
        """Return the features of images ``(n, channels, height, width)``, in float32 on their device.

        Args:
            images: In [0, 1].
            stages: Strides; by default those of the model.
        """
        maps = self.extractor_on(images.device)(images, stages or self.stages)
        return FeatureMaps(tuple(each.float() for each in maps), (images.shape[2], images.shape[3]))

    @torch.no_grad()
    def prepare(self, features: FeatureMaps) -> None:
        """Fit what is not trained to features of training images: channels, components, places."""
        device = self.projection.centre.device
        one = self._joined(features[:1].to(device))
        step = -(-len(features) * one.numel() // _MOST_NUMBERS)
        joined = _filled(self._joined, features[::step], device)
        self.means = joined.mean((0, 2, 3))
        deviations = joined.std((0, 2, 3), correction=0)
        self.deviations = torch.where(deviations > 0, deviations, 1.0)
        for some in torch.split(joined, _AT_A_TIME):  # in place: all features of a set are large
            some.sub_(self.means[:, None, None]).div_(self.deviations[:, None, None])
        self.projection.fit(joined if self.local_codes else joined.flatten(1)[:, :, None, None])
        del joined
        if self.whitening is not None:
            most = self.whitening.most_numbers(one.shape[2], one.shape[3])
            self.whitening.fit(_filled(lambda batch: self._components(batch)[:, :most], features, device))

    def forward(self, features: FeatureMaps) -> FeatureReconstruction:
        """Return reconstruction, code map and target."""
        joined = self._standardized(features)
        components = self._projected(joined)
        codes = components if self.whitening is None else self.whitening(components)
        if self.encoder is not None and self.decoder is not None:
            code = self.encoder(codes)
            return FeatureReconstruction(self.decoder(code), code, codes)
        # From all components the features come back but for rounding, which would be taken for a distance.
        complete = self.projection.complete
        reconstruction = joined if complete else self.projection.back(components).view_as(joined)
        return FeatureReconstruction(reconstruction, codes, joined)

    def macs(self, height: int, width: int) -> int:
        """Return the multiply-adds of the autoencoder for an image; those of the extractor are not counted."""
        if isinstance(self.extractor, Enlarged):
            height, width = self.extractor.size_of(height, width)
        locations = -(-height // self.stages[0]) * -(-width // self.stages[0])
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        return sum(convolution.weight.numel() for convolution in convolutions) * locations

    def _components(self, features: FeatureMaps) -> Tensor:
        return self._projected(self._standardized(features))

    def _standardized(self, features: FeatureMaps) -> Tensor:
        return (self._joined(features) - self.means[:, None, None]) / self.deviations[:, None, None]

    def _projected(self, standardized: Tensor) -> Tensor:
        components: Tensor = self.projection(
            standardized if self.local_codes else standardized.flatten(1)[:, :, None, None]
        )
        return components

    def _joined(self, features: FeatureMaps) -> Tensor:
        size, side = features.maps[0].shape[-2:], self.neighbourhood
        maps = features.maps
        if side > 1:
            maps = tuple(F.avg_pool2d(each, side, 1, side // 2, count_include_pad=False) for each in maps)
        enlarged = [F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in maps[1:]]
        return torch.cat([maps[0], *enlarged], 1)


def _filled(function: Callable[[FeatureMaps], Tensor], features: FeatureMaps, device: torch.device) -> Tensor:
    """What a function gives for all features, some at a time; parts to be joined would be a second copy of all."""
    whole = torch.empty(0)
    for begin in range(0, len(features), _AT_A_TIME):
        part = function(features[begin : begin + _AT_A_TIME].to(device))
        if begin == 0:
            whole = part.new_empty(len(features), *part.shape[1:])
        whole[begin : begin + _AT_A_TIME] = part
    return whole


def build_feature_model(
    sample: Mapping[str, Any], *, channels: int, extractor: FeatureExtractor | None = None
) -> FeatureModel:
    """Build the model that a sample of the search space ``features`` describes.

    Weights come from torch's global random state.

    Args:
        sample: A value for ``extractor``, ``hypothesis``, ``distance`` and every label of `FEATURE_CHOICES`.
        channels: Channels of the images, 1 or 3.
        extractor: The one that the sample names; None for a sample that names none, which is an error.

    Raises:
        AutoADError: A label is unknown or missing, a value is not one of its label's, or the extractor lacks a stage.

    Example:
        >>> from autoad_nni.models.features import load_extractor
        >>> sample = {label: values[0] for label, values in FEATURE_CHOICES.items()}
        >>> sample |= {"extractor": "pixels", "hypothesis": "memory", "distance": "l2"}
        >>> model = build_feature_model(sample, channels=1, extractor=load_extractor("pixels"))
        >>> features = model.extract(torch.rand(9, 1, 16, 24))
        >>> model.prepare(features)
        >>> [tuple(each.shape) for each in model(features)]
        [(9, 1, 4, 6), (9, 1, 4, 6), (9, 1, 4, 6)]
    """
    check_labels_of(sample, ("extractor", "hypothesis", "distance", *FEATURE_CHOICES))
    for label, known in FEATURE_CHOICES.items():
        check_value(label, sample[label], known)
    assert extractor is not None, "the sample names one"
    maps = extractor(torch.zeros(1, channels, 64, 64), stages_of(sample["stages"]))
    return FeatureModel(extractor, sum(each.shape[1] for each in maps), sample)


def _image_size_of(projection: Any) -> int:
    return _COMPONENTS_OF_IMAGES if projection == "all" else int(projection)


def _layers(chosen: str, channels: int) -> tuple[nn.Sequential, nn.Sequential] | tuple[None, None]:
    """An encoder and its mirror as chosen; a hidden layer is as wide as the components, or the code if wider."""
    if chosen == "none":
        return None, None
    number, _, kernel, _, code = chosen.split()
    widths = [channels, *[max(channels, int(code))] * (int(number) - 1), int(code)]
    side = int(kernel.partition("x")[0])
    return _chain(widths, side), _chain(widths[::-1], side)


def _chain(widths: Sequence[int], kernel: int) -> nn.Sequential:
    modules: list[nn.Module] = []
    for before, after in pairwise(widths):
        modules += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.LeakyReLU()]
    return nn.Sequential(*modules[:-1])
