"""Weights as torchvision distributes them, read and fetched for real; only their numbers are random."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_networks import PLAIN, TinyClassifier, small_state, tiny_classifier
from torch import nn
from torchvision.models import vgg16 as torchvision_vgg16
from torchvision.models.segmentation import deeplabv3_resnet50

from autoad_nni.errors import AutoADError
from autoad_nni.models.weights import WeightsFile, load_weights
from autoad_nni.refinement import Classifier, deeplabv3, grad_cam, object_mask, vgg16


def test_images_are_made_what_the_network_was_trained_on() -> None:
    prepared = Classifier(module=nn.Identity(), side=8).prepare(torch.full((2, 1, 16, 24), 0.5))
    assert prepared.shape == (2, 3, 8, 12)
    expected = torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    torch.testing.assert_close(prepared, expected.view(1, 3, 1, 1).expand(2, 3, 8, 12))
    assert Classifier(module=nn.Identity(), side=8, **PLAIN).prepare(torch.rand(1, 3, 4, 9)).shape == (1, 3, 8, 18)


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_deeplabv3_is_torchvisions_with_the_weights_of_the_file(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(0)
    original = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).eval()
    file = tmp_path / f"weights{ending}"
    (save_file if ending == ".safetensors" else torch.save)(original.state_dict(), file)
    segmenter = deeplabv3(file)
    assert segmenter.side == 520 and len(segmenter.classes) == 21 and segmenter.classes[8] == "cat"
    image = torch.rand(1, 3, 40, 60)
    with torch.no_grad():
        expected, got = (module(image)["out"] for module in (original, segmenter.module))
    torch.testing.assert_close(got, expected)
    small = type(segmenter)(module=segmenter.module, side=40, classes=segmenter.classes)
    assert object_mask(small, image, "cat").shape == (1, 1, 40, 60)


def test_vgg16_is_torchvisions_with_the_weights_of_the_file(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = torchvision_vgg16()
    state = small_state(shapes)
    torch.save(state, tmp_path / "vgg16.pth")
    assert (tmp_path / "vgg16.pth").stat().st_size < 2**20
    classifier = vgg16(tmp_path / "vgg16.pth")
    assert not classifier.module.training
    for name, tensor in classifier.module.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert isinstance(classifier.cam_layer, nn.ReLU)
    image = torch.rand(1, 3, 64, 64)
    assert grad_cam(Classifier(module=classifier.module, layer=classifier.layer, side=64), image).shape == (
        1,
        1,
        64,
        64,
    )


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


SOURCE = WeightsFile("Tiny", "tiny_weights", "https://nowhere.test/models/tiny-12345678.pth")
STATE = TinyClassifier().state_dict()


def wrong(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder / "none.pth", "is no file"
    yield folder, "is no file"
    for name, raw in (("text.pth", b"weights"), ("empty.pth", b""), ("text.safetensors", b"weights")):
        (folder / name).write_bytes(raw)
        yield folder / name, "cannot be read"
    torch.save(STATE, folder / "whole.pth")
    (folder / "half.pth").write_bytes((folder / "whole.pth").read_bytes()[:1000])
    yield folder / "half.pth", "cannot be read"
    for name, content, part in (
        ("code.pth", {**STATE, "evil": Evil(folder / "touched")}, "cannot be read"),
        ("module.pth", tiny_classifier().module, "cannot be read"),
        ("list.pth", [1, 2], "holds no state dict"),
        ("checkpoint.pth", {"state_dict": STATE, "epoch": 3}, "holds no state dict"),
        ("missing.pth", {**STATE, "classes.bias": None}, "holds no state dict"),
        ("fewer.pth", {"classes.bias": STATE["classes.bias"]}, "lacks 3 tensors, convolution.weight first"),
        ("more.pth", {**STATE, "extra": torch.ones(1)}, "has 1 unknown tensors, extra first"),
        ("shape.pth", {**STATE, "classes.bias": torch.ones(7)}, r"has classes.bias of shape \(7,\) in place of \(3,\)"),
    ):
        torch.save(content, folder / name)
        yield folder / name, part


def test_files_that_are_not_the_weights(tmp_path: Path) -> None:
    module = TinyClassifier()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for path, part in wrong(tmp_path):
        with pytest.raises(AutoADError, match=part) as caught:
            load_weights(module, SOURCE, path, download=False)
        assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
        assert str(path) in str(caught.value) and "--tiny-weights" in caught.value.on_command_line()
    assert not (tmp_path / "touched").exists()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(("make", "file"), [(vgg16, "vgg16-397923af.pth"), (deeplabv3, "deeplabv3_resnet50_coco-")])
def test_without_a_file_and_without_download_it_says_where_weights_are(make: Any, file: str) -> None:
    with pytest.raises(AutoADError, match=rf"no weights of .*=FILE or download=True.*download\.pytorch\.org.*{file}"):
        make()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A folder served on this machine; torch's cache is another folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def test_downloads_and_finds_them_again(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    torch.save(STATE, folder / "weights")
    digest = hashlib.sha256((folder / "weights").read_bytes()).hexdigest()[:8]
    (folder / "weights").rename(folder / f"tiny-{digest}.pth")
    source = SOURCE._replace(url=f"{url}/tiny-{digest}.pth")
    for _ in range(2):
        module = TinyClassifier()
        load_weights(module, source, None, download=True)
        assert all(torch.equal(tensor, STATE[name]) for name, tensor in module.state_dict().items())
        (folder / f"tiny-{digest}.pth").unlink(missing_ok=True)
    assert (tmp_path / "cache" / "hub" / "checkpoints" / f"tiny-{digest}.pth").is_file()


@pytest.mark.parametrize(("name", "part"), [("tiny-00000000.pth", "invalid hash value"), ("gone.pth", "404")])
def test_downloads_that_fail(site: tuple[str, Path], name: str, part: str) -> None:
    url, folder = site
    torch.save(STATE, folder / "tiny-00000000.pth")
    with pytest.raises(
        AutoADError, match=f"cannot download the weights of Tiny: .*{part}.*tiny_weights=FILE"
    ) as caught:
        load_weights(TinyClassifier(), SOURCE._replace(url=f"{url}/{name}"), None, download=True)
    assert "\n" not in str(caught.value)
