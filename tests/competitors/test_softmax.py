from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoad_nni.competitors import load_competitor
from autoad_nni.competitors.classifier import accuracy, train_classifier
from autoad_nni.competitors.softmax import Msp, Odin, odin_score
from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import auroc


@pytest.fixture(scope="module")
def digits() -> Task:
    return load_task(TaskOptions(data="digits", abnormal=("photos",)))


def test_msp_is_one_minus_the_first_choice_s_share() -> None:
    logits = nn.Flatten()  # so that the pixels are the logits
    images = torch.tensor([[0.0, math.log(3.0)], [math.log(9.0), 0.0]]).view(2, 1, 1, 2)
    scores = odin_score(logits, images, temperature=1.0, epsilon=0.0)
    assert scores.tolist() == pytest.approx([0.25, 0.1], abs=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 10.0, 1000.0])
def test_odin_is_its_formula_written_out(temperature: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 5)).double()
    images = torch.rand(7, 1, 4, 4, dtype=torch.float64)
    weights, bias = network[1].weight.detach(), network[1].bias.detach()
    expected = []
    for image in images.flatten(1):
        softmax = F.softmax((weights @ image + bias) / temperature, 0)
        first = int(softmax.argmax())
        # d log S_i / dx of a linear layer: (w_i - sum_j S_j w_j) / T
        gradient = (weights[first] - softmax @ weights) / temperature
        moved = image + 0.01 * torch.sign(gradient)
        expected.append(1 - float(F.softmax((weights @ moved + bias) / temperature, 0).max()))
    found = odin_score(network, images, temperature=temperature, epsilon=0.01)
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_moving_towards_the_likeliest_class_makes_the_network_surer(digits: Task) -> None:
    network = Msp(epochs=2).fit(digits).network
    images = digits.test.images[:50]
    plain = odin_score(network, images, temperature=10.0, epsilon=0.0)
    assert (odin_score(network, images, temperature=10.0, epsilon=0.001) < plain).float().mean() > 0.9


@pytest.mark.slow
def test_a_well_trained_classifier_finds_photographs_among_digits(digits: Task) -> None:
    method = Msp(epochs=15, seed=1).fit(digits)
    assert method.accuracy > 0.95
    scores = method.predict(digits.test.images).score
    assert auroc(digits.test.labels.numpy(), scores.numpy()) > 0.7


@pytest.mark.slow
def test_what_odin_chooses_is_the_best_on_validation(digits: Task) -> None:
    method = Odin(epochs=3).fit(digits)
    held = digits.validation
    figures = {
        (t, e): auroc(held.labels.numpy(), odin_score(method.network, held.images, temperature=t, epsilon=e).numpy())
        for t in (1.0, 10.0, 100.0, 1000.0)
        for e in (0.0, 0.0005, 0.001, 0.0014, 0.002, 0.004, 0.01, 0.02)
    }
    assert figures[method.temperature, method.epsilon] == max(figures.values())  # type: ignore[index]
    given = Odin(temperature=1.0, epsilon=0.0, epochs=3).fit(digits)
    assert torch.equal(given.predict(held.images).score, Msp(epochs=3).fit(digits).predict(held.images).score)


def test_the_same_seed_gives_the_same_classifier_and_leaves_torch_s_generator_alone(digits: Task) -> None:
    classes = digits.train_classes
    assert classes is not None
    before = torch.get_rng_state()
    one, same, other = (train_classifier(digits.train, classes, epochs=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        first, second, third = (network(digits.train[:20]) for network in (one, same, other))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_accuracy_is_the_share_of_right_first_choices() -> None:
    images = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).view(4, 1, 1, 2)
    assert accuracy(nn.Flatten(), images, torch.tensor([1, 0, 0, 1])) == 0.5


@pytest.mark.parametrize("name", ["msp", "odin"])
def test_normal_images_without_classes(name: str) -> None:
    task = load_task(TaskOptions(data="photos", abnormal=("uniform",), limit=400))
    with pytest.raises(AutoADError, match=r"have no classes.*Leave these methods out"):
        load_competitor(name).fit(task)


def test_classes_go_with_their_images(tmp_path: Path, digits: Task) -> None:
    from autoad_nni.data import SourceOptions
    from autoad_nni.data.sources.digits import Digits

    source = Digits(SourceOptions())
    images = source.read(np.arange(1797), source.image_shape)
    classes = source.classes(np.arange(1797))
    known: dict[bytes, Any] = {image.numpy().tobytes(): int(c) for image, c in zip(images, classes, strict=True)}
    assert digits.train_classes is not None
    assert digits.test.classes is not None
    assert [known[image.numpy().tobytes()] for image in digits.train] == digits.train_classes.tolist()
    labels = [known.get(image.numpy().tobytes(), -1) for image in digits.test.images]
    assert labels == digits.test.classes.tolist()
    assert (digits.test.classes == -1).tolist() == (digits.test.labels == 1).tolist()
