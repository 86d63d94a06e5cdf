"""The search space of AutoAD's child models, declared with NNI's mutables."""

from __future__ import annotations

import autoad_nni.nni_framework  # noqa: F401
from autoad_nni_search_spaces.autoencoder import AutoencoderSpace

__all__ = ["AutoencoderSpace"]
