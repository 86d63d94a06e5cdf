"""Writes a trained model as one ONNX file: from the pixels to the decision."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.feature_model import FeatureModel
from autoad_nni.models.onnx.check import check_exportable
from autoad_nni.models.onnx.preprocessing import resized
from autoad_nni.models.scoring import Scorer
from autoad_nni.storing import replace_file, storing
from autoad_nni.version import __version__

__all__ = ["export_onnx"]

# Other numbers than 0 and 1, which would stay fixed, and than those of channels.
_EXAMPLE = (2, 19, 23)


def export_onnx(
    scorer: Scorer | Ensemble, image_shape: tuple[int, int, int], threshold: float | None, path: Path
) -> None:
    """Write a model as an ONNX file that needs no other file.

    What is exported is the forward pass that trials are scored with; the frozen network of an extractor is part of it.

    =============  ========  =================================  ====================================================
    name           type      shape                              content
    =============  ========  =================================  ====================================================
    images         uint8     ``(n, channels, any, any)``        input; resized to the model's size
    score          float32   ``(n,)``                           higher is more anomalous
    anomaly_map    float32   ``(n, 1, height, width)``          in the model's size
    defective      bool      ``(n,)``                           ``score > threshold``; only if there is a threshold
    =============  ========  =================================  ====================================================

    The file's metadata say what model it is: ``image_shape``, ``threshold`` and ``members`` in JSON, ``autoad_nni`` and
    ``torch``, the versions.

    Args:
        scorer: One model, or several whose mean counts.
        image_shape: Channels, height and width of the images that it was trained on.
        threshold: An image that scores more is called defective; None for no decision.
        path: The file; replaced if there is one.

    Raises:
        AutoADError: The model cannot be exported (`check_exportable`), or the file cannot be written.
    """
    check_exportable(scorer)
    channels, height, width = image_shape
    graph = _Graph(copy.deepcopy(scorer).cpu(), height, width, threshold).eval()
    model = _to_onnx(graph, channels)
    _describe(model, scorer, image_shape, threshold)
    content = model.SerializeToString()
    with storing(path):
        replace_file(path, content)


class _Graph(nn.Module):
    """A model with what stands before and behind it."""

    def __init__(self, scorer: Scorer | Ensemble, height: int, width: int, threshold: float | None) -> None:
        super().__init__()
        self.scorer = scorer
        self.size = (height, width)
        self.threshold = threshold

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` returns."""
        return ["score", "anomaly_map", *([] if self.threshold is None else ["defective"])]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return score, map and decision."""
        score, anomaly_map = self.scorer(resized(images, *self.size))
        if self.threshold is None:
            return score, anomaly_map
        return score, anomaly_map, score.double() > self.threshold


def _to_onnx(graph: _Graph, channels: int) -> Any:
    n, height, width = _EXAMPLE
    example = torch.zeros(n, channels, height, width, dtype=torch.uint8)
    dims = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    with torch.no_grad():
        program = torch.export.export(graph, (example,), dynamic_shapes=(dims,), strict=False)
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=["images"],
        output_names=graph.outputs,
        dynamic_shapes=(dims,),  # for the dimensions' names
        verbose=False,
    )
    assert exported is not None
    return exported.model_proto


def _describe(
    model: Any, scorer: Scorer | Ensemble, image_shape: tuple[int, int, int], threshold: float | None
) -> None:
    """Write metadata into a model."""
    import onnx

    scorers = [scorer] if isinstance(scorer, Scorer) else scorer.scorers
    content = {
        "autoad_nni": __version__,
        "torch": torch.__version__,
        "image_shape": json.dumps(image_shape),
        "threshold": json.dumps(threshold),
        "members": json.dumps([_member(each) for each in scorers]),
    }
    model.producer_name, model.producer_version = "autoad-nni", __version__
    onnx.helper.set_model_props(model, content)


def _member(scorer: Scorer) -> dict[str, Any]:
    detector, settings = scorer.detector, scorer.settings
    model = detector.autoencoder
    return {
        "architecture": type(model).__name__,
        "extractor": model.extractor_name if isinstance(model, FeatureModel) else None,
        "hypothesis": type(detector.hypothesis).__name__,
        "distance": type(detector.distance).__name__,
        "reading": scorer.reading.name if settings.patch is None else None,
        "patch": settings.patch,
        "two_sided": settings.two_sided,
    }
