from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_table import line, reward, uniform, write

from autoad_nni.errors import AutoADError
from autoad_nni_search_spaces import AutoencoderSpace, FeatureSpace
from benchmarks.strategies.forest import Forest
from benchmarks.strategies.measures import MAX_FEATURE_MACS, MAX_MACS, limit_of, measure
from benchmarks.strategies.recipes import RECIPES
from benchmarks.strategies.surrogate import Surrogate
from benchmarks.strategies.tables import read_table

LARGE = {
    **uniform(1)[0],
    "layer1_channels": 256,
    "layer1_kernel": 7,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tables") / "random.jsonl", uniform(120))


@pytest.fixture(scope="module")
def surrogate(path: Path) -> Surrogate:
    return Surrogate(read_table(path))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_multiply_adds_are_those_of_the_space(n_layers: int) -> None:
    space = AutoencoderSpace(n_layers)
    choices = {str(label): list(each.values) for label, each in space.simplify().items()}
    generator = random.Random(n_layers)
    for _ in range(20):
        sample = {label: generator.choice(values) for label, values in choices.items()}
        sizes = measure(sample)
        with torch.device("meta"):
            model = space.freeze(sample)
            assert sizes.macs == sum(sizes.layer_macs) == model.macs(28, 28)
            assert sizes.code == model(torch.zeros(1, 1, 28, 28)).code.flatten(1).shape[1]


def test_multiply_adds_of_features_are_those_of_a_trial() -> None:
    space = FeatureSpace(extractors=("contrast", "patches", "pixels"))
    choices = {str(label): list(each.values) for label, each in space.simplify().items()}
    generator = random.Random(0)
    sizes = []
    for _ in range(40):
        sample = {label: generator.choice(values) for label, values in choices.items()}
        sizes.append(measure(sample).macs)
        assert sizes[-1] == space.freeze(sample).macs(32, 32)
    assert max(sizes) > MAX_FEATURE_MACS > sorted(sizes)[20] and min(sizes) == 0
    assert limit_of(sample) == MAX_FEATURE_MACS and limit_of(LARGE) == MAX_MACS


@pytest.mark.slow
def test_what_is_over_the_limit_has_no_reward(surrogate: Surrogate) -> None:
    assert measure(LARGE).macs > MAX_MACS
    assert surrogate(LARGE) == 0.0


def test_it_knows_good_models_from_bad_ones(surrogate: Surrogate) -> None:
    assert surrogate.rank_correlation > 0.8
    unseen = uniform(300)[120:]
    assert all(0 <= surrogate(sample) <= 1 for sample in unseen)
    error = sum(abs(surrogate(sample) - reward(sample)) for sample in unseen) / len(unseen)
    assert error < 0.1


def test_the_forest_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    features, targets, unseen = generator.random((80, 6)), generator.random(80), generator.random((50, 6))
    forest = Forest(features, targets)
    np.testing.assert_allclose(forest.predict(unseen), forest.model.predict(unseen), rtol=1e-12)
    np.testing.assert_array_equal(forest.predict(unseen[:1]), forest.predict(unseen)[:1])


def features(count: int) -> list[dict[str, Any]]:
    return list(islice(RECIPES["cells"].samples(), count))


def by_layers(sample: Mapping[str, Any]) -> float:
    """A reward that layers decide, which vectors of images do not have."""
    if sample["vectors"] == "image":
        return 0.5
    return {"n": 0.2, "1": 0.6, "2": 0.9}[sample["layers"][0]]


@pytest.mark.slow
def test_a_table_of_features_is_a_table_of_their_space(tmp_path: Path) -> None:
    rows = (line(sample, default=by_layers(sample), verdict="ok") + "\n" for sample in features(150))
    (tmp_path / "cells.jsonl").write_text("".join(rows))
    fitted = Surrogate(read_table(tmp_path / "cells.jsonl"))
    assert fitted.search_space["extractor"] == ("efficientnet_lite0", "contrast", "patches", "pixels")
    assert fitted.rank_correlation > 0.9
    unseen = features(300)[150:]
    assert sum(abs(fitted(sample) - by_layers(sample)) for sample in unseen) / len(unseen) < 0.05
    heavy = {**features(1)[0], "extractor": "patches", "projection": "all", "layers": "2 of 3x3 to 64"}
    assert fitted({**heavy, "vectors": "location"}) == 0.0 < fitted({**heavy, "vectors": "image"})


@pytest.mark.slow
def test_proposals_are_trained_on_and_left_out_in_turn(tmp_path: Path) -> None:
    """All that one strategy proposes is better than its choices say; the other's is as they say."""
    samples = uniform(160)
    proposers = [""] * 120 + ["lucky"] * 20 + ["sober"] * 20
    more = {"": 0.0, "sober": 0.0, "lucky": 0.3}

    def write_table(count: int) -> Surrogate:
        rows = (
            line(sample, default=reward(sample) + more[proposer], verdict="ok", proposer=proposer) + "\n"
            for sample, proposer in zip(samples[:count], proposers[:count], strict=True)
        )
        (tmp_path / "random.jsonl").write_text("".join(rows))
        return Surrogate(read_table(tmp_path / "random.jsonl"))

    assert write_table(120).left_out == {}
    fitted = write_table(160)
    lucky, sober = fitted.left_out["lucky"], fitted.left_out["sober"]
    assert lucky.n_models == sober.n_models == 20
    assert lucky.bias < -0.2 and abs(sober.bias) < 0.1
    assert lucky.error >= -lucky.bias and sober.rank_correlation > 0.8
    assert fitted(samples[125]) > reward(samples[125]) + 0.05


def test_it_covers_the_whole_space(surrogate: Surrogate) -> None:
    assert set(surrogate.search_space) == set(LARGE)
    assert surrogate.search_space["layer1_channels"] == (3, 8, 16, 32, 64, 128, 256)


@pytest.mark.slow
def test_the_same_table_gives_the_same_answers(path: Path, surrogate: Surrogate) -> None:
    again = Surrogate(read_table(path))
    assert (again.digest, again.method, again.rank_correlation) == (
        surrogate.digest,
        surrogate.method,
        surrogate.rank_correlation,
    )
    assert all(again(sample) == surrogate(sample) for sample in uniform(20, seed=1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("".join(line(sample) + "\n" for sample in uniform(9)), "has 9 lines. Expected 10 or more"),
        (line({**LARGE, "layer1_kernel": 9}), "has layer1_kernel: 9. Expected one of 1, 3, 5, 7"),
        (line({**LARGE, "layer7_kernel": 3}), "The label 'layer2_channels' is missing|Unknown label"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "random.jsonl"
    path.write_text(content)
    with pytest.raises(AutoADError, match=reason):
        Surrogate(read_table(path))
