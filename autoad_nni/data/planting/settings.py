"""What planted defects are like, and how many: all that was chosen, in one place."""

from __future__ import annotations

from typing import Final

__all__ = ["SHARE", "SIZES", "STRENGTHS"]

SIZES: Final = (0.3, 1.0)
"""Smallest and largest factor by which lengths are multiplied; its logarithm is drawn uniformly. With 1, a defect has a
radius of 4 % to 25 % of the object's side."""

STRENGTHS: Final = (0.0, 1.0)
"""Least and most strength, drawn uniformly: 0 is hard to see, 1 is clear."""

SHARE: Final = 0.5
"""How many of the held-out good images get a defect."""
