"""What surrounds anomalib in ``benchmarks/peers``; anomalib itself is in no environment of the tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoad_nni.data import LabelledImages, Task, TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.trial_options import parse_request
from benchmarks.peers.__main__ import main
from benchmarks.peers.figures import read_figures, table
from benchmarks.peers.images import write_images

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yml"
COST = {"fit_seconds": 61.0, "ms_per_image": 40.4, "peak_mb": 900}


def quickstart_row() -> dict[str, Any]:
    experiment = read_experiment(QUICKSTART)
    options = parse_request(experiment.trial_arguments, experiment.trial_folder).task
    assert options.seed == 0
    task = load_task(options)
    return {
        "method": "padim",
        "seed": 0,
        "coreset": None,
        "input_size": None,
        "images": task.digest(),
        "n_train": len(task.train),
        "n_test": len(task.test.labels),
        "validation": {"auroc": 0.8},
        "test": {"auroc": 0.9},
        **COST,
    }


def test_the_images_are_those_of_a_trial_to_the_last_bit_and_come_without_labels(tmp_path: Path) -> None:
    task = load_task(TaskOptions(data="digits", abnormal=("uniform",), limit=100, seed=3))
    write_images(task, tmp_path / "images")
    written = {path.name: np.load(path) for path in (tmp_path / "images").iterdir()}
    parts = {"train": task.train, "validation": task.validation.images, "test": task.test.images}
    assert written.keys() == {f"{name}.npy" for name in parts}
    for name, images in parts.items():
        assert written[f"{name}.npy"].dtype == np.float32
        assert written[f"{name}.npy"].tobytes() == images.numpy().tobytes()


def write_found(path: Path, test_scores: list[float], test_maps: Any) -> None:
    """Validation is separated perfectly, test as given."""
    maps = np.array([[[0.0, 0.0], [0.0, 0.0]]] * 2 + [[[0.0, 0.0], [1.0, 1.0]]] * 2, np.float32)
    np.savez(path, validation_scores=np.array([1.0, 2.0, 3.0, 4.0], np.float32), validation_maps=maps,
             test_scores=np.array(test_scores, np.float32), test_maps=np.array(test_maps, np.float32),
             cost=json.dumps(COST))  # fmt: skip


def task_of_four(masks: bool) -> Task:
    defects = torch.tensor([[[False, False], [False, False]]] * 2 + [[[False, False], [True, True]]] * 2)
    held = LabelledImages(
        torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 1, 1], dtype=torch.uint8), defects if masks else None
    )
    return Task("four", torch.zeros(1, 1, 2, 2), held, held)


def test_figures_are_of_the_methods_own_scores_and_maps(tmp_path: Path) -> None:
    """Of four defect pixels three are above all twelve normal ones, and one below."""
    normal = [[0.2, 0.2], [0.2, 0.2]]
    write_found(
        tmp_path / "found.npz",
        [0.1, 0.4, 0.35, 0.8],
        [normal, normal, [[0.2, 0.2], [0.1, 0.9]], [[0.2, 0.2], [0.9, 0.9]]],
    )
    figures = read_figures(tmp_path / "found.npz", task_of_four(masks=True))
    assert figures["test"] == {"auroc": 0.75, "aupro": 0.75, "pixel_auroc": 0.75}
    assert figures["validation"] == {"auroc": 1.0, "aupro": 1.0, "pixel_auroc": 1.0}
    assert {name: figures[name] for name in COST} == COST


def test_without_masks_only_images_are_told_apart(tmp_path: Path) -> None:
    write_found(tmp_path / "found.npz", [0.1, 0.4, 0.35, 0.8], np.zeros((4, 2, 2)))
    assert read_figures(tmp_path / "found.npz", task_of_four(masks=False))["test"] == {"auroc": 0.75}


def test_a_run_is_a_row_of_the_table() -> None:
    rows = [
        {
            **quickstart_row(),
            "seed": 1,
            "method": "patchcore",
            "coreset": 0.02,
            "input_size": 256,
            "test": {"auroc": 0.9, "aupro": 0.7, "pixel_auroc": 0.6},
            "validation": {"auroc": 0.8, "aupro": 0.5, "pixel_auroc": 0.4},
        },
        quickstart_row(),
    ]
    assert table(rows).splitlines() == [
        "| method | coreset | input | seed | image AUROC | AUPRO | pixel AUROC | fit, s | ms per image | peak, MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "| padim |  | own size | 0 | 0.900 (0.800) |  |  | 61 | 40 | 900 |",
        "| patchcore | 0.02 | 256 | 1 | 0.900 (0.800) | 0.700 (0.500) | 0.600 (0.400) | 61 | 40 | 900 |",
    ]


def words(output: Path, python: str = sys.executable) -> list[str]:
    return [str(QUICKSTART), "--python", python, "--seeds", "0", "--methods", "padim", "--output", str(output)]


def test_what_is_recorded_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """This Python has no anomalib: a run would fail."""
    (tmp_path / "quickstart.json").write_text(json.dumps([quickstart_row()]))
    main(words(tmp_path))
    assert "quickstart\n" in capsys.readouterr().out


def test_what_is_recorded_of_other_images_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "quickstart.json").write_text(json.dumps([{**quickstart_row(), "images": "0" * 16}]))
    with pytest.raises(AutoADError, match=r"ended with 1\. Expected a Python that imports anomalib"):
        main(words(tmp_path))


def test_a_python_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AutoADError, match="nowhere is no file"):
        main(words(tmp_path, python="nowhere"))
