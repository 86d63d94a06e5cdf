from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from installed import install, seen

from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_architecture, build_detector
from autoad_nni.models.distances.l21 import L21Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis

LAYER = {"channels": 3, "kernel": 1, "pooling": "max", "pooling_kernel": 1, "normalization": "none"}
SAMPLE: dict[str, Any] = {
    "hypothesis": "reconstruction",
    "distance": "l2",
    **{f"layer1_{key}": value for key, value in LAYER.items()},
    "layer1_activation": "sigmoid",
}


def test_a_sample_becomes_the_detector_it_describes() -> None:
    detector = build_detector({**SAMPLE, "layer1_channels": 16, "distance": "l21"}, channels=3)
    assert isinstance(detector.hypothesis, ReconstructionHypothesis)
    assert isinstance(detector.distance, L21Distance)
    shapes = {tuple(weight.shape[:2]) for weight in detector.autoencoder.parameters() if weight.dim() == 4}
    assert shapes == {(16, 3)}  # torch writes a deconvolution as (in, out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1_channels": 5}, "layer1_channels is 5. Expected one of: 3, 8, 16, "),
        ({"layer1_kernel": True}, "layer1_kernel is True. Expected one of: 1, 3, 5, 7."),
        ({"layer1_kernel": 1.0}, "layer1_kernel is 1.0. Expected one of: 1, 3, 5, 7."),
        ({"layer1_kernel": [1]}, "layer1_kernel is [1]. Expected one of: 1, 3, 5, 7."),
        ({"layer1_kernal": 3}, "Unknown label 'layer1_kernal'."),
        ({"distance": "l3"}, "Unknown distance 'l3'. Installed: l1, l2, l21, "),
        ({"hypothesis": ["density"]}, "Unknown hypothesis '['density']'. Installed: centroid, "),
    ],
)
def test_a_sample_outside_the_space_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        build_detector({**SAMPLE, **change}, channels=1)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("label", ["layer1_kernel", "hypothesis"])
def test_a_sample_without_a_label_is_refused(label: str) -> None:
    with pytest.raises(AutoADError, match=f"The label '{label}' is missing"):
        build_detector({key: value for key, value in SAMPLE.items() if key != label}, channels=1)


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(AutoADError, match=r"Unknown architecture 'autoencodr'.*Did you mean 'autoencoder'"):
        build_architecture(SAMPLE, channels=1, space="autoencodr")


def test_weights_do_not_depend_on_what_was_imported_before(tmp_path: Path) -> None:
    site = install(
        tmp_path / "site", "seeding-plugin", "1", "[autoad_nni.hypotheses]\nseeding = seeding:Seeding\n",
        seeding="import torch; torch.manual_seed(5); torch.rand(1)\n"
        "from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis as Seeding",
    )  # fmt: skip

    def weights_and_next() -> torch.Tensor:
        torch.manual_seed(1)
        detector = build_detector({**SAMPLE, "hypothesis": "seeding"}, channels=1)
        return torch.cat([*(each.detach().flatten() for each in detector.parameters()), torch.rand(1)])

    with seen(site):
        assert "seeding" not in sys.modules
        assert torch.equal(weights_and_next(), weights_and_next())


def test_building_and_scoring_imports_no_nni() -> None:
    code = (
        "import sys, torch; from autoad_nni.models.build import build_detector; from autoad_nni.runs import best; "
        "from autoad_nni.models.scoring import Scorer; "
        f"Scorer(build_detector({SAMPLE!r}, channels=1).eval())(torch.rand(2, 1, 8, 8)); print('nni' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
