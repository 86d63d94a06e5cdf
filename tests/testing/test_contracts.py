from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import broken_defects
import broken_distances
import broken_features
import broken_hypotheses
import pytest
import torch

import autoad_nni.testing
from autoad_nni.data.planting.plant import Generator
from autoad_nni.models.distances.base import Distance
from autoad_nni.models.features import FeatureExtractor
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.registry import DEFECTS, FEATURES, HYPOTHESES, LOSSES
from autoad_nni.testing import DefectContract, DistanceContract, FeatureContract, HypothesisContract
from autoad_nni.testing.checking import Check, Factory
from autoad_nni.testing.defect_checks import DEFECT_CHECKS
from autoad_nni.testing.distance_checks import DISTANCE_CHECKS, it_is_never_negative
from autoad_nni.testing.feature_checks import FEATURE_CHECKS
from autoad_nni.testing.hypothesis_checks import HYPOTHESIS_CHECKS


class TestHypotheses(HypothesisContract):
    @pytest.fixture(params=HYPOTHESES.names())
    def plugin(self, request: pytest.FixtureRequest) -> Factory[Hypothesis]:
        factory: Factory[Hypothesis] = HYPOTHESES.load(request.param)
        return factory


class TestDistances(DistanceContract):
    @pytest.fixture(params=LOSSES.names())
    def plugin(self, request: pytest.FixtureRequest) -> Factory[Distance]:
        factory: Factory[Distance] = LOSSES.load(request.param)
        return factory


class TestDefects(DefectContract):
    @pytest.fixture(params=DEFECTS.names())
    def plugin(self, request: pytest.FixtureRequest) -> Generator:
        generator: Generator = DEFECTS.load(request.param)
        return generator


class TestSoundDefects(DefectContract):
    @pytest.fixture
    def plugin(self) -> Generator:
        return broken_defects.sound


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, in torchvision's format."""
    from torchvision.models import resnet18

    file = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet18().state_dict(), file)
    return file


@pytest.fixture(scope="module")
def dinov2_vits14_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, where timm is installed."""
    timm = pytest.importorskip("timm")
    file = tmp_path_factory.mktemp("weights") / "dinov2.pth"
    torch.save(timm.create_model("vit_small_patch14_dinov2", num_classes=0).state_dict(), file)
    return file


class TestFeaturesThatNeedNoFile(FeatureContract):
    @pytest.fixture(params=["pixels", "patches", "contrast", "efficientnet_lite0"])
    def plugin(self, request: pytest.FixtureRequest) -> Factory[FeatureExtractor]:
        factory: Factory[FeatureExtractor] = FEATURES.load(request.param)
        return factory


class TestFeaturesOfAFile(FeatureContract):
    @pytest.fixture(params=["resnet18", "dinov2_vits14"])
    def plugin(self, request: pytest.FixtureRequest) -> Factory[FeatureExtractor]:
        return partial(FEATURES.load(request.param), weights=request.getfixturevalue(f"{request.param}_file"))


class TestSoundFeatures(FeatureContract):
    @pytest.fixture
    def plugin(self) -> Factory[FeatureExtractor]:
        return broken_features.Sound


class TestSoundHypothesis(HypothesisContract):
    @pytest.fixture
    def plugin(self) -> Factory[Hypothesis]:
        return broken_hypotheses.Sound


class TestSoundDistance(DistanceContract):
    @pytest.fixture
    def plugin(self) -> Factory[Distance]:
        return broken_distances.Sound


def failures(plugin: Factory[Any], checks: Sequence[Check[Any]]) -> dict[str, str]:
    """The names of the checks that a plugin fails, and what they say."""
    messages = {}
    for check in checks:
        try:
            check(plugin)
        except AssertionError as error:
            messages[check.__name__] = str(error)
    return messages


@pytest.mark.parametrize(
    ("toy", "meant", "checks"),
    [
        *((toy, meant, HYPOTHESIS_CHECKS) for toy, meant in broken_hypotheses.BROKEN.items()),
        *((toy, meant, DISTANCE_CHECKS) for toy, meant in broken_distances.BROKEN.items()),
        *((toy, meant, FEATURE_CHECKS) for toy, meant in broken_features.BROKEN.items()),
        *((toy, meant, DEFECT_CHECKS) for toy, meant in broken_defects.BROKEN.items()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_plugin_fails_the_check_that_is_meant_for_it_and_no_other(
    toy: type, meant: str, checks: Sequence[Check[Any]]
) -> None:
    found = failures(toy, checks)
    assert list(found) == [meant]
    assert found[meant].startswith("Expected: ")
    assert ". Got: " in found[meant]
    assert "\n" not in found[meant]


def test_every_check_has_a_toy_that_fails_it() -> None:
    assert set(broken_hypotheses.BROKEN.values()) == {check.__name__ for check in HYPOTHESIS_CHECKS}
    assert set(broken_distances.BROKEN.values()) == {check.__name__ for check in DISTANCE_CHECKS}
    assert set(broken_features.BROKEN.values()) == {check.__name__ for check in FEATURE_CHECKS}
    assert set(broken_defects.BROKEN.values()) == {check.__name__ for check in DEFECT_CHECKS}


def test_a_score_with_one_dimension_too_many_is_named() -> None:
    found = failures(broken_hypotheses.Column, HYPOTHESIS_CHECKS)
    assert found["scores_are_one_number_per_code"] == (
        "Expected: score(codes) gives one number per code, (batch,), of the codes' dtype and on their device. "
        "Got: shape (7, 1) for 7 codes."
    )


def test_the_error_that_a_plugin_raises_is_named_and_kept_as_the_cause() -> None:
    class Raising(broken_distances.Sound):
        def map(self, reconstruction: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("boom,\nin two lines")

    with pytest.raises(AssertionError, match=r"^Expected: Neither .* Got: RuntimeError: boom, in two lines\.$") as e:
        it_is_never_negative(Raising)
    assert isinstance(e.value.__cause__, RuntimeError)


def test_what_another_process_cannot_import_is_refused_with_the_reason() -> None:
    class Local(broken_distances.Sound):
        pass

    check = DISTANCE_CHECKS[-2]
    for plugin, name in ((Local, "Local"), (lambda: broken_distances.Sound(), "<lambda>")):
        with pytest.raises(AssertionError, match=rf"{name} of .*cannot import.*at the top level of a module"):
            check(plugin)


def test_the_random_state_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    failures(broken_distances.Sound, DISTANCE_CHECKS[-1:])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_plugin_that_exits_fails_its_check() -> None:
    def leaving() -> None:
        sys.exit(3)

    with pytest.raises(AssertionError, match=r"Got: SystemExit: 3\.$"):
        it_is_never_negative(leaving)


def test_a_missing_pytest_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """`plugins check` needs none: test_plugin_template runs it without."""
    monkeypatch.delitem(sys.modules, "autoad_nni.testing.contracts")
    monkeypatch.delattr(autoad_nni.testing, "contracts")
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        autoad_nni.testing.HypothesisContract  # noqa: B018
    assert str(caught.value) == (
        "autoad_nni.testing.HypothesisContract needs pytest, which is not installed. Install it: pip install pytest"
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'DataContract'"):
        autoad_nni.testing.DataContract  # noqa: B018
