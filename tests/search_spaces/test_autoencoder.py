from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.autoencoder import Autoencoder, Reconstruction
from autoad_nni.models.detector import Detector, count_macs
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.registry import HYPOTHESES, LOSSES
from autoad_nni_search_spaces import AutoencoderSpace

# Multiply-adds of one training step that a test may spend on one sample; what costs more is checked by shape.
BUDGET = 3e8
SPACES = {(n, channels): AutoencoderSpace(n, channels=channels) for n in (1, 3, 6) for channels in (1, 3)}
VALUES: dict[str, tuple[Any, ...]] = {
    "channels": (3, 8, 16, 32, 64, 128, 256),
    "kernel": (1, 3, 5, 7),
    "pooling": ("max", "average"),
    "pooling_kernel": (1, 3, 5, 7),
    "normalization": ("none", "batch", "instance"),
    "activation": ("sigmoid", "tanh", "relu", "linear", "softplus", "leaky_relu", "relu6", "elu"),
}


def uniform(n_layers: int, **values: Any) -> dict[str, Any]:
    """The same choice in every layer."""
    first = {key: choices[0] for key, choices in VALUES.items()}
    layers = {f"layer{i}_{key}": value for i in range(1, n_layers + 1) for key, value in {**first, **values}.items()}
    return {"hypothesis": "reconstruction", "distance": "l2", **layers}


@st.composite
def samples(draw: st.DrawFn, n_layers: int) -> dict[str, Any]:
    labels = SPACES[n_layers, 1].simplify()
    return {label: draw(st.sampled_from(choice.values)) for label, choice in labels.items()}


def build_train_and_score(space: AutoencoderSpace, sample: dict[str, Any], images: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        child = space.freeze(sample)
    detector = Detector(child, HYPOTHESES.load(sample["hypothesis"])(), LOSSES.load(sample["distance"])())
    fit(detector, images, settings=TrainingSettings(epochs=1, batch_size=2), seed=0)
    loss = detector.loss(images)
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item())
    gradients = [parameter.grad for parameter in child.parameters()]
    assert all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)
    scores = predict(Scorer(detector), images).score
    assert scores.shape == (len(images),)
    assert child(images).image.shape == images.shape


def check_shapes(space: AutoencoderSpace, sample: dict[str, Any], shape: tuple[int, int, int, int]) -> None:
    with torch.device("meta"):
        child = space.freeze(sample)
        image, code = child(torch.empty(shape))
    assert image.shape == shape
    assert code.shape[0] == shape[0]
    assert code.numel() > 0


def check(n_layers: int, sample: dict[str, Any], shape: tuple[int, int, int, int]) -> None:
    space = SPACES[n_layers, shape[1]]
    with torch.device("meta"):
        macs = space.freeze(sample).macs(*shape[2:])
    if macs * shape[0] * 6 <= BUDGET:
        generator = torch.Generator().manual_seed(0)
        build_train_and_score(space, sample, torch.rand(shape, generator=generator))
    else:
        check_shapes(space, sample, shape)


def test_the_labels_and_values_are_the_papers() -> None:
    labels = AutoencoderSpace(2).simplify()
    layers = {f"layer{i}_{key}": values for i in (1, 2) for key, values in VALUES.items()}
    hypotheses = ("density", "cluster", "centroid", "reconstruction")
    expected = {"hypothesis": hypotheses, "distance": ("l1", "l2", "l21", "ssim"), **layers}
    assert {label: tuple(choice.values) for label, choice in labels.items()} == expected


def test_six_layers_four_hypotheses_and_four_distances_give_3_9e23_models() -> None:
    labels = AutoencoderSpace(6).simplify()
    assert len(labels) == 6 * 6 + 2
    size = math.prod(len(choice.values) for choice in labels.values())
    assert size == 4 * 4 * (7 * 4 * 2 * 4 * 3 * 8) ** 6
    assert f"{size:.1e}" == "3.9e+23"


@pytest.mark.parametrize("n_layers", [1, 3, 6])
@settings(deadline=None, derandomize=True, max_examples=40)
@given(data=st.data())
def test_every_sample_builds_trains_and_scores_at_any_size(n_layers: int, data: st.DataObject) -> None:
    sample = data.draw(samples(n_layers))
    channels = data.draw(st.sampled_from([1, 3]))
    height, width = data.draw(st.tuples(st.integers(8, 224), st.integers(8, 224)))
    check(n_layers, sample, (data.draw(st.sampled_from([1, 2, 3])), channels, height, width))


@pytest.mark.parametrize("n_layers", [1, 3, 6])
@settings(deadline=None, derandomize=True, max_examples=40)
@given(data=st.data())
@pytest.mark.slow
def test_every_sample_trains_at_small_sizes(n_layers: int, data: st.DataObject) -> None:
    sample = data.draw(samples(n_layers))
    height, width = data.draw(st.tuples(st.integers(8, 12), st.integers(8, 28)))
    check(n_layers, sample, (data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 3])), height, width))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("pooling_kernel", [1, 7])
@pytest.mark.parametrize("pooling", VALUES["pooling"])
@pytest.mark.parametrize("normalization", VALUES["normalization"])
def test_extremes_train(normalization: str, pooling: str, pooling_kernel: int, batch: int) -> None:
    choice = {"normalization": normalization, "pooling": pooling, "pooling_kernel": pooling_kernel}
    sample = uniform(3, kernel=7, activation="elu", **choice)
    for size in ((8, 8), (8, 50), (49, 9)):
        build_train_and_score(SPACES[3, 1], sample, torch.rand(batch, 1, *size))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_real_training_at_224_pixels(channels: int, activation: str) -> None:
    sample = uniform(3, pooling_kernel=3, kernel=3, normalization="batch", activation=activation, pooling="average")
    build_train_and_score(SPACES[3, channels], sample, torch.rand(2, channels, 224, 224))


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (224, 224), (8, 224), (223, 9)])
def test_giants_have_the_right_shape(size: tuple[int, int]) -> None:
    for pooling_kernel in (1, 7):
        sample = uniform(6, channels=256, kernel=7, pooling_kernel=pooling_kernel, normalization="instance")
        check_shapes(SPACES[6, 3], sample, (2, 3, *size))


@settings(deadline=None, derandomize=True, max_examples=20)
@given(sample=samples(3), height=st.integers(8, 224), width=st.integers(8, 224))
def test_macs_are_those_that_torch_counts(sample: dict[str, Any], height: int, width: int) -> None:
    class Unknown(nn.Module):
        """Hides the child's own number, so that torch counts."""

        def __init__(self, child: nn.Module) -> None:
            super().__init__()
            self.child = child

        def forward(self, images: Tensor) -> Tensor:
            image: Tensor = self.child(images).image
            return image

    with torch.device("meta"):
        child = SPACES[3, 3].freeze(sample)
    assert count_macs(child, 3, height, width) == count_macs(Unknown(child), 3, height, width)


def test_macs_by_hand() -> None:
    # Encoder: 1*3*9 at 28x28; pooled to 10x10; its mirror there. Then 3*3*9 at 10x10 and at 4x4.
    sample = uniform(2, kernel=3, pooling_kernel=3)
    child = AutoencoderSpace(2).freeze(sample)
    assert count_macs(child, 1, 28, 28) == 27 * 784 + 27 * 100 + 81 * 100 + 81 * 16


def test_a_frozen_child_is_a_plain_module_that_gives_image_and_code() -> None:
    child = SPACES[1, 3].freeze({**uniform(1, channels=8, pooling_kernel=5), "distance": "l21"})
    assert type(child) is Autoencoder
    output = child(torch.rand(2, 3, 12, 20))
    assert isinstance(output, Reconstruction)
    assert output.image.shape == (2, 3, 12, 20)
    assert output.code.shape == (2, 8, 3, 4)


def test_weights_depend_on_the_seed_alone() -> None:
    space, sample = SPACES[3, 1], uniform(3, channels=16)
    children = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        children.append(torch.cat([parameter.flatten() for parameter in space.freeze(sample).parameters()]))
    assert torch.equal(children[0], children[1])
    assert not torch.equal(children[0], children[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer1_kernel": 4}, r"^layer1_kernel is 4\. Expected one of: 1, 3, 5, 7\. Choose one of these\.$"),
        ({"distance": "l3"}, r"^distance is 'l3'\. Expected one of: l1, l2, l21, ssim\."),
        (
            {"layer1_kernal": 3},
            r"^Unknown label 'layer1_kernal'\. Expected: hypothesis.* Did you mean 'layer1_kernel'\?$",
        ),
        ({"zzz": 3}, r"^Unknown label 'zzz'\. Expected: .* Remove it\.$"),
    ],
)
def test_a_sample_outside_the_space_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError, match=message):
        SPACES[1, 1].freeze({**uniform(1), **changes})


def test_a_sample_without_a_label_is_an_error() -> None:
    sample = uniform(1)
    del sample["layer1_activation"]
    with pytest.raises(AutoADError, match=r"^The label 'layer1_activation' is missing\."):
        SPACES[1, 1].freeze(sample)


@pytest.mark.parametrize("n_layers", [1, 3, 12])
def test_the_number_of_layers_is_read_off_the_labels(n_layers: int) -> None:
    space = AutoencoderSpace.for_labels(reversed(list(uniform(n_layers))), channels=3)
    assert set(space.simplify()) == set(uniform(n_layers))
    assert space.freeze(uniform(n_layers))(torch.rand(1, 3, 8, 8)).image.shape == (1, 3, 8, 8)


def test_names_of_plugins_can_be_offered() -> None:
    space = AutoencoderSpace.for_labels(uniform(1), channels=1, hypotheses=["reconstruction", "knn"], distances=["l2"])
    assert list(space.simplify()["hypothesis"].values) == ["reconstruction", "knn"]
    assert isinstance(space.freeze({**uniform(1), "hypothesis": "knn"}), Autoencoder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"'hypothesis' is missing"),
        (["hypothesis", "distance"], r"'layer1_channels' is missing"),
        ([label for label in uniform(3) if label != "layer2_kernel"], r"'layer2_kernel' is missing"),
        ([label for label in uniform(3) if not label.startswith("layer2")], r"'layer2_channels' is missing"),
        ([*uniform(2), "layer2_dropout"], r"Unknown label 'layer2_dropout'\."),
        ([*uniform(2), "layer999999999_kernel"], r"Unknown label 'layer999999999_kernel'"),
        ([*uniform(2), "learning_rate"], r"Unknown label 'learning_rate'.*Remove it"),
        ([*uniform(2), "layer_kernel"], r"Unknown label 'layer_kernel'.*Did you mean 'layer\d_kernel'"),
    ],
)
def test_labels_of_no_space_are_an_error(labels: list[str], message: str) -> None:
    with pytest.raises(AutoADError, match=message) as raised:
        AutoencoderSpace.for_labels(labels, channels=1)
    assert "\n" not in str(raised.value)


def test_no_layers_are_an_error() -> None:
    with pytest.raises(AutoADError, match=r"^n_layers is 0\. Expected 1 or more\."):
        AutoencoderSpace(0)
