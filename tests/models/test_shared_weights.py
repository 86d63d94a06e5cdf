from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from detectors import run_model
from torch import nn
from toys import Conv

from autoad_nni.data import LabelledImages, Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import AutoencoderSpace

SAMPLE: dict[str, Any] = {"hypothesis": "reconstruction", "distance": "l2"} | {
    f"layer{i}_{label}": value
    for i in (1, 2)
    for label, value in {
        "channels": 8, "kernel": 3, "pooling": "max", "pooling_kernel": 3,
        "normalization": "batch", "activation": "elu",
    }.items()
}  # fmt: skip
ALL = {f"{side}.{i}.{part}" for side, transform in (("encoder", "convolution"), ("decoder", "deconvolution"))
       for i in (0, 1) for part in (transform, "normalization.normalize")}  # fmt: skip


def child(seed: int = 0, **changes: Any) -> AutoencoderSpace:
    torch.manual_seed(seed)
    return AutoencoderSpace(2).freeze({**SAMPLE, **changes})


def trained(module: nn.Module, value: float = 0.5) -> nn.Module:
    """Stands for training: every number becomes ``value``."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(value)
    return module


def holds(module: nn.Module, value: float) -> set[str]:
    """The operations all of whose numbers are ``value``."""
    own = {path: each._parameters | each._buffers for path, each in module.named_modules()}
    numbers = {path: [tensor for tensor in state.values() if tensor is not None] for path, state in own.items()}
    return {
        path for path, state in numbers.items() if state and all(bool((t == t.new_tensor(value)).all()) for t in state)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds what one child learned: 0.5 everywhere."""
    SharedWeights(tmp_path / "weights", "0").store(trained(child()))
    return tmp_path / "weights"


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, set()),
        ({"hypothesis": "density", "distance": "ssim"}, set()),
        ({"layer1_activation": "relu", "layer2_pooling": "average", "layer2_pooling_kernel": 5}, set()),
        ({"layer1_kernel": 5}, {"encoder.0.convolution", "decoder.1.deconvolution"}),
        ({"layer1_normalization": "none"}, set()),
        ({"layer2_normalization": "instance"}, {
            "encoder.1.normalization.normalize", "decoder.0.normalization.normalize"
        }),
        ({"layer1_channels": 16}, ALL - {"encoder.1.normalization.normalize", "decoder.1.normalization.normalize"}),
        ({"layer2_channels": 16}, {
            "encoder.1.convolution", "encoder.1.normalization.normalize", "decoder.0.deconvolution"
        }),
    ],
)  # fmt: skip
def test_an_operation_is_shared_where_it_is_the_same_at_the_same_place(
    folder: Path, changes: dict[str, Any], own: set[str]
) -> None:
    other = child(seed=1, **changes)
    fresh = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    n_taken = SharedWeights(folder, "1").load_into(other)
    learning = {path for path, module in other.named_modules() if any(True for _ in module.parameters(recurse=False))}
    assert holds(other, 0.5) == learning - own and n_taken == len(learning - own)
    for name, tensor in other.state_dict().items():
        if name.rpartition(".")[0] in own:
            assert torch.equal(tensor, fresh[name]), "what nobody trained stays as it was drawn"


def test_the_files_say_what_they_are_and_no_other_is_left(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {name.rpartition("-")[0].rpartition("-")[0] for name in names} == ALL
    assert all(name.endswith(".safetensors") for name in names)


def test_an_empty_folder_gives_nothing_and_is_not_made(tmp_path: Path) -> None:
    module = child()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert SharedWeights(tmp_path / "none", "0").load_into(module) == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert not (tmp_path / "none").exists()


def test_the_last_writer_wins(folder: Path) -> None:
    SharedWeights(folder, "1").store(trained(child(), 2.0))
    taken = child()
    SharedWeights(folder, "2").load_into(taken)
    assert holds(taken, 2.0) == ALL


def test_the_layout_in_memory_stays(folder: Path) -> None:
    taken = child(seed=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    SharedWeights(folder, "1").load_into(taken)
    assert taken.encoder[1].convolution.weight.is_contiguous(memory_format=torch.channels_last)
    SharedWeights(folder, "1").store(trained(taken, 3.0))
    again = child()
    SharedWeights(folder, "2").load_into(again)
    assert holds(again, 3.0) == ALL


@pytest.mark.parametrize("n_written", range(len(ALL) + 1))
def test_a_trial_that_was_killed_while_or_after_it_wrote_starts_where_it_started(folder: Path, n_written: int) -> None:
    """Some files are its own already, the others are not yet."""
    SharedWeights(folder, "1").store(trained(child(), 2.0))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    SharedWeights(folder, "2").store(trained(child(), 3.0))
    for path in sorted(folder.iterdir())[n_written:]:
        path.write_bytes(before[path])
    taken = child()
    assert SharedWeights(folder, "2").load_into(taken) == len(ALL)
    assert holds(taken, 2.0) == ALL
    SharedWeights(folder, "2").store(trained(taken, 3.0))
    SharedWeights(folder, "2").load_into(taken)
    assert holds(taken, 2.0) == ALL, "however often"
    SharedWeights(folder, "3").load_into(taken)
    assert holds(taken, 3.0) == ALL


def test_a_repeated_first_trial_starts_fresh(folder: Path) -> None:
    taken = child(seed=4)
    assert SharedWeights(folder, "0").load_into(taken) == 0
    assert holds(taken, 0.5) == set()


class ThirdParty(nn.Module):
    """Knows nothing of sharing; a parameter and a buffer at the root, a child with an odd name."""

    def __init__(self, width: int, settings: str = "") -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.parts = nn.ModuleDict({"a/b é": nn.Linear(width, 1)})
        self.settings = settings

    def extra_repr(self) -> str:
        return self.settings


def test_any_module_shares_by_place_class_settings_and_shapes(tmp_path: Path) -> None:
    first = ThirdParty(3)
    trained(first, 7.0)
    first.scratch.fill_(7.0)
    SharedWeights(tmp_path, "0").store(first)
    same, wider, other = ThirdParty(3), ThirdParty(4), ThirdParty(3, "another kind")
    assert [SharedWeights(tmp_path, "1").load_into(module) for module in (same, wider, other)] == [2, 0, 1]
    assert same.scale.tolist() == [7.0] * 3 and same.kept.tolist() == [7.0] * 2 and same.scratch.tolist() == [0.0] * 2
    assert isinstance(same.parts["a/b é"], nn.Linear) and same.parts["a/b é"].bias.tolist() == [7.0]
    assert other.scale.tolist() == [0.0] * 3
    assert sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir()) == [
        "autoencoder-ThirdParty", "parts.a_b__-Linear"
    ]  # fmt: skip


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def other_operation(path: Path) -> None:
    path.write_bytes(next(file for file in path.parent.iterdir() if file != path).read_bytes())


def without_metadata(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file(load_file(path), path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [torn, other_operation, without_metadata, a_folder])
def test_a_file_that_is_not_ours_is_named(folder: Path, spoil: Callable[[Path], None]) -> None:
    path = next(folder.glob("encoder.1.convolution*"))
    spoil(path)
    for use in (SharedWeights(folder, "1").load_into, SharedWeights(folder, "1").store):
        with pytest.raises(AutoADError) as caught:
            use(child())
        message = str(caught.value)
        assert message.startswith(f"{path} ") and "\n" not in message
        assert message.endswith("Delete the file: the operation then starts fresh.")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(AutoADError, match=r"weights/encoder.0.*cannot be written: .*drop weight_sharing\.$"):
        SharedWeights(tmp_path / "weights", "0").store(child())


WRITERS = textwrap.dedent("""
    import itertools, os, sys, torch
    from pathlib import Path
    from autoad_nni.models.shared_weights import SharedWeights

    def write(first, parent):
        module, numbers = torch.nn.Conv2d(64, 256, 3), itertools.count(first, 2)
        while os.getppid() == parent:
            number = next(numbers)
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.fill_(number)
            SharedWeights(Path(sys.argv[1]), str(number)).store(module)
            if number == first:
                print(os.getpid(), flush=True)

    parent = os.getpid()
    for line in sys.stdin:
        if os.fork() == 0:
            write(int(line), parent)
            os._exit(0)
""")


@pytest.mark.slow
def test_readers_see_whole_files_while_others_write_and_are_killed(tmp_path: Path) -> None:
    """The writers are forked from one process, which spares the seconds of importing torch."""
    module = nn.Conv2d(64, 256, 3)
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for first in (0, 1000):
            print(first, first + 1, sep="\n", file=parent.stdin, flush=True)
            writers = [int(parent.stdout.readline()) for _ in range(2)]  # each has written once
            seen = set[float]()
            while len(seen) < 20 or len({value % 2 for value in seen}) < 2:  # both write, each many times
                assert SharedWeights(tmp_path, "reader").load_into(module) == 1
                values = {*module.weight.detach().unique().tolist(), *module.bias.detach().unique().tolist()}
                assert len(values) == 1, "half of one writer, half of another"
                seen |= values
            for writer in writers:
                os.kill(writer, signal.SIGKILL)
    assert SharedWeights(tmp_path, "reader").load_into(module) == 1


# In a trial.

SETTINGS = TrialSettings(training=TrainingSettings(epochs=2, batch_size=8), device="cpu")


@pytest.fixture(scope="module")
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    normal, bright = torch.rand(56, 1, 8, 8, generator=generator) * 0.4, torch.rand(8, 1, 8, 8, generator=generator)
    labels = torch.tensor([0] * 16 + [1] * 8, dtype=torch.uint8)
    validation = LabelledImages(torch.cat([normal[40:], bright * 0.45]), labels)
    return Task("dark vs bright", normal[:40], validation, test=validation)


def losses(task: Task, shared: SharedWeights | None) -> list[float]:
    heard: list[float] = []
    result = run_model(Conv, task, SETTINGS, on_epoch=lambda epoch, loss, figures: heard.append(loss), shared=shared)
    assert result.metrics["verdict"] == "ok"
    return heard


def test_a_trial_goes_on_from_what_the_one_before_learned(task: Task, tmp_path: Path) -> None:
    alone, first = losses(task, None), losses(task, SharedWeights(tmp_path, "0"))
    assert first == alone, "nothing to share yet"
    second = losses(task, SharedWeights(tmp_path, "1"))
    assert second[0] < first[0] and second[-1] < first[-1]
    assert losses(task, SharedWeights(tmp_path, "1")) == second, "repeated, not continued"
    assert losses(task, None) == alone


def test_what_is_stored_is_what_was_trained(task: Task, tmp_path: Path) -> None:
    result = run_model(Conv, task, SETTINGS, shared=SharedWeights(tmp_path, "0"))
    assert result.detector is not None
    taken = Conv()
    assert SharedWeights(tmp_path, "1").load_into(taken) == 2
    state = result.detector.autoencoder.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in taken.state_dict().items())


@pytest.mark.parametrize("limits", [{"max_macs": 1}, {"max_seconds": 1e-9}, {}])
def test_a_trial_that_failed_leaves_nothing(task: Task, tmp_path: Path, limits: dict[str, Any]) -> None:
    def build() -> nn.Module:
        module = Conv()
        if not limits:
            trained(module, float("nan"))
        return module

    settings = TrialSettings(training=SETTINGS.training, device="cpu", **limits)
    assert run_model(build, task, settings, shared=SharedWeights(tmp_path, "0")).metrics["verdict"] != "ok"
    assert list(tmp_path.iterdir()) == []
