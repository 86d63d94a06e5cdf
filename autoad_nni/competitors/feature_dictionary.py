"""Napoletano et al.'s dictionary of features."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni.competitors.base import Competitor
from autoad_nni.data import Task
from autoad_nni.models.features import load_extractor
from autoad_nni.models.scoring import Prediction

__all__ = ["FeatureDictionary"]

_FITTED_ON = 50_000
_BATCH = 16


class FeatureDictionary(Competitor):
    """Mean distance of a location's features to the nearest of a few typical ones; an image's score is its highest.

    The features of all locations of the training images are reduced by principal components and grouped by k-means; the
    means of the groups are the dictionary.

    Args:
        extractor: A registered feature extractor.
        stride: Which of its stages; None: the one next to 16 pixels, the windows of the article.
        size: Entries of the dictionary, 1 or more.
        nearest: To how many of them distances are averaged, 1 to ``size``.
        variance: Share of the variance that the principal components keep, in (0, 1).
        seed: Of k-means, and of the locations that it sees if they are more than 50,000.
        download: Whether the extractor may download its weights.
        weights: A file with its weights, instead.

    Differs from / not given by the paper: Napoletano et al. compute one vector for each window of 16 x 16 pixels with
    ResNet-18, here a pass over the whole image gives those of all locations. Size and number of neighbours are their
    best (10 and 5 of Section 4). No threshold on distances in training: scores are compared by their order.

    Reference: Napoletano, Piccoli and Schettini, Anomaly detection in nanofibrous materials by CNN-based
    self-similarity, Sensors 18, 2018.

    Example:
        >>> from autoad_nni.data import TaskOptions, load_task
        >>> task = load_task(TaskOptions(data="digits", abnormal=("uniform",), limit=100))
        >>> method = FeatureDictionary(extractor="pixels", stride=2).fit(task)
        >>> method.predict(task.test.images[:5]).anomaly_map.shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        *,
        extractor: str = "efficientnet_lite0",
        stride: int | None = None,
        size: int = 10,
        nearest: int = 5,
        variance: float = 0.95,
        seed: int = 0,
        download: bool = False,
        weights: Path | None = None,
    ) -> None:
        self.extractor = load_extractor(extractor, download=download, weights=weights)
        self.stride = stride or min(self.extractor.strides, key=lambda each: abs(each - 16))
        self.size, self.nearest, self.variance, self.seed = size, min(nearest, size), variance, seed
        self.mean = self.components = self.entries = torch.empty(0)

    def fit(self, task: Task) -> Self:
        """Fit the components and the dictionary."""
        from sklearn.cluster import KMeans  # here: half a second
        from sklearn.decomposition import PCA

        vectors = torch.cat([_vectors(self._map(part)) for part in torch.split(task.train, _BATCH)])
        if len(vectors) > _FITTED_ON:
            chosen = np.random.default_rng(self.seed).choice(len(vectors), _FITTED_ON, replace=False)
            vectors = vectors[torch.from_numpy(np.sort(chosen))]
        # As many numbers as the share takes; k-means on at least as many vectors as it has groups.
        components = PCA(self.variance, svd_solver="full").fit(vectors.double().numpy())
        self.mean = torch.from_numpy(components.mean_).float()
        self.components = torch.from_numpy(components.components_).float()
        groups = KMeans(min(self.size, len(vectors)), n_init=10, random_state=self.seed)
        groups.fit(self._reduced(vectors).double().numpy())
        self.entries = torch.from_numpy(groups.cluster_centers_).float()
        return self

    @torch.no_grad()
    def predict(self, images: Tensor) -> Prediction:
        """Score images; the map is enlarged to the images' size."""
        maps = torch.cat([self._distances(part) for part in torch.split(images, _BATCH)])
        enlarged = F.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)
        return Prediction(maps.amax((1, 2, 3)), enlarged)

    def _distances(self, images: Tensor) -> Tensor:
        features = self._map(images)
        distances = torch.cdist(self._reduced(_vectors(features)), self.entries)
        nearest = distances.topk(min(self.nearest, len(self.entries)), 1, largest=False).values
        return nearest.mean(1).view(len(images), 1, *features.shape[2:])

    def _map(self, images: Tensor) -> Tensor:
        features: Tensor = self.extractor(images, (self.stride,))[0]
        return features

    def _reduced(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) @ self.components.T


def _vectors(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2).flatten(0, 1)
