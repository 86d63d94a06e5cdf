"""The contracts as pytest classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoad_nni.data.planting.plant import Generator
from autoad_nni.models.distances.base import Distance
from autoad_nni.models.features import FeatureExtractor
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.testing.checking import Check, Factory
from autoad_nni.testing.defect_checks import DEFECT_CHECKS
from autoad_nni.testing.distance_checks import DISTANCE_CHECKS
from autoad_nni.testing.feature_checks import FEATURE_CHECKS
from autoad_nni.testing.hypothesis_checks import HYPOTHESIS_CHECKS

__all__ = ["DefectContract", "DistanceContract", "FeatureContract", "HypothesisContract"]


class HypothesisContract:
    """The tests that every hypothesis has to pass; inherit them and give the class to test.

    The fixture ``plugin`` returns what makes the hypothesis when it is called without arguments: a class, or a
    function, at the top level of a module, since one test imports it in a new process.

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> class TestReconstruction(HypothesisContract):
        ...     @pytest.fixture
        ...     def plugin(self):
        ...         return ReconstructionHypothesis
        >>> for check in HYPOTHESIS_CHECKS[:3]:  # what pytest does, with all of them
        ...     TestReconstruction().test_contract(ReconstructionHypothesis, check)
    """

    @pytest.mark.parametrize("check", HYPOTHESIS_CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, plugin: Factory[Hypothesis], check: Check[Hypothesis]) -> None:
        """Run one check."""
        check(plugin)


class DistanceContract:
    """The tests that every distance has to pass; inherit them and give the class to test.

    The fixture ``plugin`` returns what makes the distance when it is called without arguments: a class, or a
    function, at the top level of a module, since one test imports it in a new process.

    Example:
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> class TestL1(DistanceContract):
        ...     @pytest.fixture
        ...     def plugin(self):
        ...         return L1Distance
        >>> for check in DISTANCE_CHECKS[:3]:  # what pytest does, with all of them
        ...     TestL1().test_contract(L1Distance, check)
    """

    @pytest.mark.parametrize("check", DISTANCE_CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, plugin: Factory[Distance], check: Check[Distance]) -> None:
        """Run one check."""
        check(plugin)


class FeatureContract:
    """The tests that every feature extractor has to pass; inherit them and give what makes it.

    The fixture ``plugin`` returns what makes the extractor when it is called without arguments: a class, or a
    function, at the top level of a module, since one test imports it in a new process; or a ``functools.partial`` of
    one, with ``weights=Path(...)``.

    Example:
        >>> from autoad_nni.models.features.pixels import PixelFeatures
        >>> class TestPixels(FeatureContract):
        ...     @pytest.fixture
        ...     def plugin(self):
        ...         return PixelFeatures
        >>> for check in FEATURE_CHECKS[:3]:  # what pytest does, with all of them
        ...     TestPixels().test_contract(PixelFeatures, check)
    """

    @pytest.mark.parametrize("check", FEATURE_CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, plugin: Factory[FeatureExtractor], check: Check[FeatureExtractor]) -> None:
        """Run one check."""
        check(plugin)


class DefectContract:
    """The tests that every generator of defects has to pass; inherit them and give the generator.

    The fixture ``plugin`` returns the generator, a function at the top level of a module, since one test imports it in
    a new process.

    Example:
        >>> from autoad_nni.data.planting.kinds import stain
        >>> class TestStain(DefectContract):
        ...     @pytest.fixture
        ...     def plugin(self):
        ...         return stain
        >>> for check in DEFECT_CHECKS[:3]:  # what pytest does, with all of them
        ...     TestStain().test_contract(stain, check)
    """

    @pytest.mark.parametrize("check", DEFECT_CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, plugin: Generator, check: Callable[[Generator], None]) -> None:
        """Run one check."""
        check(plugin)
