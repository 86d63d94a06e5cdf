"""What planted defects are like, and how many: all that was chosen, in one place."""

from __future__ import annotations

from typing import Final

__all__ = ["COPIES", "LEAST_GOOD", "LEAST_PLANTED", "MOST", "SHARE", "SIZES", "STRENGTHS", "WHOLE_SHARE"]

WHOLE_SHARE: Final = 0.5
"""How many of the images are wrong as a whole (`autoad_nni.data.planting.whole`); the others have a local defect."""

SIZES: Final = (0.3, 2.0)
"""Smallest and largest factor by which lengths are multiplied; its logarithm is drawn uniformly. With 1, a defect has a
radius of 4 % to 25 % of the object's side."""

STRENGTHS: Final = (0.0, 1.0)
"""Least and most strength, drawn uniformly: 0 is hard to see, 1 is clear."""

SHARE: Final = 1 / 3
"""How many of the held-out good images get a defect, in validation and in test each; the others stay good."""

LEAST_PLANTED: Final = 60
"""Where these are fewer, several copies of each get a defect, another one each."""

COPIES: Final = 8
"""At most."""

MOST: Final = 200
"""At most so many images get a defect, in validation and in test each: more would only take longer."""

LEAST_GOOD: Final = 20
"""Good images that a set must have: 4 in validation and in test each, 2 of them with a defect."""
