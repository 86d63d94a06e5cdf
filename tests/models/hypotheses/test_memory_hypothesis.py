from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from autoad_nni.models.hypotheses import memory
from autoad_nni.models.hypotheses.memory import MemoryHypothesis


def codes_of(n: int, d: int, *, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def fitted(codes: Tensor, size: int = 2000) -> MemoryHypothesis:
    hypothesis = MemoryHypothesis(size)
    hypothesis.fit(codes)
    return hypothesis


def greedy_k_centre(codes: npt.NDArray[np.float64], size: int) -> list[int]:
    """Which codes are chosen, step by step: the one nearest to the mean, then the farthest from all chosen ones."""
    chosen = [int(np.argmin(np.linalg.norm(codes - codes.mean(0), axis=1)))]
    while len(chosen) < min(size, len(codes)):
        to_nearest = [
            -1.0 if i in chosen else min(float(np.linalg.norm(code - codes[c])) for c in chosen)
            for i, code in enumerate(codes)
        ]
        chosen.append(int(np.argmax(to_nearest)))
    return chosen


@pytest.mark.parametrize(("n", "d", "size"), [(80, 3, 12), (40, 1, 7), (25, 6, 25), (30, 2, 100), (1, 4, 3)])
def test_the_memory_is_the_greedy_coreset(n: int, d: int, size: int) -> None:
    codes = codes_of(n, d)
    expected = codes[greedy_k_centre(codes.double().numpy(), size)]
    assert torch.equal(fitted(codes, size).memory, expected)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_the_score_is_the_distance_to_the_nearest_code_of_the_memory(offset: float) -> None:
    """Far from zero too, where differences of squares would lose all their digits."""
    codes, new = codes_of(200, 8) + offset, codes_of(30, 8, seed=1) * 3 + offset
    hypothesis = fitted(codes, 50)
    scores = hypothesis.score(torch.cat([new, hypothesis.memory]))
    kept = hypothesis.memory.double().numpy()
    expected = [min(float(np.linalg.norm(code - other)) for other in kept) for code in new.double().numpy()]
    torch.testing.assert_close(scores[:30].double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-4)
    assert not scores[30:].any(), "a code of the memory is at no distance"


def test_of_two_codes_that_are_alike_the_nearer_one_counts() -> None:
    """In float32, squares of 30 and more differ by rounding more than those of the two distances."""
    codes = codes_of(200, 8) * 10
    near = codes + codes_of(200, 8, seed=1) * 1e-3
    scores = fitted(torch.cat([codes, near])).score(torch.cat([codes, near]))
    assert not scores.any(), "each is in the memory"


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_codes_far_from_zero_have_the_same_memory(offset: float) -> None:
    codes = codes_of(60, 4).mul(64).round().div(64)  # so that adding the offset rounds nothing
    torch.testing.assert_close(fitted(codes + offset, 20).memory - offset, fitted(codes, 20).memory, rtol=0, atol=0)


def test_golden_order() -> None:
    """On a line: 4 is nearest to the mean 4.6, 10 is farthest from it, then 0, then 7."""
    codes = torch.tensor([[0.0], [2.0], [4.0], [7.0], [10.0]])
    assert fitted(codes, 4).memory.flatten().tolist() == [4.0, 10.0, 0.0, 7.0]


def test_codes_that_are_alike_make_a_memory_too() -> None:
    hypothesis = fitted(torch.full((9, 3), 5.0), 4)
    assert hypothesis.memory.shape == (4, 3)
    assert hypothesis.score(torch.tensor([[5.0, 5.0, 5.0], [5.0, 5.0, 8.0]])).tolist() == [0.0, 3.0]


def test_of_very_many_codes_every_so_manieth_is_a_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = codes_of(100, 3)
    monkeypatch.setattr(memory, "_MOST_CANDIDATES", 40)
    assert torch.equal(fitted(codes).memory, fitted(codes[::3]).memory)
    assert len(fitted(codes).memory) == 34


def test_another_fit_forgets_the_memory_of_the_first() -> None:
    hypothesis = fitted(codes_of(50, 3))
    hypothesis.fit(codes_of(20, 3, seed=1))
    assert torch.equal(hypothesis.memory, fitted(codes_of(20, 3, seed=1)).memory)


def test_no_codes_have_no_scores() -> None:
    assert fitted(codes_of(10, 3)).score(torch.empty(0, 3)).shape == (0,)


def test_nothing_is_trained_towards_it() -> None:
    codes = codes_of(10, 3).requires_grad_()
    hypothesis = fitted(codes.detach())
    assert hypothesis.regularizer(codes).item() == 0 and not hypothesis.regularizer(codes).requires_grad
    assert not list(hypothesis.parameters())
