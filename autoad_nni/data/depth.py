"""How many bits of 16 are used: cameras of 10 or 12 bits leave the highest ones empty.

Such images are divided by 65535 like all of 16 bits and come out nearly black: a search would spend hours on models
that see almost nothing. To scale them unasked would be worse: the brightness of an image would depend on the images
beside it. So the data set ``folder`` refuses them, as ``data check`` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from autoad_nni.data.decode import UNREADABLE, is_16_bit, pixels_of
from autoad_nni.data.image_file import bands, decoding, open_image

__all__ = ["NEARLY_BLACK", "bits_used", "peak_of_16_bits", "too_few_bits"]

NEARLY_BLACK: Final = 4095
"""The highest value of 12 bits; of 65535 that is 6 %."""

_BITS = (8, 10, 12, 14)


def peak_of_16_bits(path: Path) -> int | None:
    """Return the highest value of an image of 16 bits; None for any other, of which only the header is read."""
    try:
        with open_image(path) as image:
            if not is_16_bit(image):
                return None
            with decoding(image):
                return round(max(float(pixels_of(band).max()) for band in bands(image)) * 65535)
    except UNREADABLE:
        return None


def bits_used(peak: int) -> int:
    """Return how many bits a camera has whose highest value is ``peak``: 8, 10, 12, 14 or 16.

    Example:
        >>> bits_used(4095), bits_used(4096), bits_used(65535)
        (12, 14, 16)
    """
    return next((bits for bits in _BITS if peak < 2**bits), 16)


def too_few_bits(root: Path, peaks: Iterable[int]) -> str | None:
    """Return what is wrong with images of 16 bits; None when one of them is brighter than 12 bits, or there is none.

    Args:
        root: The folder that they are in.
        peaks: The highest value of each; looked at up to the first that is high enough.
    """
    highest = -1
    for peak in peaks:
        if peak > NEARLY_BLACK:
            return None
        highest = max(highest, peak)
    if highest < 0:
        return None
    bits = bits_used(highest)
    return (
        f"{root} has {bits}-bit data in files of 16 bits: no value is above {highest}, so the images are nearly black. "
        f"Expected values up to 65535. Multiply them by {2 ** (16 - bits)}, or save them with 8 bits."
    )
