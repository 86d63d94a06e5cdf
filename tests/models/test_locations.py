"""Principal components and whitening by place, against sklearn and loops over places in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load, save
from sklearn.decomposition import PCA
from torch import Tensor, nn

from autoad_nni.models import locations
from autoad_nni.models.locations import Projection, Whitening, chosen_vectors, vectors_of

Numbers = npt.NDArray[np.float64]


def correlated(n: int, d: int, h: int = 1, w: int = 1, *, seed: int = 0) -> Tensor:
    """Maps whose numbers depend on one another, each place with a mean and a scale of its own, away from zero."""
    generator = torch.Generator().manual_seed(seed)
    of_place = torch.Generator().manual_seed(7)
    mixing = torch.eye(d) + 0.3 * torch.randn(d, d, generator=of_place)
    means, scales = 5 + torch.randn(d, h, w, generator=of_place), 0.5 + torch.rand(h, w, generator=of_place)
    return means + scales * torch.einsum("ndhw,de->nehw", torch.randn(n, d, h, w, generator=generator), mixing)


def fitted(module: Projection | Whitening, maps: Tensor) -> Projection | Whitening:
    module.fit(maps)
    return module


def test_vectors_of_maps_are_those_of_the_first_image_first() -> None:
    maps = correlated(3, 4, 2, 5)
    vectors = vectors_of(maps)
    assert vectors.shape == (30, 4)
    for i, (image, row, column) in enumerate(np.ndindex(3, 2, 5)):
        assert torch.equal(vectors[i], maps[image, :, row, column])


def test_chosen_vectors_are_some_of_them_each_once_in_their_order_and_always_the_same() -> None:
    vectors = torch.arange(1000.0)[:, None]
    chosen = chosen_vectors(vectors, 50)[:, 0]
    assert len(set(chosen.tolist())) == 50 and torch.equal(chosen, chosen.sort().values)
    torch.rand(3)
    assert torch.equal(chosen, chosen_vectors(vectors, 50)[:, 0])
    assert 300 < chosen.mean() < 700 and chosen.max() > 900, "from everywhere"
    assert chosen_vectors(vectors, 1000) is vectors and chosen_vectors(vectors, None) is vectors


@pytest.mark.parametrize(
    ("n", "d", "h", "w", "size"),
    [(40, 6, 3, 4, 6), (40, 6, 3, 4, 2), (200, 5, 1, 1, 3), (12, 90, 1, 1, 5), (3, 8, 1, 2, 4)],
    ids=["all", "two", "vectors", "fewer images than numbers", "fewer vectors than numbers"],
)
def test_components_are_those_of_sklearn(n: int, d: int, h: int, w: int, size: int) -> None:
    maps, new = correlated(n, d, h, w), correlated(4, d, h, w, seed=1)
    projection = fitted(Projection(size), maps)
    pca = PCA(size, svd_solver="full").fit(vectors_of(maps).double().numpy())
    expected = torch.from_numpy(pca.transform(vectors_of(new).double().numpy()))
    got = vectors_of(projection(new)).double()
    # The sign is not PCA's to say.
    signs = torch.sign((got * expected).sum(0))
    torch.testing.assert_close(got * signs, expected, rtol=1e-4, atol=1e-4)
    back = vectors_of(projection.back(projection(new))).double()
    torch.testing.assert_close(back, torch.from_numpy(pca.inverse_transform(expected.numpy())), rtol=1e-4, atol=1e-4)


def test_the_largest_number_of_each_component_is_positive() -> None:
    for d, n in ((7, 60), (60, 7)):
        basis = fitted(Projection(4), correlated(n, d)).basis
        assert (torch.take_along_dim(basis, basis.abs().argmax(0, keepdim=True), 0) > 0).all()


def test_components_that_the_vectors_do_not_have_are_0() -> None:
    """Five images lie in a space of four dimensions."""
    maps = correlated(5, 30)
    projection = fitted(Projection(9), maps)
    components = projection(correlated(6, 30, seed=1))
    assert components.shape == (6, 9, 1, 1) and components[:, :4].all() and not components[:, 4:].any()
    torch.testing.assert_close(projection.back(projection(maps)), maps, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n", [1, 4])
def test_images_that_are_all_alike_have_finite_components(n: int) -> None:
    for d in (3, 20):
        maps = correlated(1, d).expand(n, -1, -1, -1)
        assert fitted(Projection(2), maps)(correlated(5, d, seed=1)).isfinite().all()


def test_components_come_from_a_part_of_very_many_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = correlated(50, 3, 4, 5)
    monkeypatch.setattr(locations, "_MOST_VECTORS", 100)
    some = fitted(Projection(3), maps)
    torch.testing.assert_close(some.centre, chosen_vectors(vectors_of(maps), 100).mean(0))
    monkeypatch.setattr(locations, "_MOST_VECTORS", 1000)
    torch.testing.assert_close(fitted(Projection(3), maps).centre, vectors_of(maps).mean(0))


def covariances_by_hand(maps: Tensor) -> tuple[Numbers, Numbers]:
    """Mean ``(h, w, d)`` and covariance ``(h, w, d, d)`` of each place, shrunk and with the ridge, in loops."""
    numbers = maps.double().numpy()
    n, d, h, w = numbers.shape
    means, own = np.zeros((h, w, d)), np.zeros((h, w, d, d))
    for row in range(h):
        for column in range(w):
            vectors = numbers[:, :, row, column]
            means[row, column] = sum(vectors) / n
            for vector in vectors:
                offset = vector - means[row, column]
                own[row, column] += np.outer(offset, offset) / (n - 1)
    overall = sum(own[row, column] for row in range(h) for column in range(w)) / (h * w)
    weight = d / (n + d)
    ridge = 1e-3 * np.trace(overall) / d
    return means, (1 - weight) * own + weight * overall + ridge * np.eye(d)


def mahalanobis_by_hand(maps: Tensor, new: Tensor) -> Tensor:
    """The squared Mahalanobis distance at each place, ``(n, h, w)``."""
    means, covariances = covariances_by_hand(maps)
    n, _, h, w = new.shape
    found = np.zeros((n, h, w))
    for i, row, column in np.ndindex(n, h, w):
        offset = new[i, :, row, column].double().numpy() - means[row, column]
        found[i, row, column] = offset @ np.linalg.inv(covariances[row, column]) @ offset
    return torch.from_numpy(found)


@pytest.mark.parametrize(
    ("n", "d", "h", "w"),
    [(50, 4, 3, 2), (50, 1, 2, 2), (4, 9, 2, 3), (2, 5, 1, 1), (30, 6, 9, 8)],
    ids=["many images", "one number", "fewer images than numbers", "two images", "more places than at a time"],
)
def test_the_length_of_a_whitened_vector_is_the_mahalanobis_distance(n: int, d: int, h: int, w: int) -> None:
    maps, new = correlated(n, d, h, w), correlated(5, d, h, w, seed=1)
    whitened = fitted(Whitening(), maps)(new)
    assert whitened.shape == new.shape
    torch.testing.assert_close(whitened.double().square().sum(1), mahalanobis_by_hand(maps, new), rtol=2e-3, atol=1e-3)


def test_whitened_vectors_of_many_images_are_white() -> None:
    maps = correlated(4000, 3, 2, 2)
    whitened = fitted(Whitening(), maps)(maps)
    for row, column in np.ndindex(2, 2):
        vectors = whitened[:, :, row, column]
        torch.testing.assert_close(vectors.mean(0), torch.zeros(3), rtol=0, atol=1e-3)
        torch.testing.assert_close(torch.cov(vectors.T), torch.eye(3), rtol=0, atol=0.05)  # the ridge


def test_a_place_is_shrunk_to_all_places_by_the_weight_of_the_numbers() -> None:
    """Variances 1 and 9, one number, three images: weight 1 / (3 + 1); golden values."""
    maps = torch.tensor([[0.0, 0.0], [1.0, 3.0], [-1.0, -3.0]]).view(3, 1, 1, 2)
    factors = fitted(Whitening(), maps).factors.flatten()
    expected = torch.tensor([0.75 * 1 + 0.25 * 5 + 0.005, 0.75 * 9 + 0.25 * 5 + 0.005])
    torch.testing.assert_close(factors, expected.rsqrt())


def test_a_number_that_does_not_vary_stays_finite_and_counts_when_it_does() -> None:
    maps = correlated(20, 3, 2, 2)
    maps[:, 1] = 4.0
    whitening = fitted(Whitening(), maps)
    assert whitening(maps)[:, 1].abs().max() < 1e-3
    changed = maps.clone()
    changed[:, 1] += 1
    assert whitening(changed)[:, 1].abs().min() > 1 and whitening(changed)[:, 1].abs().max() < 1e3


@pytest.mark.parametrize("n", [1, 3])
def test_images_that_do_not_vary_at_all_give_the_offset_itself(n: int) -> None:
    """One image has no variance; a score that is not finite would refuse the model."""
    maps = correlated(1, 3, 2, 2).expand(n, -1, -1, -1)
    torch.testing.assert_close(fitted(Whitening(), maps)(maps + 2), torch.full_like(maps, 2.0))


def test_only_so_many_numbers_are_used_as_fit_into_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, new = correlated(30, 6, 2, 2), correlated(4, 6, 2, 2, seed=1)
    monkeypatch.setattr(locations, "_MOST_NUMBERS", 2 * 2 * 4**2 + 3)
    limited = fitted(Whitening(), maps)
    assert limited.factors.numel() == 2 * 2 * 4**2
    whitened = limited(new)
    assert whitened.shape == new.shape and not whitened[:, 4:].any()
    assert torch.equal(whitened[:, :4], fitted(Whitening(), maps[:, :4])(new[:, :4]))
    monkeypatch.setattr(locations, "_MOST_NUMBERS", 1)
    assert fitted(Whitening(), maps).factors.shape == (4, 1, 1), "one number is the least"


def test_a_basis_of_long_vectors_has_only_so_many_components_as_fit_into_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps, new = correlated(40, 6, 2, 2), correlated(4, 6, 2, 2, seed=1)
    whole = fitted(Projection(5), maps)
    monkeypatch.setattr(locations, "_MOST_NUMBERS", 6 * 3 + 2)
    limited = fitted(Projection(5), maps)
    assert isinstance(limited, Projection) and limited.basis.shape == (6, 3) and not limited.complete
    components = limited(new)
    assert components.shape == (4, 5, 2, 2) and not components[:, 3:].any()
    torch.testing.assert_close(components[:, :3], whole(new)[:, :3])
    assert limited.back(components).shape == new.shape


@pytest.mark.parametrize(("size", "n", "complete"), [(6, 40, True), (9, 40, True), (5, 40, False), (6, 1, False)])
def test_as_many_components_as_numbers_lose_nothing(size: int, n: int, complete: bool) -> None:
    projection = Projection(size)
    projection.fit(correlated(n, 6, 1, 1 if n == 1 else 2))
    assert projection.complete == complete
    new = correlated(4, 6, 2, 2, seed=1)
    gap = (projection.back(projection(new)) - new).abs().max().item()
    assert (gap < 1e-4) == complete


def test_the_limit_is_64_megabytes() -> None:
    assert locations._MOST_NUMBERS * torch.finfo(torch.float32).bits // 8 == 64_000_000


@pytest.mark.parametrize("make", [lambda: Projection(5), Whitening], ids=["projection", "whitening"])
def test_a_fresh_object_with_the_saved_state_gives_the_same(make: type[Whitening]) -> None:
    maps = correlated(30, 6, 2, 3)
    saved = fitted(make(), maps)
    fresh = make()
    fresh.load_state_dict(load(save({name: value.contiguous() for name, value in saved.state_dict().items()})))
    assert torch.equal(fresh(maps), saved(maps))
    again = fitted(make(), correlated(30, 4, 1, 1))  # fitted to other shapes before
    again.load_state_dict(saved.state_dict())
    assert torch.equal(again(maps), saved(maps))


def test_a_state_of_another_module_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        Projection(2).load_state_dict(Whitening().state_dict())


@pytest.mark.parametrize("make", [lambda: Projection(20), Whitening], ids=["projection", "whitening"])
def test_other_threads_change_nothing_but_rounding(make: type[Whitening]) -> None:
    maps = correlated(300, 20, 6, 6)
    results = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2, 4):
            torch.set_num_threads(n_threads)
            results.append(fitted(make(), maps)(maps))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-4)


def test_they_are_not_trained() -> None:
    modules: list[nn.Module] = [fitted(Projection(2), correlated(9, 3)), fitted(Whitening(), correlated(9, 3))]
    assert all(not list(module.parameters()) for module in modules)
