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
from autoad_nni.competitors.classifier import accuracy, share_classifier, train_classifier
from autoad_nni.competitors.softmax import Msp, Odin, odin_score, odin_scores
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


def one_at_a_time(network: nn.Module, images: torch.Tensor, temperature: float, epsilon: float) -> torch.Tensor:
    """ODIN with the gradient computed anew for each epsilon, in the same parts."""
    parts = []
    for part in torch.split(images, 256):
        moved = part.clone().requires_grad_()
        F.log_softmax(network(moved) / temperature, 1).amax(1).sum().backward()  # type: ignore[no-untyped-call]
        assert moved.grad is not None
        with torch.no_grad():
            logits = network(part + epsilon * moved.grad.sign() if epsilon else part).double()
        parts.append(1 - F.softmax(logits / temperature, 1).amax(1))
    return torch.cat(parts)


@pytest.mark.parametrize("temperature", [1.0, 1000.0])
def test_all_epsilons_of_a_temperature_score_as_one_at_a_time(digits: Task, temperature: float) -> None:
    network = Msp(epochs=1).fit(digits).network
    images = torch.cat([digits.test.images, digits.validation.images])[:300]
    epsilons = (0.0, 0.001, 0.02)
    together = odin_scores(network, images, temperature=temperature, epsilons=epsilons)
    for found, epsilon in zip(together, epsilons, strict=True):
        assert torch.equal(found, one_at_a_time(network, images, temperature, epsilon))
    assert not torch.equal(together[0], together[2])


def test_methods_share_a_classifier_and_score_as_without(digits: Task) -> None:
    first = Msp(epochs=1, seed=5).fit(digits)
    second = Odin(epochs=1, seed=5).fit(digits)
    assert second.network is first.network
    assert (first.shared_seconds, second.shared_seconds > 0) == (0.0, True)
    images = digits.test.images
    other = Msp(epochs=1, seed=6).fit(digits)
    assert other.shared_seconds == 0 and other.network is not first.network
    alone = Odin(epochs=1, seed=5).fit(digits)  # trained anew: the last classifier was another
    assert alone.shared_seconds == 0 and alone.network is not first.network
    assert (alone.temperature, alone.epsilon, alone.accuracy) == (second.temperature, second.epsilon, second.accuracy)
    assert torch.equal(alone.predict(images).score, second.predict(images).score)


@pytest.mark.parametrize("change", ["image", "class", "epochs", "threads"])
def test_what_would_train_another_classifier_is_not_shared(digits: Task, change: str) -> None:
    images, classes = digits.train[:64].clone(), torch.arange(64) % 2
    before = share_classifier(images, classes, epochs=1, seed=0)
    assert share_classifier(images.clone(), classes.clone(), epochs=1, seed=0).network is before.network
    threads, epochs = torch.get_num_threads(), 1
    if change == "image":
        images[0, 0, 0, 0] += 0.5
    elif change == "class":
        classes[0] = 1
    elif change == "epochs":
        epochs = 2
    else:
        torch.set_num_threads(threads + 1)
    try:
        assert share_classifier(images, classes, epochs=epochs, seed=0).network is not before.network
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("temperature", "epsilon"), [(1.0, 0.0), (1.0, 0.0014), (1000.0, 0.0014), (10.0, 0.02)])
def test_scores_are_those_of_pytorch_ood(digits: Task, temperature: float, epsilon: float) -> None:
    detectors = pytest.importorskip("pytorch_ood.detector")
    network = Msp(epochs=2).fit(digits).network.double()
    try:
        images = digits.test.images[:100].double()
        theirs = detectors.ODIN(network, eps=epsilon, temperature=temperature).predict(images)
        ours = odin_score(network, images, temperature=temperature, epsilon=epsilon)
        assert (ours - 1).tolist() == pytest.approx(theirs.tolist(), abs=1e-12)
        if temperature == 1.0 and epsilon == 0.0:
            theirs = detectors.MaxSoftmax(network).predict(images)
            assert (ours - 1).tolist() == pytest.approx(theirs.tolist(), abs=1e-12)
    finally:
        network.float()  # it may be shared


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
