from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoad_nni.models.layers import ACTIVATIONS, DecoderLayer, EncoderLayer, LayerChoice, Normalization


def choice(**changes: int | str) -> LayerChoice:
    values: dict[str, int | str] = {
        "channels": 1,
        "kernel": 1,
        "pooling": "max",
        "pooling_kernel": 1,
        "normalization": "none",
        "activation": "linear",
    }
    return LayerChoice(**{**values, **changes})  # type: ignore[arg-type]


def passing_on(layer: EncoderLayer | DecoderLayer) -> None:
    """Make the convolution of a 1x1 kernel the identity."""
    convolution = layer.convolution if isinstance(layer, EncoderLayer) else layer.deconvolution
    nn.init.ones_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)


def encode(images: Tensor, **changes: int | str) -> Tensor:
    layer = EncoderLayer(1, choice(**changes))
    passing_on(layer)
    output: Tensor = layer(images)
    return output


FOUR = torch.arange(16.0).view(1, 1, 4, 4)


def test_pooling_steps_by_its_kernel_and_rounds_up() -> None:
    # Rows and columns 0-2, then 3 alone; the average is over what is there.
    assert encode(FOUR, pooling="max", pooling_kernel=3).flatten().tolist() == [10.0, 11.0, 14.0, 15.0]
    assert encode(FOUR, pooling="average", pooling_kernel=3).flatten().tolist() == [5.0, 7.0, 13.0, 15.0]


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("side", [1, 2, 6, 7, 8, 28, 50])
def test_no_side_reaches_zero(pooling: str, kernel: int, side: int) -> None:
    assert encode(torch.zeros(1, 1, side, 1), pooling=pooling, pooling_kernel=kernel).shape[2:] == (
        -(-side // kernel),
        1,
    )


def test_table_four_of_the_paper_28_pixels_pooled_by_7_then_5() -> None:
    once = encode(torch.zeros(1, 1, 28, 28), pooling_kernel=7)
    assert once.shape[2:] == (4, 4)
    assert encode(once, pooling_kernel=5).shape[2:] == (1, 1)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_convolutions_keep_the_size(kernel: int) -> None:
    encoded = EncoderLayer(3, choice(kernel=kernel, channels=8))(torch.zeros(2, 3, 9, 4))
    assert encoded.shape == (2, 8, 9, 4)
    assert DecoderLayer(3, choice(kernel=kernel, channels=8))(encoded, (9, 4)).shape == (2, 3, 9, 4)


def test_the_decoder_enlarges_to_the_recorded_size() -> None:
    layer = DecoderLayer(1, choice(pooling_kernel=3))
    passing_on(layer)
    enlarged = layer(torch.tensor([[[[1.0, 2.0]]]]), (2, 5))
    assert enlarged.shape == (1, 1, 2, 5)
    assert enlarged.min() >= 1.0
    assert enlarged.max() <= 2.0
    assert enlarged[0, 0, 0, 0] == 1.0
    assert enlarged[0, 0, 0, -1] == 2.0


def test_the_order_is_convolution_pooling_normalization_activation() -> None:
    layer = EncoderLayer(1, choice(pooling_kernel=3, normalization="instance", activation="relu"))
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    pooled = torch.max_pool2d(layer.convolution(images), 3, 3)
    mean, variance = pooled.mean((2, 3), keepdim=True), pooled.var((2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(layer(images), torch.relu((pooled - mean) / torch.sqrt(variance + 1e-5)))


@pytest.mark.parametrize("training", [True, False])
def test_instance_normalization_leaves_single_pixels_alone(training: bool) -> None:
    images = torch.rand(4, 3, 1, 1)
    assert torch.equal(Normalization("instance", 3).train(training)(images), images)
    row = torch.tensor([[[[1.0, 3.0]]]])
    torch.testing.assert_close(
        Normalization("instance", 1).train(training)(row), torch.tensor([[[[-1.0, 1.0]]]]), atol=1e-4, rtol=0
    )


def test_batch_normalization_leaves_a_single_value_alone_in_training_only() -> None:
    single = torch.full((1, 2, 1, 1), 5.0)
    layer = Normalization("batch", 2)
    assert torch.equal(layer(single), single)
    layer(torch.tensor([[[[0.0]], [[0.0]]], [[[2.0]], [[2.0]]]]))  # moves the running mean by 0.1 x 1
    expected = (5.0 - 0.1) / (0.9 + 0.1 * 2.0 + 1e-5) ** 0.5
    torch.testing.assert_close(layer.eval()(single), torch.full((1, 2, 1, 1), expected))


def test_no_normalization_passes_everything() -> None:
    assert torch.equal(Normalization("none", 1)(FOUR), FOUR)


GOLDEN_ACTIVATIONS = {  # at -1, 0, 7
    "sigmoid": [0.268941, 0.5, 0.999089],
    "tanh": [-0.761594, 0.0, 0.999998],
    "relu": [0.0, 0.0, 7.0],
    "linear": [-1.0, 0.0, 7.0],
    "softplus": [0.313262, 0.693147, 7.000911],
    "leaky_relu": [-0.01, 0.0, 7.0],
    "relu6": [0.0, 0.0, 6.0],
    "elu": [-0.632121, 0.0, 7.0],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    values = encode(torch.tensor([[[[-1.0, 0.0, 7.0]]]]), activation=name)
    torch.testing.assert_close(values.flatten(), torch.tensor(GOLDEN_ACTIVATIONS[name]), atol=1e-5, rtol=0)
