"""The methods that the article compares AutoAD with, to be trained on the same images as a search."""

from __future__ import annotations

from autoad_nni.competitors.base import Competitor, load_competitor

__all__ = ["Competitor", "load_competitor"]
