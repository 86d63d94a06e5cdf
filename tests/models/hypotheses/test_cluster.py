from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import TwoNumbers

from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.cluster import ClusterHypothesis, target
from autoad_nni.models.training import TrainingSettings, fit

CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def clustered(n: int = 300, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return CENTRES.repeat(n // 3, 1) + torch.randn(n, 2, generator=generator)


def fitted(**settings: float) -> ClusterHypothesis:
    hypothesis = ClusterHypothesis(3, **settings)
    hypothesis.fit(clustered())
    return hypothesis


def naive_memberships(code: np.ndarray, centroids: np.ndarray, unit: float) -> np.ndarray:
    kernel = np.array([1 / (1 + sum((a - b) ** 2 for a, b in zip(code, c, strict=True)) / unit**2) for c in centroids])
    return kernel / kernel.sum()


def test_the_regularizer_is_the_papers_divergence() -> None:
    hypothesis = fitted(weight=0.4)
    batch = clustered(seed=1)[:30]
    frequencies = hypothesis.frequencies.numpy()
    total = 0.0
    for code in batch.numpy():
        q = naive_memberships(code, hypothesis.centroids.numpy(), hypothesis.unit.item())
        p = q**2 / frequencies / (q**2 / frequencies).sum()
        total += sum(p_j * math.log(p_j / q_j) for p_j, q_j in zip(p, q, strict=True))
    assert hypothesis.regularizer(batch).item() == pytest.approx(0.4 * total / 30, rel=1e-4)


def test_a_case_worked_out_by_hand() -> None:
    """Centroids 0 and 3, unit 1, a code at 1: kernels 1/2 and 1/5, q 5/7 and 2/7, p 25/29 and 4/29."""
    hypothesis = ClusterHypothesis(2, weight=1.0)
    hypothesis.centroids = torch.tensor([[0.0], [3.0]])
    hypothesis.frequencies = torch.tensor([0.5, 0.5])
    hypothesis.seen = torch.zeros(2)
    code = torch.ones(1, 1)
    divergence = 25 / 29 * math.log(25 / 29 / (5 / 7)) + 4 / 29 * math.log(4 / 29 / (2 / 7))
    assert hypothesis.regularizer(code).item() == pytest.approx(divergence, rel=1e-5)
    assert hypothesis.score(code).item() == pytest.approx(-math.log(1 / 2 + 1 / 5), rel=1e-5)
    assert target(torch.tensor([[5 / 7, 2 / 7]]), hypothesis.frequencies)[0, 0].item() == pytest.approx(25 / 29)


def test_rare_clusters_pull_more() -> None:
    q = torch.tensor([[0.5, 0.5]])
    assert target(q, torch.tensor([0.9, 0.1]))[0].tolist() == pytest.approx([0.1, 0.9])


def test_centroids_and_unit_are_those_of_the_codes() -> None:
    hypothesis = fitted()
    nearest = torch.cdist(CENTRES, hypothesis.centroids)
    assert nearest.amin(1).max() < 0.3 and len(set(nearest.argmin(1).tolist())) == 3
    assert hypothesis.unit.item() == pytest.approx(math.sqrt(2), rel=0.1)  # two numbers of variance 1
    assert hypothesis.frequencies.sum().item() == pytest.approx(1)


def test_far_codes_score_higher_where_the_divergence_does_not() -> None:
    hypothesis = fitted()
    codes = torch.cat([CENTRES, torch.full((1, 2), 1000.0)])
    assert hypothesis.score(codes).argmax() == 3
    q = hypothesis._kernel(codes)
    q = q / q.sum(1, keepdim=True)
    p = target(q, hypothesis.frequencies)
    divergence = (p * (p / q).log()).sum(1)
    assert divergence.argmin() == 3  # why Table I's term is no score


def test_the_regularizer_pulls_codes_together() -> None:
    hypothesis = fitted()
    codes = clustered(seed=2).requires_grad_()
    (gradient,) = torch.autograd.grad(hypothesis.regularizer(codes), codes)
    nearest = hypothesis.centroids[torch.cdist(codes.detach(), hypothesis.centroids).argmin(1)]
    assert (gradient * (codes.detach() - nearest)).sum() > 0


def test_frequencies_are_refreshed_by_training_batches_only() -> None:
    hypothesis = fitted(refresh_every=0.08)  # of 300 codes: 24
    first = CENTRES[:1].repeat(8, 1)  # all in one cluster
    before = hypothesis.frequencies.clone()
    hypothesis.eval()
    for _ in range(5):
        hypothesis.regularizer(first)
    assert torch.equal(hypothesis.frequencies, before)
    hypothesis.train()
    for _ in range(2):
        hypothesis.regularizer(first)
    assert torch.equal(hypothesis.frequencies, before)
    hypothesis.regularizer(first)
    assert hypothesis.frequencies.max() > 0.9
    hypothesis.regularizer(CENTRES[1:2].repeat(8, 1))
    refreshed = hypothesis.frequencies.clone()
    hypothesis.fit(clustered())
    torch.testing.assert_close(hypothesis.frequencies, before)
    for _ in range(2):
        hypothesis.regularizer(first)
    torch.testing.assert_close(hypothesis.frequencies, before, msg="fit() begins to count anew")
    assert not torch.equal(refreshed, before)


@pytest.mark.parametrize("batch_size", [4, 64])
def test_the_frequencies_are_those_of_the_codes_since_the_last_refresh(batch_size: int) -> None:
    """A batch counts by its codes: the last one is smaller."""
    hypothesis = fitted(refresh_every=1 / 3).train()
    codes = clustered(seed=4)[:100]
    for batch in codes.split(batch_size):  # type: ignore[no-untyped-call]
        hypothesis.regularizer(batch)
    unit = hypothesis.unit.item()
    mean = np.mean([naive_memberships(code, hypothesis.centroids.numpy(), unit) for code in codes.numpy()], 0)
    np.testing.assert_allclose(hypothesis.frequencies, mean, rtol=1e-4)


class Noting(ClusterHypothesis):
    """Notes the frequencies that each training batch is compared with."""

    def __init__(self) -> None:
        super().__init__(3)
        self.noted: list[tuple[float, ...]] = []

    def regularizer(self, codes: Tensor) -> Tensor:
        self.noted.append(tuple(self.frequencies.tolist()))
        return super().regularizer(codes)


@pytest.mark.parametrize("n_images", [24, 200])
def test_the_frequencies_are_refreshed_within_an_epoch_of_a_small_set(n_images: int) -> None:
    images = torch.rand(n_images, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    detector = Detector(TwoNumbers(), hypothesis := Noting(), L2Distance())
    fit(detector, images, settings=TrainingSettings(epochs=3, batch_size=4), seed=0)
    per_epoch = n_images // 4
    epochs = [hypothesis.noted[i : i + per_epoch] for i in range(0, 3 * per_epoch, per_epoch)]
    assert [len(set(epoch)) for epoch in epochs] == [2, 2, 2], "from fit(), then from the first half of the epoch"
    assert all(len(set(epoch[: per_epoch // 2])) == 1 for epoch in epochs)


def test_a_later_fit_keeps_the_order_of_the_clusters() -> None:
    hypothesis = fitted()
    before = hypothesis.centroids.clone()
    hypothesis.fit(clustered(seed=5) + 0.2)
    torch.testing.assert_close(hypothesis.centroids, before + 0.2, atol=0.4, rtol=0)


@pytest.mark.parametrize("codes", [torch.zeros(1, 2), torch.ones(50, 2), torch.tensor([[0.0, 1.0], [5.0, 1.0]])])
def test_fewer_distinct_codes_than_clusters(codes: Tensor) -> None:
    hypothesis = ClusterHypothesis(10)
    for _ in range(2):
        hypothesis.fit(codes)
    near, far = hypothesis.score(torch.cat([codes[:1], codes[:1] + 100])).tolist()
    assert near < far and math.isfinite(far)
