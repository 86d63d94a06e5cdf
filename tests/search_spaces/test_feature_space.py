from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from feature_samples import sample_of
from nni.nas.nn.pytorch import ModelSpace

from autoad_nni.errors import AutoADError
from autoad_nni.models.feature_model import FEATURE_CHOICES, FeatureModel
from autoad_nni.models.features import load_extractor
from autoad_nni.registry import ARCHITECTURES, FEATURES, HYPOTHESES, LOSSES, SEARCH_SPACES
from autoad_nni.searches.known import known_methods, known_within
from autoad_nni.searches.spaces import SampleSpace, declare, narrow, to_search_space
from autoad_nni_search_spaces import FeatureSpace
from autoad_nni_search_spaces.features import EXTRACTORS

LABELS = ("extractor", "hypothesis", "distance", *FEATURE_CHOICES)


def written(**kept: list[Any]) -> dict[str, Any]:
    """The space as an experiment file has it, with only some values of some labels."""
    space = to_search_space(FeatureSpace())
    return {**space, **{label: {"_type": "choice", "_value": values} for label, values in kept.items()}}


def test_it_is_registered_with_its_architecture() -> None:
    assert SEARCH_SPACES.load("features") is FeatureSpace and "features" in ARCHITECTURES.names()
    assert issubclass(FeatureSpace, ModelSpace)


def test_labels_and_values() -> None:
    space = to_search_space(FeatureSpace())
    assert set(space) == set(LABELS) and len(LABELS) == 9
    values = {label: tuple(entry["_value"]) for label, entry in space.items()}
    assert {label: values[label] for label in FEATURE_CHOICES} == dict(FEATURE_CHOICES)
    assert values["extractor"] == EXTRACTORS
    assert values["hypothesis"] == ("density", "cluster", "centroid", "reconstruction", "memory")
    assert values["distance"] == ("l1", "l2", "l21")


def test_all_names_are_installed_and_all_extractors_have_all_stages() -> None:
    space = to_search_space(FeatureSpace())
    assert set(space["hypothesis"]["_value"]) <= set(HYPOTHESES.names())
    assert set(space["distance"]["_value"]) <= set(LOSSES.names())
    stages = {int(part) for value in FEATURE_CHOICES["stages"] for part in str(value).split("+")}
    for name in space["extractor"]["_value"]:
        assert name in FEATURES.names()
        load_extractor(name).check_stages(sorted(stages))


def test_the_size_is_the_product_of_the_choices() -> None:
    sizes = [len(entry["_value"]) for entry in to_search_space(FeatureSpace()).values()]
    assert math.prod(sizes) == 4 * 5 * 3 * (8 * 2 * 2 * 3 * 4 * (1 + 2 * 2 * 3))


@pytest.mark.parametrize("name", sorted(FeatureSpace.known))
def test_known_methods_are_in_the_space(name: str) -> None:
    sample = FeatureSpace.known[name]
    for label, entry in to_search_space(FeatureSpace()).items():
        assert any(sample[label] == value and type(sample[label]) is type(value) for value in entry["_value"]), label
    model = FeatureSpace(channels=3).freeze(sample)
    assert isinstance(model, FeatureModel)
    assert model.local_codes == (sample["vectors"] != "image")


def test_known_methods_differ_from_one_another() -> None:
    assert known_methods("features") == FeatureSpace.known
    assert list(FeatureSpace.known) == [
        "patchcore", "padim", "feature_mixture", "feature_autoencoder", "contrast_mixture", "contrast_centroid", "pca",
        "nearest_neighbour", "mean_image"
    ]  # fmt: skip
    samples = [tuple(sorted(sample.items())) for sample in FeatureSpace.known.values()]
    assert len(set(samples)) == len(samples)


def test_all_known_methods_are_within_the_whole_space_and_fewer_within_a_narrow_one() -> None:
    whole = narrow(declare("features", LABELS), written())
    assert known_within("features", whole) == FeatureSpace.known
    pixels = narrow(declare("features", LABELS), written(extractor=["pixels"]))
    assert list(known_within("features", pixels)) == ["pca", "nearest_neighbour", "mean_image"]
    memory = narrow(declare("features", LABELS), written(hypothesis=["memory"], vectors=["location", "place"]))
    assert list(known_within("features", memory)) == ["patchcore"]


def test_a_file_may_narrow_the_space() -> None:
    narrowed = narrow(declare("features", LABELS), written(extractor=["pixels"], layers=["none", "1 of 1x1 to 8"]))
    assert narrowed["layers"].values == ["none", "1 of 1x1 to 8"] and narrowed["extractor"].values == ["pixels"]
    sample = SampleSpace(narrowed).freeze(sample_of(layers="1 of 1x1 to 8")).sample
    assert sample == sample_of(layers="1 of 1x1 to 8")


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (
            {"enlargement": [1, 3]},
            "searchSpace has the unknown value 3 for enlargement. Expected values out of [1, 2].",
        ),
        ({"enlargement": [True]}, "searchSpace has the unknown value True for enlargement."),
        ({"stages": ["2"]}, "searchSpace has the unknown value '2' for stages."),
        ({"extractor": ["resnet"]}, "searchSpace has the unknown value 'resnet' for extractor."),
        ({"stage": ["4"]}, "searchSpace has the unknown label 'stage'. Expected one of"),
        ({"layers": []}, "searchSpace leaves layers without a value."),
    ],
)
def test_a_file_may_not_widen_it(kept: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        narrow(declare("features", LABELS), written(**kept))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_file_may_have_every_installed_extractor_hypothesis_and_distance() -> None:
    declared = to_search_space(declare("features", LABELS))
    assert set(declared["extractor"]["_value"]) == set(FEATURES.names()) > set(EXTRACTORS)
    assert set(declared["hypothesis"]["_value"]) == set(HYPOTHESES.names())
    assert set(declared["distance"]["_value"]) == set(LOSSES.names())


def test_labels_that_are_not_its_own() -> None:
    with pytest.raises(AutoADError, match=r"^The label 'layers' is missing\. Expected: extractor, "):
        FeatureSpace.for_labels([label for label in LABELS if label != "layers"], channels=1)
    with pytest.raises(AutoADError, match=r"^Unknown label 'layer1_kernel'\. "):
        FeatureSpace.for_labels([*LABELS, "layer1_kernel"], channels=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "3 of 1x1 to 8"}, "The sample is not in the search space"),
        ({"extractor": "resnet18"}, "The sample is not in the search space"),
        ({"depth": 3}, "Unknown label 'depth'."),
    ],
)
def test_a_sample_that_it_does_not_have(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        FeatureSpace().freeze({**sample_of(), **changes})
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_frozen_samples_take_grey_and_colour_images() -> None:
    rng = random.Random(0)
    choices = {label: entry["_value"] for label, entry in to_search_space(FeatureSpace()).items()}
    for channels in (1, 3):
        for _ in range(6):
            sample = {label: rng.choice(values) for label, values in choices.items()} | {"extractor": "pixels"}
            model = FeatureSpace(channels=channels).freeze(sample)
            features = model.extract(torch.rand(6, channels, 33, 40))
            model.prepare(features)
            output = model(features)
            assert output.reconstruction.shape == output.target.shape and len(output.code) == 6
