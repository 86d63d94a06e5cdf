from __future__ import annotations

import sys

import pytest
import torch
from cat_scenes import cat, outline
from efficientnet import CATS, efficientnet_lite0
from small_networks import PLAIN, tiny_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from autoad_nni.errors import AutoADError
from autoad_nni.refinement import Classifier, grad_cam


def naive(classifier: Classifier, images: Tensor, target: int) -> Tensor:
    """The formula of the article, image by image; behind a mean over pixels the gradients are the linear weights."""
    maps = []
    for image in images:
        with torch.no_grad():
            activations = classifier.layer(classifier.module.convolution(classifier.prepare(image[None])))[0]
        pixels = activations[0].numel()
        weights = classifier.module.classes.weight[target] / pixels
        total = F.relu(sum(weight * channel for weight, channel in zip(weights, activations, strict=True)))
        resized = F.interpolate(total[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0]
        maps.append(resized / resized.max() if resized.max() > 0 else resized)
    return torch.stack(maps).detach()


@pytest.mark.parametrize("target", [0, 1, 2])
def test_as_the_formula_says(target: int) -> None:
    classifier, images = tiny_classifier(), torch.rand(5, 3, 20, 28)
    maps = grad_cam(classifier, images, target=target)
    assert maps.shape == (5, 1, 20, 28)
    torch.testing.assert_close(maps, naive(classifier, images, target))
    assert maps.min() >= 0 and maps.max() <= 1


def test_golden() -> None:
    """Channel c of the layer is colour c; red speaks for class 0 with 2, green against it with 1, blue not at all."""
    module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(3).view(3, 3, 1, 1))
        module[3].weight.copy_(torch.tensor([[2.0, -1.0, 0.0], [0.0, 0.0, 1.0]]))
        module[3].bias.copy_(torch.tensor([0.0, 9.0]))
    image = torch.tensor([[[[1.0, 0.5]], [[0.0, 0.75]], [[0.25, 1.0]]]])
    classifier = Classifier(module=module, side=1, **PLAIN)  # the last convolution is found
    # 2/2 * 1 - 1/2 * 0 = 1; 2/2 * 0.5 - 1/2 * 0.75 = 0.125
    torch.testing.assert_close(grad_cam(classifier, image, target=0), torch.tensor([[[[1.0, 0.125]]]]))
    # Class 1 is found, and blue is what speaks for it.
    torch.testing.assert_close(grad_cam(classifier, image), torch.tensor([[[[0.25, 1.0]]]]))


def test_each_image_has_its_own_class_and_scale() -> None:
    classifier, images = tiny_classifier(1), torch.rand(6, 3, 16, 16) * torch.linspace(0.1, 1, 6).view(6, 1, 1, 1)
    alone = torch.cat([grad_cam(classifier, image[None]) for image in images])
    torch.testing.assert_close(grad_cam(classifier, images), alone)


def test_nothing_that_speaks_for_the_class_is_0_everywhere() -> None:
    classifier = tiny_classifier()
    with torch.no_grad():
        classifier.module.classes.weight.fill_(-1)
    assert (grad_cam(classifier, torch.rand(2, 3, 16, 16)) == 0).all()


@pytest.mark.parametrize("surrounding", [torch.no_grad, torch.enable_grad])
def test_weights_stay_as_they_are_and_need_no_gradient(surrounding: type) -> None:
    classifier, images = tiny_classifier(), torch.rand(2, 3, 16, 16)
    expected = grad_cam(classifier, images, target=0)
    classifier.module.requires_grad_(False)
    with surrounding():
        maps = grad_cam(classifier, images, target=0)
    torch.testing.assert_close(maps, expected)
    assert not maps.requires_grad and not images.requires_grad
    assert all(parameter.grad is None for parameter in classifier.module.parameters())


@pytest.mark.parametrize("target", [-1, 3])
def test_a_class_that_there_is_not(target: int) -> None:
    with pytest.raises(AutoADError, match=f"the target class is {target}. Expected 0 to 2"):
        grad_cam(tiny_classifier(), torch.rand(1, 3, 16, 16), target=target)


def test_weights_that_are_not_finite() -> None:
    classifier = tiny_classifier()
    with torch.no_grad():
        classifier.module.classes.bias[0] = float("nan")
    with pytest.raises(AutoADError, match=r"TinyClassifier gives values that are not finite\. .*Check its weights"):
        grad_cam(classifier, torch.rand(1, 3, 16, 16))


def test_a_network_without_convolutions() -> None:
    classifier = Classifier(module=nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)), side=16)
    with pytest.raises(AutoADError, match=r"no nn\.Conv2d.*Give layer=MODULE"):
        grad_cam(classifier, torch.rand(1, 3, 16, 16))


def test_without_captum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(AutoADError, match=r"captum is not installed.*autoad-nni\[refine\]"):
        grad_cam(tiny_classifier(), torch.rand(1, 3, 16, 16))


def test_a_network_trained_on_imagenet_finds_the_cat_and_looks_at_it() -> None:
    classifier, photograph, inside = efficientnet_lite0(), cat(), outline()
    with torch.no_grad():
        found = int(classifier.module(classifier.prepare(photograph)).argmax())
    assert found in CATS
    heat = grad_cam(classifier, photograph)[0, 0]
    assert heat[inside].mean() > 1.5 * heat[~inside].mean()
