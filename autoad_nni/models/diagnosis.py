"""Detects models that learned nothing, whatever their AUROC is."""

from __future__ import annotations

import torch
from torch import Tensor

from autoad_nni.models.detector import Detector, Inputs, Terms
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["check_alive", "copies_input"]

# Relative to the spread of the images; below it is noise. Reconstructions of a trained model have 0.5 to 1.
_LEAST_OUTPUT_SPREAD = 1e-3
# Relative to the size of the codes; the resolution of float32 is 1e-7.
_LEAST_CODE_SPREAD = 1e-5
# The same of what a reconstruction leaves: copies of solar cells left 1e-5 to 3e-3, their first components 0.4.
_LEAST_RESIDUE = 1e-2
_N_IMAGES = 256


@torch.no_grad()
def check_alive(detector: Detector, images: Inputs) -> None:
    """Raise if a trained detector does not react to its input.

    With a hypothesis that needs codes, the codes must differ from image to image; with one that needs none, the
    reconstructions must. A hypothesis on codes can detect with a dead decoder: a mixture on the codes of a hardly
    trained encoder reached an AUROC of 0.90 where the distance had 0.28.

    Args:
        detector: In evaluation mode.
        images: Training images, ``(n, channels, height, width)``, or their features; the first 256 are used.

    Raises:
        RejectedTrial: ``COLLAPSED`` if all codes are one point; ``IGNORES_INPUT`` if all reconstructions are one image.

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> class Blank(torch.nn.Module):
        ...     def forward(self, images):
        ...         return torch.zeros_like(images), images.flatten(1)
        >>> check_alive(Detector(Blank(), ReconstructionHypothesis(), L1Distance()).eval(), torch.rand(9, 1, 8, 8))
        Traceback (most recent call last):
        autoad_nni.verdicts.RejectedTrial: ignores_input: The reconstructions spread by 0 of the images' spread.
    """
    terms: Terms = detector(images[:_N_IMAGES].to(detector.device))
    if len(terms.target) < 2 or _spread(terms.target) == 0:
        return
    if detector.hypothesis.needs_codes:
        codes = terms.code_map
        relative = _spread(codes) / max(codes.double().square().mean().sqrt().item(), torch.finfo(codes.dtype).tiny)
        if relative < _LEAST_CODE_SPREAD:
            raise RejectedTrial(Verdict.COLLAPSED, f"The codes spread by {relative:.2g} of their size.")
    else:
        relative = _spread(terms.reconstruction) / _spread(terms.target)
        if relative < _LEAST_OUTPUT_SPREAD:
            raise RejectedTrial(
                Verdict.IGNORES_INPUT, f"The reconstructions spread by {relative:.2g} of the images' spread."
            )


@torch.no_grad()
def copies_input(detector: Detector, images: Inputs) -> bool:
    """Return whether a detector reconstructs images that it was not trained on, whatever is in them.

    A wide enough autoencoder of 1 x 1 convolutions learns to pass its input through. What is left of the distance is
    where its training stopped: a score of it says nothing, and follows the last digits of the pixels.

    Nothing left at all is no copy in this sense: that distance is 0, and is not taken for a score.

    Args:
        detector: In evaluation mode.
        images: Those that were held out, or their features; the first 256 are used.

    Example:
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> class Copy(torch.nn.Module):
        ...     def forward(self, images):
        ...         return 0.999 * images, images.flatten(1)
        >>> copies_input(Detector(Copy(), ReconstructionHypothesis(), L1Distance()).eval(), torch.rand(9, 1, 8, 8))
        True
    """
    terms: Terms = detector(images[:_N_IMAGES].to(detector.device))
    residue = (terms.reconstruction.double() - terms.target.double()).square().mean().sqrt().item()
    spread = terms.target.double().std(correction=0).item()
    return 0 < residue < _LEAST_RESIDUE * spread


def _spread(values: Tensor) -> float:
    """The root mean square deviation of each number from its mean over the batch."""
    return values.double().var(0, correction=0).mean().sqrt().item()
