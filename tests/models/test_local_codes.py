from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.decomposition import PCA
from torch import Tensor
from toys import Brightness

from autoad_nni.models import local_codes
from autoad_nni.models.hypotheses.centroid import CentroidHypothesis
from autoad_nni.models.hypotheses.memory import MemoryHypothesis
from autoad_nni.models.local_codes import LocalCodes
from autoad_nni.models.locations import Projection, Whitening, vectors_of
from autoad_nni.registry import HYPOTHESES


def code_maps(n: int, d: int, h: int, w: int, *, seed: int = 0) -> Tensor:
    """Codes with a mean and a mixture of numbers for each place."""
    generator, of_place = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(7)
    mixing = torch.randn(h, w, d, d, generator=of_place) + 2 * torch.eye(d)
    noise = torch.randn(n, h, w, d, generator=generator)
    return torch.randn(d, h, w, generator=of_place) + torch.einsum("nhwd,hwde->nehw", noise, mixing)


def fitted(maps: Tensor, name: str = "centroid") -> LocalCodes:
    local = LocalCodes(HYPOTHESES.load(name)())
    with torch.no_grad():
        local.fit(maps)
    return local


def whitened_by_hand(maps: Tensor, new: Tensor) -> Tensor:
    """Components of sklearn, then the root of each place's shrunk covariance, place by place."""
    n, d, h, w = maps.shape
    pca = PCA(svd_solver="full").fit(vectors_of(maps).double().numpy())
    signs = np.sign(np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(1)[:, None], 1))
    train, held = (
        ((vectors_of(each).double().numpy() - pca.mean_) @ (pca.components_ * signs).T).reshape(-1, h, w, d)
        for each in (maps, new)
    )
    covariances = np.stack([np.cov(train[:, i, j].T) for i, j in np.ndindex(h, w)]).reshape(h, w, d, d)
    overall, weight = covariances.mean((0, 1)), d / (n + d)
    shrunk = (1 - weight) * covariances + weight * overall + 1e-3 * np.trace(overall) / d * np.eye(d)
    whitened = np.zeros_like(held)
    for i, j in np.ndindex(h, w):
        offsets = held[:, i, j] - train[:, i, j].mean(0)
        whitened[:, i, j] = np.linalg.solve(np.linalg.cholesky(shrunk[i, j]), offsets.T).T
    return torch.from_numpy(whitened)


def test_with_centroid_the_score_is_the_mahalanobis_distance_at_each_place() -> None:
    """Per number and in units of the training codes; the centre is pushed 0.1 units away from zero."""
    maps, new = code_maps(60, 3, 4, 5), 3 * code_maps(9, 3, 4, 5, seed=1)
    trained, held = (whitened_by_hand(maps, each) for each in (maps, new))
    unit = trained.var((0, 1, 2), correction=0).mean().sqrt()
    squared = [((each / unit - 0.1) ** 2).mean(3) for each in (trained, held)]
    expected = squared[1] - torch.quantile(squared[0], 0.9)
    local = fitted(maps)
    torch.testing.assert_close(local(new)[:, 0].double(), expected, rtol=2e-3, atol=2e-3)
    # But for the push, nothing else orders places and images.
    distances = held.square().mean(3)
    order = torch.corrcoef(torch.stack([local(new)[:, 0].double().flatten(), distances.flatten()]))[0, 1]
    assert order > 0.99


def test_the_sign_of_the_push_does_not_depend_on_rounding() -> None:
    """The mean of whitened codes is zero but for rounding, which differs from machine to machine."""
    for noise in (1e-7, -1e-7):
        hypothesis = CentroidHypothesis()
        hypothesis.fit(torch.tensor([[1.0, -2.0], [-1.0, 2.0]]) + noise)
        torch.testing.assert_close(hypothesis.centre, (0.1 * hypothesis.unit).expand(2), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", ["density", "cluster", "centroid", "memory"])
def test_the_hypothesis_sees_the_whitened_vectors_of_all_locations(name: str) -> None:
    maps, new = code_maps(20, 4, 3, 2), code_maps(5, 4, 3, 2, seed=1)
    projection, whitening, hypothesis = Projection(4), Whitening(), HYPOTHESES.load(name)()
    projection.fit(maps)
    whitening.fit(projection(maps))
    hypothesis.fit(vectors_of(whitening(projection(maps))))
    scores = hypothesis.score(vectors_of(whitening(projection(new))))
    got = fitted(maps, name)(new)
    assert got.shape == (5, 1, 3, 2)
    torch.testing.assert_close(got.flatten(), scores)


@pytest.mark.parametrize("name", ["density", "cluster", "centroid", "memory"])
def test_a_change_at_one_place_shows_there_alone(name: str) -> None:
    maps = code_maps(40, 4, 3, 3)
    local, normal = fitted(maps, name), code_maps(6, 4, 3, 3, seed=1)
    changed = normal.clone()
    changed[:, :, 1, 2] += 30
    before, after = local(normal)[:, 0], local(changed)[:, 0]
    assert (after[:, 1, 2] > before.amax((1, 2))).all()
    after[:, 1, 2] = before[:, 1, 2]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_what_is_normal_at_one_place_is_anomalous_at_another() -> None:
    maps = code_maps(80, 3, 1, 2)
    maps[:, :, 0, 1] += 40
    moved = maps.clone()
    moved[:, :, 0, 0], moved[:, :, 0, 1] = maps[:, :, 0, 1], maps[:, :, 0, 0]
    local = fitted(maps)
    assert local(moved).min() > local(maps).max()


def test_at_most_32_components_are_used() -> None:
    local = fitted(code_maps(30, 40, 2, 2))
    assert local.projection.basis.shape == (40, 32) and local.whitening.factors.shape == (4, 32, 32)
    assert fitted(code_maps(30, 5, 2, 2)).projection.basis.shape == (5, 5)


def test_the_hypothesis_is_fitted_to_a_part_of_very_many_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_codes, "_MOST_VECTORS", 7)
    hypothesis = fitted(code_maps(30, 3, 2, 2), "memory").hypothesis
    assert isinstance(hypothesis, MemoryHypothesis) and len(hypothesis.memory) == 7


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images_are_enough_for_finite_scores(n: int) -> None:
    for name in ("density", "cluster", "centroid", "memory"):
        assert fitted(code_maps(n, 6, 2, 2), name)(code_maps(5, 6, 2, 2, seed=1)).isfinite().all(), name


@pytest.mark.parametrize("name", ["density", "cluster", "centroid", "memory"])
def test_a_fresh_object_with_the_saved_state_gives_the_same(name: str) -> None:
    maps, new = code_maps(30, 4, 2, 3), code_maps(5, 4, 2, 3, seed=1)
    saved, fresh = fitted(maps, name), LocalCodes(HYPOTHESES.load(name)())
    assert not fresh.fitted and saved.fitted
    fresh.load_state_dict(load(save({key: value.contiguous() for key, value in saved.state_dict().items()})))
    assert fresh.fitted and torch.equal(fresh(new), saved(new))


def test_a_third_party_hypothesis_needs_no_change() -> None:
    local = LocalCodes(Brightness())
    local.fit(code_maps(20, 3, 2, 2))
    assert local(code_maps(4, 3, 2, 2)).shape == (4, 1, 2, 2)
