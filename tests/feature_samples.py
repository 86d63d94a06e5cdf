"""Samples of the search space ``features``, by default of one with pixels as features, which cost nothing."""

from __future__ import annotations

from typing import Any

from autoad_nni_search_spaces import FeatureSpace


def sample_of(known: str = "patchcore", **changes: Any) -> dict[str, Any]:
    """A known method on pixels, not enlarged, with other values for some labels."""
    sample = {**FeatureSpace.known[known], "extractor": "pixels", "enlargement": 1, **changes}
    assert set(sample) == set(FeatureSpace.known["patchcore"]), "a label that the space does not have"
    return sample
