"""Exported models against the models themselves, on images that were not trained on."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_samples import sample_of
from torch import Tensor, nn

from autoad_nni.data import ImageShape, Task, TaskOptions, load_task, to_image_shape
from autoad_nni.data.decode import read_images
from autoad_nni.errors import AutoADError
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.onnx import check, check_exportable, export, export_onnx
from autoad_nni.models.onnx.preprocessing import resized
from autoad_nni.models.readings import READINGS, WHOLE
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.run import make_scorer, run_trial
from autoad_nni.trial.settings import TrialSettings

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ROOT = Path(__file__).parents[3]
SIDE = 16
LAYER = {"channels": 8, "kernel": 3, "pooling": "max", "pooling_kernel": 3, "normalization": "batch"}


@cache
def digits() -> Task:
    return load_task(TaskOptions(data="digits", abnormal=("photos",), limit=100, image_size=SIDE))


def layer(hypothesis: str, distance: str) -> dict[str, Any]:
    values = {**LAYER, "activation": "elu"}
    return {f"layer1_{key}": value for key, value in values.items()} | {"hypothesis": hypothesis, "distance": distance}


def trained(sample: dict[str, Any], weights: Path | None = None, **scoring: Any) -> Scorer:
    space = "features" if "extractor" in sample else "autoencoder"
    settings = TrialSettings(
        training=TrainingSettings(steps=5), space=space, device="cpu", weights=weights,
        scoring=ScoringSettings(**scoring),
    )  # fmt: skip
    result = run_trial(sample, digits(), settings)
    assert result.detector is not None, result.record.detail
    return make_scorer(result.detector, digits().validation.images[0], settings.scoring)


def pixels() -> Tensor:
    return (digits().validation.images * 255).round().to(torch.uint8)


def run(path: Path, images: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images.numpy()}), strict=True))


def relative(found: np.ndarray[Any, Any], wanted: Tensor) -> float:
    """The largest difference, relative to the number or, where that is less, to the deviation of all."""
    of = np.maximum(np.abs(wanted.numpy()), wanted.std().item())
    return float((np.abs(found - wanted.numpy()) / of).max())


def check_agreement(scorer: Scorer | Ensemble, path: Path) -> None:
    images = pixels()
    expected = predict(scorer, images / 255)
    threshold = float(expected.score.double().median())
    export_onnx(scorer, (1, SIDE, SIDE), threshold, path)
    found = run(path, images)
    for name, wanted in expected._asdict().items():
        assert found[name].shape == wanted.shape
        assert relative(found[name], wanted) <= 1e-5, name
    assert (found["defective"] == (found["score"].astype(float) > threshold)).all()
    assert 0.4 < found["defective"].mean() < 0.6
    one = run(path, images[:1])
    np.testing.assert_allclose(one["score"], found["score"][:1], rtol=1e-5)


@pytest.mark.parametrize(
    ("hypothesis", "distance", "scoring"),
    [
        ("density", "l1", {}),
        pytest.param("cluster", "l21", {"patch": 8}, marks=pytest.mark.slow),
        ("centroid", "ssim", {"patch": 8, "two_sided": True}),
        pytest.param("memory", "l21_ssim", {}, marks=pytest.mark.slow),
        pytest.param("reconstruction", "l2", {}, marks=pytest.mark.slow),
    ],
)
def test_an_autoencoder_scores_alike(hypothesis: str, distance: str, scoring: dict[str, Any], tmp_path: Path) -> None:
    check_agreement(trained(layer(hypothesis, distance), **scoring), tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "sample",
    [
        sample_of("patchcore", extractor="patches"),
        sample_of("padim", extractor="contrast", stages="4+8"),
        sample_of("pca", enlargement=2),
        sample_of("patchcore", extractor="efficientnet_lite0", enlargement=2),
        sample_of("feature_autoencoder", extractor="resnet18", stages="4+8", enlargement=2),
    ],
    ids=lambda sample: str(sample["extractor"]),
)
@pytest.mark.slow
def test_a_model_of_features_scores_alike(sample: dict[str, Any], tmp_path: Path) -> None:
    weights = None
    if sample["extractor"] == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
    if sample["extractor"] == "resnet18":
        models = pytest.importorskip("torchvision.models")
        torch.manual_seed(0)
        weights = tmp_path / "resnet18.pth"
        torch.save(models.resnet18().state_dict(), weights)
    check_agreement(trained(sample, weights), tmp_path / "model.onnx")


class EveryReading(nn.Module):
    """One pass of a model, read in every way."""

    outputs = ("score", "anomaly_map")

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer
        self.readings = scorer.detector.reader.readings()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(n, readings)`` scores and ``(n, readings, height, width)`` maps."""
        whole, distance, code = self.scorer.parts(resized(images, SIDE, SIDE))
        maps = {"distance": distance, "code": code}
        read = [self.scorer.read(whole, maps, reading, (SIDE, SIDE)) for reading in self.readings]
        return torch.stack([each.score for each in read], 1), torch.cat([each.anomaly_map for each in read], 1)


@pytest.mark.slow
def test_every_reading_is_alike(tmp_path: Path) -> None:
    every = EveryReading(trained(layer("centroid", "l2"))).eval()
    assert set(every.readings) == {WHOLE, *READINGS}
    (tmp_path / "model.onnx").write_bytes(export._to_onnx(every, 1).SerializeToString())
    found = run(tmp_path / "model.onnx", pixels())
    with torch.inference_mode():
        expected = every(pixels())
    for name, wanted in zip(every.outputs, expected, strict=True):
        for number, reading in enumerate(every.readings):
            assert relative(found[name][:, number], wanted[:, number]) <= 1e-5, (name, reading.name)


@pytest.mark.slow
def test_several_models_score_alike_and_are_described(tmp_path: Path) -> None:
    import onnx

    models = [trained(layer("centroid", "l2")), trained(sample_of("feature_mixture", extractor="contrast"))]
    check_agreement(Ensemble(models), tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    found = {each.key: each.value for each in model.metadata_props}
    assert json.loads(found["image_shape"]) == [1, SIDE, SIDE] and isinstance(json.loads(found["threshold"]), float)
    assert [each["extractor"] for each in json.loads(found["members"])] == [None, "contrast"]
    assert [each["reading"] for each in json.loads(found["members"])] == [each.reading.name for each in models]
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_without_a_threshold_there_is_no_decision(tmp_path: Path) -> None:
    export_onnx(trained(layer("reconstruction", "l1")), (1, SIDE, SIDE), None, tmp_path / "model.onnx")
    assert list(run(tmp_path / "model.onnx", pixels())) == ["score", "anomaly_map"]


@pytest.mark.parametrize("size", [(SIDE, SIDE), (100, 37), (5, 9), (1, 64)])
def test_images_of_any_size_are_resized_as_everywhere(size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = to_image_shape(images, ImageShape(3, SIDE, SIDE + 1))
    torch.testing.assert_close(resized(images, SIDE, SIDE + 1), expected, rtol=0, atol=2e-6)
    same = to_image_shape(images, ImageShape(3, *size))
    assert torch.equal(resized(images, *size), same), "nothing changes where the size is right"


def test_a_large_photograph_scores_as_its_resized_copy(tmp_path: Path) -> None:
    scorer = trained(layer("centroid", "l2"))
    export_onnx(scorer, (1, SIDE, SIDE), None, tmp_path / "model.onnx")
    photos = torch.randint(0, 256, (3, 1, 150, 201), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = predict(scorer, to_image_shape(photos, ImageShape(1, SIDE, SIDE)))
    np.testing.assert_allclose(run(tmp_path / "model.onnx", photos)["score"], expected.score, rtol=1e-5)


def test_the_page_scores_a_photograph_as_predict_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    scorer = trained(layer("centroid", "l2"))
    export_onnx(scorer, (1, SIDE, SIDE), 0.5, tmp_path / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (15, 20), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize((200, 150))  # a JPEG that is decoded at an eighth
    photo.save(tmp_path / "photo.jpg")
    (code,) = re.findall("```python\n(.*?)```", (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    expected = predict(scorer, read_images([tmp_path / "photo.jpg"], ImageShape(1, SIDE, SIDE)))
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-5)
    assert found["defective"] == [expected.score.item() > 0.5]
    with Image.open("heat.png") as heat:
        assert heat.size == (25, 19)


class ThirdParty(L1Distance):
    """Not of this package."""


def test_a_third_partys_distance_is_named_before_anything_is_written(tmp_path: Path) -> None:
    scorer = trained(layer("centroid", "l1"))
    scorer.detector.distance = ThirdParty()
    with pytest.raises(AutoADError, match=r"the distance ThirdParty of .*test_onnx_export cannot be exported"):
        check_exportable(Ensemble([scorer]))
    with pytest.raises(AutoADError, match="ThirdParty"):
        export_onnx(scorer, (1, SIDE, SIDE), 0.5, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_PACKAGES", ("onnx_of_nowhere",))
    with pytest.raises(AutoADError, match=r"onnx_of_nowhere is not installed.*pip install 'autoad-nni\[onnx\]'"):
        check_exportable(trained(layer("centroid", "l1")))
