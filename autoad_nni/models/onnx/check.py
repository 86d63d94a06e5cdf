"""Whether a model can be exported, asked before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from torch import nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.feature_model import FeatureModel
from autoad_nni.models.features.dinov2 import DinoFeatures
from autoad_nni.models.features.enlarged import Enlarged
from autoad_nni.models.scoring import Scorer

__all__ = ["check_exportable"]

_PACKAGES: Final = ("onnx", "onnxscript")
_OWN: Final = "autoad_nni.models."


def check_exportable(scorer: Scorer | Ensemble) -> None:
    """Raise AutoADError unless a model can be exported: built-in parts, and the packages that write ONNX.

    Only built-in parts are exported: a test holds their scores in ONNX to those in torch. Nobody has compared a third
    party's.

    Args:
        scorer: One model, or several.

    Example:
        >>> from autoad_nni.models.detector import Detector
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
        >>> check_exportable(Scorer(Detector(nn.Identity(), ReconstructionHypothesis(), L1Distance())))
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: the architecture Identity of torch.nn.modules.linear cannot be exported to \
ONNX. Expected one that is tested there, as those of autoad-nni but dinov2. Export without ONNX, or search without it.
    """
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise AutoADError(
                f"{package} is not installed. Expected it for the export to ONNX. Install it with: "
                "pip install 'autoad-nni[onnx]'"
            )
    for each in [scorer] if isinstance(scorer, Scorer) else scorer.scorers:
        for noun, part in _parts(each):
            kind = type(part)
            if not kind.__module__.startswith(_OWN) or isinstance(part, DinoFeatures):
                raise AutoADError(
                    f"the {noun} {kind.__name__} of {kind.__module__} cannot be exported to ONNX. Expected one that is "
                    "tested there, as those of autoad-nni but dinov2. Export without ONNX, or search without it."
                )


def _parts(scorer: Scorer) -> Iterator[tuple[str, nn.Module]]:
    detector = scorer.detector
    yield "architecture", detector.autoencoder
    if isinstance(detector.autoencoder, FeatureModel):
        extractor = detector.autoencoder.extractor
        yield "feature extractor", extractor.extractor if isinstance(extractor, Enlarged) else extractor
    yield "hypothesis", detector.hypothesis
    yield "distance", detector.distance
