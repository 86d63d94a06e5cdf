"""The refinement of Eq. 20: a score map times (1 - Grad-CAM) times the mask of the salient object.

Needs captum: ``pip install 'autoad-nni[refine]'``. The weights of the two networks are a file of yours, or downloaded
when you ask for it. docs/refinement.md has the formula and what it gave.
"""

from __future__ import annotations

from autoad_nni.refinement.combine import Refinement, refine, refine_map
from autoad_nni.refinement.gradients import grad_cam
from autoad_nni.refinement.networks import Classifier, Segmenter, deeplabv3, vgg16
from autoad_nni.refinement.saliency import object_mask

__all__ = [
    "Classifier",
    "Refinement",
    "Segmenter",
    "deeplabv3",
    "grad_cam",
    "object_mask",
    "refine",
    "refine_map",
    "vgg16",
]
