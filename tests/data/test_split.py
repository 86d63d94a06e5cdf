from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni.data.source import Catalogue
from autoad_nni.data.split import contaminate, cut, generator, halve_defects, limited, shares, split_normal

quick = settings(deadline=None, derandomize=True, max_examples=60)


@quick
@given(st.integers(10, 400), st.integers(0, 5))
def test_split_is_6_2_2_disjoint_and_complete(n: int, seed: int) -> None:
    parts = split_normal(np.arange(n), Catalogue(n_images=n), generator(seed))
    assert sorted(np.concatenate(parts)) == list(range(n))
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(part) - share * n) <= 1


@pytest.mark.parametrize(("n", "sizes"), [(10, [6, 2, 2]), (11, [7, 2, 2]), (12, [7, 3, 2]), (1797, [1078, 360, 359])])
def test_split_sizes_by_hand(n: int, sizes: list[int]) -> None:
    assert [len(part) for part in split_normal(np.arange(n), Catalogue(n_images=n), generator(0))] == sizes


@quick
@given(st.lists(st.integers(0, 12), min_size=20, max_size=120), st.integers(0, 3))
def test_a_group_stays_in_one_part_and_cuts_are_near_their_places(members: list[int], seed: int) -> None:
    groups = np.array(members)
    parts = cut(np.arange(len(groups)), groups, (0.6, 0.2, 0.2), generator(seed))
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    owners = [set(groups[part]) for part in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    half_of_largest = np.bincount(groups).max() / 2
    assert abs(len(parts[0]) - 0.6 * len(groups)) <= half_of_largest + 1e-3
    assert abs(len(parts[2]) - 0.2 * len(groups)) <= half_of_largest + 1e-3


def test_the_first_few_of_a_part_come_from_many_groups() -> None:
    first, _ = cut(np.arange(1000), np.arange(1000) % 20, (0.5, 0.5), generator(0))
    assert len(set(first[:40] % 20)) == 10


def test_held_out_images_are_halved_and_never_trained_on() -> None:
    held_out = np.arange(50) >= 39
    train, validation, test = split_normal(np.arange(50), Catalogue(n_images=50, held_out=held_out), generator(0))
    assert sorted(train) == list(range(39))
    assert sorted([*validation, *test]) == list(range(39, 50))
    assert (len(validation), len(test)) == (6, 5)


def test_cut_deals_only_the_given_indices() -> None:
    first, second = cut(np.array([3, 7, 8, 20]), np.arange(30) // 5, (0.5, 0.5), generator(1))
    assert sorted([*first, *second]) == [3, 7, 8, 20]
    assert {7, 8} <= set(first) or {7, 8} <= set(second)


@quick
@given(st.lists(st.sampled_from(["", "crack", "dent", "hole"]), min_size=1, max_size=60), st.integers(0, 3))
def test_defects_are_halved_within_each_type(defects: list[str], seed: int) -> None:
    halves = halve_defects(defects, generator(seed))
    assert sorted(np.concatenate(halves)) == [i for i, defect in enumerate(defects) if defect]
    assert len(halves[0]) - len(halves[1]) in (0, 1)
    for defect in {*defects} - {""}:
        first, second = (sum(defects[i] == defect for i in half) for half in halves)
        assert abs(first - second) <= 1


@quick
@given(st.integers(1, 20_000), st.integers(1, 2_000), st.floats(0.01, 0.5))
def test_contamination_is_exact_to_rounding(n_normal: int, n_abnormal: int, contamination: float) -> None:
    normal, abnormal = contaminate(n_normal, n_abnormal, contamination)
    assert normal <= n_normal and abnormal <= n_abnormal
    assert normal == n_normal or abnormal == n_abnormal
    # Half an image too many or too few.
    assert abs(abnormal - normal * contamination / (1 - contamination)) <= 0.5 + 1e-6


def test_contamination_by_hand() -> None:
    assert contaminate(950, 50, 0.05) == (950, 50)
    assert contaminate(950, 40, 0.05) == (760, 40)
    assert contaminate(9, 40, 0.05) == (9, 0)


def test_shares_are_equal() -> None:
    assert shares(737, 2) == [369, 368]
    assert shares(2, 3) == [1, 1, 0]


def test_limit_keeps_the_share_of_held_out_images() -> None:
    catalogue = Catalogue(n_images=100, held_out=np.arange(100) >= 80)
    kept = limited(np.arange(100), catalogue, 50, generator(0))
    assert len(set(kept)) == 50 and (kept >= 80).sum() == 10
    # A share of 10 % would be one image, which cannot be halved.
    catalogue = Catalogue(n_images=100, held_out=np.arange(100) >= 90)
    assert (limited(np.arange(100), catalogue, 10, generator(0)) >= 90).sum() == 2


def test_limit_above_the_number_changes_nothing() -> None:
    assert limited(np.arange(20), Catalogue(n_images=20), 20, generator(0)).tolist() == list(range(20))


def test_generators_differ_by_seed_and_purpose_and_are_the_same_ever_after() -> None:
    draws = {tuple(generator(*key).integers(0, 1000, 4)) for key in [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1)]}
    assert len(draws) == 4
    assert tuple(generator(0, "a").integers(0, 1000, 4)) in draws
