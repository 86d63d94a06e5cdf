"""The contract that every hypothesis keeps, and what is special about this one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from autoad_nni_knn import KnnHypothesis

from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.testing import HypothesisContract


class TestKnn(HypothesisContract):
    """The eleven tests of the contract."""

    @pytest.fixture
    def plugin(self) -> Callable[[], Hypothesis]:
        """Return what makes the hypothesis."""
        return KnnHypothesis


def test_the_score_equals_that_of_all_distances_sorted() -> None:
    """Compared with the definition, written out."""
    codes, new = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0))
    hypothesis = KnnHypothesis(k=3)
    hypothesis.fit(codes)
    for code, score in zip(new, hypothesis.score(new), strict=True):
        distances = sorted((code - other).norm().item() for other in codes)
        assert score.item() * hypothesis.unit.item() == pytest.approx(sum(distances[:3]) / 3, rel=1e-5)


def test_no_more_codes_are_kept_than_asked_for() -> None:
    """Evenly spread over all that were given."""
    hypothesis = KnnHypothesis(n_kept=4)
    hypothesis.fit(torch.arange(10.0)[:, None])
    assert hypothesis.kept.flatten().tolist() == [0.0, 2.0, 5.0, 7.0]
