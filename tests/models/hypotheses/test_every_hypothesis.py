"""What holds for all of them, with a trained detector on real images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from torch import Tensor

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.models.detector import Detector
from autoad_nni.models.hypotheses import base
from autoad_nni.models.hypotheses.base import Hypothesis, score_in_parts
from autoad_nni.models.hypotheses.cluster import ClusterHypothesis
from autoad_nni.models.hypotheses.density import DensityHypothesis
from autoad_nni.models.hypotheses.memory import MemoryHypothesis
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.registry import HYPOTHESES, LOSSES
from autoad_nni_search_spaces import AutoencoderSpace

NAMES = ("density", "cluster", "centroid", "memory", "reconstruction")
WITH_CODES = NAMES[:4]
IN_UNITS = NAMES[:3]
"""Those whose scores have a unit of the training codes; a memory's are distances, 0 for what is in it."""


def fresh(name: str, distance: str = "l2", pooling_kernel: int = 3) -> Detector:
    layer = {
        "channels": 8,
        "kernel": 3,
        "pooling": "average",
        "pooling_kernel": pooling_kernel,
        "normalization": "batch",
        "activation": "elu",
    }
    sample = {"hypothesis": name, "distance": distance} | {f"layer1_{key}": value for key, value in layer.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Detector(
            AutoencoderSpace(1, hypotheses=NAMES).freeze(sample), HYPOTHESES.load(name)(), LOSSES.load(distance)()
        )


@cache
def images() -> tuple[Tensor, Tensor]:
    """Training and validation images: handwritten digits against patches of photographs."""
    task = load_task(TaskOptions(data="digits", abnormal=("photos",), limit=600, seed=0))
    return task.train, task.validation.images


@cache
def trained(name: str) -> Detector:
    detector = fresh(name)
    fit(detector, images()[0], settings=TrainingSettings(epochs=3), seed=0)
    return detector


def scores_of(detector: Detector, images: Tensor) -> Tensor:
    return predict(Scorer(detector), images).score


def test_they_rank_images_differently() -> None:
    """Otherwise a search could not tell them apart."""
    scores = {name: scores_of(trained(name), images()[1]).numpy() for name in NAMES}
    for i, one in enumerate(NAMES):
        for other in NAMES[i + 1 :]:
            assert spearmanr(scores[one], scores[other]).statistic < 0.98, (one, other)


def test_reconstruction_scores_the_distance_as_it_is() -> None:
    detector = trained("reconstruction")
    with torch.no_grad():
        distances = detector(images()[1]).distance
    torch.testing.assert_close(scores_of(detector, images()[1]), distances)


@pytest.mark.parametrize("name", IN_UNITS)
def test_both_terms_have_deviation_one_on_the_training_images(name: str) -> None:
    detector = trained(name)
    with torch.no_grad():
        raw = detector(images()[0])
        terms = raw.distance / detector.distance_scale, detector.hypothesis.score(raw.code) / detector.hypothesis_scale
    for term in terms:
        assert term.std(correction=0).item() == pytest.approx(1, rel=0.01)
    torch.testing.assert_close(scores_of(detector, images()[0]), sum(terms, torch.zeros(())), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_scores_the_same_in_a_fresh_object(name: str, tmp_path: Path) -> None:
    detector = trained(name)
    save_file({key: value.contiguous() for key, value in detector.state_dict().items()}, tmp_path / "model.safetensors")
    loaded = fresh(name)
    loaded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(scores_of(loaded, images()[1]), scores_of(detector, images()[1]))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model(name: str) -> None:
    again = fresh(name)
    fit(again, images()[0], settings=TrainingSettings(epochs=3), seed=0)
    assert torch.equal(scores_of(again, images()[1]), scores_of(trained(name), images()[1]))


@pytest.mark.parametrize("name", WITH_CODES)
def test_the_statistics_are_those_of_the_trained_encoder_on_all_images(name: str) -> None:
    hypothesis = trained(name).hypothesis
    with torch.no_grad():
        codes = trained(name)(images()[0]).code
    if isinstance(hypothesis, DensityHypothesis):
        mean = hypothesis.weights @ hypothesis.means * hypothesis.scale
        torch.testing.assert_close(mean, codes.double().mean(0), atol=1e-4, rtol=1e-4)
    elif isinstance(hypothesis, ClusterHypothesis):
        nearest = torch.cdist(codes, hypothesis.centroids).amin(1)
        assert hypothesis.unit.item() == pytest.approx(nearest.square().mean().sqrt().item(), rel=1e-4)
    elif isinstance(hypothesis, MemoryHypothesis):
        assert len(hypothesis.memory) == len(codes) and hypothesis.score(codes).max() < 1e-3
    else:
        assert (hypothesis.score(codes) > 0).float().mean().item() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("name", IN_UNITS)
def test_scores_do_not_depend_on_the_scale_of_the_codes(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 6, generator=generator) + 3
    scores, losses = [], []
    for scale in (1.0, 1e-3, 1e3):
        hypothesis: Hypothesis = HYPOTHESES.load(name)()
        hypothesis.fit(codes[:200] * scale)
        scores.append(hypothesis.score(codes[200:] * scale))
        losses.append(hypothesis.regularizer(codes[200:] * scale))
    for score, loss in zip(scores[1:], losses[1:], strict=True):
        torch.testing.assert_close(score, scores[0], rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(loss, losses[0], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_long_codes_are_averaged_down(name: str) -> None:
    detector = fresh(name, pooling_kernel=1)
    codes = detector(images()[0][:5]).code
    raw = detector.autoencoder(images()[0][:5])[1].flatten(1)
    assert raw.shape == (5, 8 * 64)
    if name == "reconstruction":
        assert codes.shape == raw.shape
    else:
        size = detector.hypothesis.max_code_size
        assert codes.shape == (5, size)
        torch.testing.assert_close(codes, raw.view(5, size, -1).mean(2))


@pytest.mark.parametrize("name", WITH_CODES)
def test_a_batch_of_any_number_of_codes_is_scored_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    hypothesis: Hypothesis = HYPOTHESES.load(name)()
    hypothesis.fit(codes)
    whole, seen, score = score_in_parts(hypothesis, codes), list[int](), hypothesis.score
    monkeypatch.setattr(base, "_AT_A_TIME", 30)
    monkeypatch.setattr(hypothesis, "score", lambda part: (seen.append(len(part)), score(part))[1])
    torch.testing.assert_close(score_in_parts(hypothesis, codes), whole)
    assert seen == [30, 30, 30, 10]
