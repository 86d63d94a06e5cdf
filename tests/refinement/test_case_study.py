from __future__ import annotations

from pathlib import Path

import pytest
import study
import torch
from cat_scenes import FORM, OTHER_OBJECTS, cat, outline, plant, training_images
from efficientnet import activation_mask, efficientnet_lite0
from PIL import Image


def test_a_scene_has_one_disc_on_the_cat_and_one_beside_it() -> None:
    inside, clean = outline(), cat()
    for seed in range(3):
        scene = plant(seed)
        assert scene.on_cat.sum() > 900 and scene.beside.sum() > 900
        assert inside[scene.on_cat].all() and not inside[scene.beside].any()
        changed = (scene.image != clean).any(1)[0]
        assert not changed[~(scene.on_cat | scene.beside)].any()
        assert changed[scene.on_cat].float().mean() > 0.9
        assert torch.equal(plant(seed).image, scene.image)
    assert len(set(OTHER_OBJECTS)) == len(OTHER_OBJECTS)


def test_training_images_are_clean_and_seeded() -> None:
    images = training_images(4, 1)
    assert images.shape == (4, *FORM) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, training_images(4, 1)) and not torch.equal(images, training_images(4, 2))


def test_activations_are_a_map_of_the_image() -> None:
    mask = activation_mask(efficientnet_lite0(), cat())
    assert mask.shape == (1, 1, 300, 451)
    assert mask.min() == 0 and mask.max() == 1


@pytest.mark.slow
def test_the_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study.main(["--scenes", "2", "--epochs", "1", "--output", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and all(line.startswith("| ") or line.startswith("|-") for line in lines)
    assert lines[2].startswith("| score map |") and "of 2" in lines[3]
    with Image.open(tmp_path / "case_study.png") as drawn:
        assert drawn.width > drawn.height > 100
