"""Search spaces, declared with NNI's mutables."""

from __future__ import annotations

import autoad_nni.nni_framework  # noqa: F401
from autoad_nni_search_spaces.autoencoder import AutoencoderSpace
from autoad_nni_search_spaces.features import FeatureSpace

__all__ = ["AutoencoderSpace", "FeatureSpace"]
