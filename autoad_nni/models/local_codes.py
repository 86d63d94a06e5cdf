"""A hypothesis at each location of a code map, for models that are trained with a hypothesis about whole images."""

from __future__ import annotations

from torch import Tensor, nn

from autoad_nni.models.hypotheses.base import Hypothesis, score_in_parts
from autoad_nni.models.locations import Projection, Whitening, chosen_vectors, vectors_of

__all__ = ["LocalCodes"]

# More numbers at each location make the statistics of a place uncertain, and hypotheses slow.
_MOST_COMPONENTS = 32
_MOST_VECTORS = 5_000


class LocalCodes(nn.Module):
    """Scores the vector at each location of a code map, in units of its own place.

    The vectors are projected to at most 32 principal components and whitened place by place
    (:class:`autoad_nni.models.locations.Whitening`); then the hypothesis sees them, all alike. With `centroid` its
    score is the Mahalanobis distance of a Gaussian at each place.

    Differs from the paper, where a hypothesis sees the code of a whole image only, and says nothing of where.

    Args:
        hypothesis: Fresh; not the one that the model is trained with.

    Shape:
        - code maps: ``(n, d, h, w)``; output: ``(n, 1, h, w)``
    """

    def __init__(self, hypothesis: Hypothesis) -> None:
        super().__init__()
        self.hypothesis = hypothesis
        self.projection = Projection(_MOST_COMPONENTS)
        self.whitening = Whitening()

    def fit(self, code_maps: Tensor) -> None:
        """Fit to the codes of training images."""
        self.projection.fit(code_maps)
        components = self._components(code_maps)
        self.whitening.fit(components)
        self.hypothesis.fit(chosen_vectors(vectors_of(self.whitening(components)), _MOST_VECTORS))

    @property
    def fitted(self) -> bool:
        """Whether `fit` was called."""
        return self.whitening.means.numel() > 0

    def forward(self, code_maps: Tensor) -> Tensor:
        """Return the hypothesis's score at each location."""
        whitened = self.whitening(self._components(code_maps))
        scores = score_in_parts(self.hypothesis, vectors_of(whitened))
        return scores.view(-1, 1, *whitened.shape[-2:])

    def _components(self, code_maps: Tensor) -> Tensor:
        """The principal components; no more than the codes have numbers."""
        components: Tensor = self.projection(code_maps)
        return components[:, : code_maps.shape[1]]
