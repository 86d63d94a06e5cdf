"""Eq. 20 on a real cat: does refinement help to find what was planted on it?

An autoencoder learns the clean photograph; each scene has a strange disc on the cat, the anomaly, and one beside it,
which is not wanted. AUROC over the pixels, those of the disc on the cat positive, before and after refinement. Grad-CAM
is EfficientNet-Lite0's, for the class that it finds in the clean photograph. There was no trained segmentation network:
the mask is the cat's outline drawn by hand, as good as a mask can be, or the activations of EfficientNet-Lite0, which
are no mask of an object. Needs pip install '.[dev]'.

    python examples/case_study/study.py [--scenes 40] [--epochs 20] [--seed 0] [--output experiments/case_study]
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from cat_scenes import FORM, Scene, cat, outline, plant, training_images
from efficientnet import activation_mask, efficientnet_lite0
from PIL import Image
from torch import Tensor

from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.metrics.image import auroc
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.refinement import Refinement, grad_cam, refine_map
from autoad_nni.refinement.picture import picture

SAMPLE = {
    "hypothesis": "reconstruction",
    "distance": "l2",
    **{f"layer{i}_channels": channels for i, channels in ((1, 32), (2, 32), (3, 16))},
    **{f"layer{i}_kernel": 3 for i in (1, 2, 3)},
    **{f"layer{i}_pooling": "average" for i in (1, 2, 3)},
    **{f"layer{i}_pooling_kernel": 3 for i in (1, 2, 3)},
    **{f"layer{i}_normalization": "none" for i in (1, 2, 3)},
    **{f"layer{i}_activation": "elu" for i in (1, 2, 3)},
}


def train(epochs: int, seed: int) -> Detector:
    """Trains the autoencoder on the clean photograph, cropped, mirrored, lighter and darker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)
        from autoad_nni_search_spaces import AutoencoderSpace

    torch.manual_seed(seed)
    detector = Detector(AutoencoderSpace(3, channels=3).freeze(SAMPLE), ReconstructionHypothesis(), L2Distance())
    settings = TrainingSettings(epochs=epochs, batch_size=16)
    fit(detector, training_images(256, seed), settings=settings, seed=seed)
    return detector


def at_form(mask: Tensor) -> Tensor:
    """A mask ``(300, 451)`` at the size of the maps, between 0 and 1 at its edge: ``(1, 1, h, w)``."""
    return to_image_shape(mask[None, None].float(), ImageShape(1, *FORM[1:]))


class Study:
    """The scenes' maps, refined in six ways."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.classifier = efficientnet_lite0()
        with torch.no_grad():
            self.target = int(self.classifier.module(self.classifier.prepare(cat())).argmax())
        self.outline = at_form(outline())

    @torch.no_grad()
    def refinements(self, image: Tensor) -> dict[str, Refinement]:
        """By name, the refinement of an image ``(1, 3, 300, 451)``."""
        score_map = self.detector.score_map(to_image_shape(image, FORM))
        cam = grad_cam(self.classifier, image, target=self.target, size=FORM[1:])
        active = to_image_shape(activation_mask(self.classifier, image), ImageShape(1, *FORM[1:]))
        none, whole = torch.zeros_like(cam), torch.ones_like(cam)
        weights = {
            "score map": (none, whole),
            "x (1 - Grad-CAM)": (cam, whole),
            "x outline": (none, self.outline),
            "x (1 - Grad-CAM) x outline": (cam, self.outline),
            "x activations": (none, active),
            "x (1 - Grad-CAM) x activations": (cam, active),
        }
        return {
            name: Refinement(score_map, 1 - heat, mask, refine_map(score_map, heat, mask))
            for name, (heat, mask) in weights.items()
        }

    def figures(self, scene: Scene) -> dict[str, list[float]]:
        """By name: AUROC over all pixels, AUROC over the cat's, and 1 if the highest pixel is on the disc."""
        disc, inside = at_form(scene.on_cat)[0, 0] > 0.5, self.outline[0, 0] > 0.5
        found = {}
        for name, refinement in self.refinements(scene.image).items():
            scores = refinement.refined[0, 0]
            found[name] = [
                auroc(disc.flatten().numpy(), scores.flatten().numpy()),
                auroc(disc[inside].numpy(), scores[inside].numpy()),
                float(disc.flatten()[scores.argmax()]),
            ]
        return found


def table(figures: list[dict[str, list[float]]]) -> str:
    """The figures over the scenes, in Markdown."""
    columns = ("map", "AUROC (deviation)", "higher than before", "AUROC within the cat", "highest pixel on the disc")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    before = np.array([each["score map"][0] for each in figures])
    for name in figures[0]:
        whole, on_cat, peak = np.array([each[name] for each in figures]).T
        better = "" if name == "score map" else f"{(whole > before).sum()} of {len(figures)}"
        lines.append(
            f"| {name} | {whole.mean():.3f} ({whole.std():.3f}) | {better} | {on_cat.mean():.3f} "
            f"| {int(peak.sum())} of {len(figures)} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Trains, refines, prints the table, draws the picture of the first two scenes and of the clean photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("experiments/case_study"))
    given = parser.parse_args(arguments)
    study = Study(train(given.epochs, given.seed))
    scenes = [plant(seed) for seed in range(given.scenes)]
    print(table([study.figures(scene) for scene in scenes]))
    shown = [*(scene.image for scene in scenes[:2]), cat()]
    name = "x (1 - Grad-CAM) x outline"
    rows = [picture(to_image_shape(image, FORM), study.refinements(image)[name]) for image in shown]
    sheet = Image.new("RGB", (rows[0].width, rows[0].height * len(rows)))
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * row.height))
    given.output.mkdir(parents=True, exist_ok=True)
    # A palette: half the bytes.
    sheet.quantize(256, kmeans=3).save(given.output / "case_study.png", optimize=True)


if __name__ == "__main__":
    main()
