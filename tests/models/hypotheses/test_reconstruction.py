from __future__ import annotations

import pytest
import torch

from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adds_nothing(dtype: torch.dtype) -> None:
    codes = torch.rand(5, 7, dtype=dtype)
    hypothesis = ReconstructionHypothesis()
    assert hypothesis.regularizer(codes).shape == ()
    assert hypothesis.regularizer(codes).item() == 0
    score = hypothesis.score(codes)
    assert score.shape == (5,)
    assert score.dtype == dtype
    assert not score.any()


def test_has_no_state_and_asks_for_no_codes() -> None:
    assert ReconstructionHypothesis.needs_codes is False
    assert ReconstructionHypothesis().state_dict() == {}


def test_the_role_asks_for_codes_unless_a_hypothesis_says_otherwise() -> None:
    assert Hypothesis.needs_codes is True
