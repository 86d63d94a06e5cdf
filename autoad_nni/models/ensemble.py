"""A winner of several: the mean of what some trained models predict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoad_nni.models.detector import Inputs
from autoad_nni.models.feature_model import FeatureModel
from autoad_nni.models.features.maps import FeatureMaps
from autoad_nni.models.scoring import Prediction, Scorer

__all__ = ["Ensemble", "mean_of"]


class Ensemble(nn.Module):
    r"""The mean of the predictions of several scorers, each in units of normal images.

    With mean :math:`\mu_i` and deviation :math:`\sigma_i` of a member's scores over normal images that it was not
    trained on, the score is :math:`\frac{1}{k} \sum_i (s_i - \mu_i) / \sigma_i`; the map likewise, with those of its
    pixels. So the score is not a number of the map.

    Features that several members take are computed once for each image.

    Differs from the paper, whose search ends with one model.

    Args:
        members: At least one.

    Shape:
        - images: ``(batch, channels, height, width)``
        - output: :class:`autoad_nni.models.scoring.Prediction`
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def scorers(self) -> list[Scorer]:
        """The members."""
        return [member for member in self.members if isinstance(member, Scorer)]

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return self.scorers[0].device

    def forward(self, images: Tensor) -> Prediction:
        """Return score and map of a batch."""
        shared = _Features(images, self.scorers)
        return mean_of(self.scorers, [scorer(shared.for_scorer(scorer)) for scorer in self.scorers])

    def score(self, images: Tensor) -> Tensor:
        """Return the scores alone, ``(batch,)``, equal to those of a prediction."""
        shared = _Features(images, self.scorers)
        scores = [scorer.in_units(scorer.score(shared.for_scorer(scorer))) for scorer in self.scorers]
        return torch.stack(scores).mean(0)

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """Return the reconstructions of the first member that reconstructs images; None if none does."""
        for scorer in self.scorers:
            found = scorer.reconstruct(images)
            if found is not None:
                return found
        return None

    def images_per_batch(self, height: int, width: int) -> int:
        """Return how many images of a size make a batch."""
        return min(scorer.images_per_batch(height, width) for scorer in self.scorers)


def mean_of(scorers: Sequence[Scorer], predictions: Sequence[Prediction]) -> Prediction:
    """Return the mean of predictions, each in units of its scorer's normal images."""
    pairs = list(zip(scorers, predictions, strict=True))
    scores = [scorer.in_units(prediction.score) for scorer, prediction in pairs]
    maps = [scorer.map_in_units(prediction.anomaly_map) for scorer, prediction in pairs]
    return Prediction(torch.stack(scores).mean(0), torch.stack(maps).mean(0))


class _Features:
    """The features of a batch, each extractor run once for all scorers."""

    def __init__(self, images: Tensor, scorers: Sequence[Scorer]) -> None:
        self._images = images
        self._known: dict[str, dict[int, Tensor]] = {}
        self._stages: defaultdict[str, set[int]] = defaultdict(set)
        for scorer in scorers:
            model = scorer.detector.autoencoder
            if isinstance(model, FeatureModel):
                self._stages[model.extraction].update(model.stages)

    def for_scorer(self, scorer: Scorer) -> Inputs:
        """What a scorer takes: the images, or their features."""
        model = scorer.detector.autoencoder
        if not isinstance(model, FeatureModel):
            return self._images
        if model.extraction not in self._known:
            stages = sorted(self._stages[model.extraction])
            features = model.extract(self._images, stages)
            self._known[model.extraction] = dict(zip(stages, features.maps, strict=True))
        maps = tuple(self._known[model.extraction][stage] for stage in model.stages)
        return FeatureMaps(maps, (self._images.shape[2], self._images.shape[3]))
