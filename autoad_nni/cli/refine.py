"""``autoad-nni refine``: the score maps of a search's best model, refined by Eq. 20."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.cli.usage import say
from autoad_nni.errors import AutoADError
from autoad_nni.storing import check_new_folder

if TYPE_CHECKING:
    from torch import Tensor

    from autoad_nni.data import ImageShape
    from autoad_nni.models.scoring import Prediction
    from autoad_nni.refinement import Classifier, Segmenter

__all__ = ["Maps", "names_of", "refine", "refine_files"]

# VGG-16 halves its images five times.
_LEAST_SIDE = 32


class Maps(Protocol):
    """A trained model, as far as it is needed here."""

    @property
    def image_shape(self) -> ImageShape:
        """Channels, height and width of its images."""

    def predict(self, images: Tensor) -> Prediction:
        """Images ``(n, *image_shape)`` to anomaly maps ``(n, height, width)``."""


def refine(
    run: Annotated[
        Path,
        typer.Argument(
            help="Folder of a search: --output of 'autoad-nni search', or ~/nni-experiments/ID that 'launch' leaves."
        ),
    ],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    output: Annotated[Path, typer.Option(help="New or empty folder for the results.")],
    classifier_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of torchvision's vgg16, for Grad-CAM.")
    ] = None,
    saliency_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of torchvision's deeplabv3_resnet50, for the mask.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download the weights that no FILE is given for (528 and 161 MB).")
    ] = False,
    target: Annotated[
        int | None,
        typer.Option(metavar="CLASS_INDEX", min=0, max=999, help="ImageNet class of the object; default: as found."),
    ] = None,
    object_name: Annotated[
        str | None, typer.Option("--object", metavar="NAME", help="VOC class of the object, 'cat' say; default: any.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the two networks run: auto, cpu or cuda.")] = "cpu",
) -> None:
    r"""Multiplies score maps by (1 - Grad-CAM) and by the mask of the salient object.

    For each image, --output gets NAME.png, the maps side by side, and NAME.npy, the refined map: float32, (height,
    width) of the model's images. Needs pip install 'autoad-nni\[refine]'.
    """
    from autoad_nni.refinement import deeplabv3, vgg16
    from autoad_nni.refinement.gradients import require_captum
    from autoad_nni.trial.settings import DEVICES, pick_device

    require_captum()
    if device not in DEVICES:
        raise AutoADError(f"[[device]] is {device!r}. Expected auto, cpu or cuda. Give one of these.")
    where = pick_device(device)
    # Before the networks are loaded, and before minutes of work.
    names = names_of(images)
    check_new_folder(output)
    from autoad_nni.runs.model import load

    model = load(run)
    classifier = vgg16(classifier_weights, download=download, device=where)
    segmenter = deeplabv3(saliency_weights, download=download, device=where)
    with sigterm_as_ctrl_c():
        refine_files(
            model, names, output, classifier=classifier, segmenter=segmenter, target=target, object_name=object_name
        )
    say(f"{len(names)} image{'s' if len(names) > 1 else ''} refined, written to {output}")


def refine_files(
    model: Maps,
    names: dict[Path, Path],
    output: Path,
    *,
    classifier: Classifier,
    segmenter: Segmenter,
    target: int | None = None,
    object_name: str | None = None,
) -> None:
    """Refines the score maps of image files, one by one, and writes all the results or none.

    Args:
        model: Gives the score maps.
        names: By image file, the name of its results below ``output``, without an ending.
        output: Missing, or an empty folder.
        classifier: For Grad-CAM.
        segmenter: For the mask.
        target: Class of the classifier; None: the one that it finds.
        object_name: Class of the segmenter; None: any.

    Raises:
        AutoADError: A file is no image, the folder cannot be written, or a class is unknown.
    """
    import numpy as np

    from autoad_nni.data.decode import read_images
    from autoad_nni.refinement import refine as refine_maps
    from autoad_nni.refinement.picture import picture

    with _all_or_nothing(output) as folder:
        for path, name in names.items():
            image = read_images([path], model.image_shape)
            refinement = refine_maps(
                model.predict(image).anomaly_map[:, None],
                read_images([path], _fine_shape(path, segmenter.side)),
                classifier=classifier,
                segmenter=segmenter,
                target=target,
                object_name=object_name,
            )
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture(image, refinement).save(folder / f"{name}.png")
            np.save(folder / f"{name}.npy", refinement.refined[0, 0].cpu().numpy().astype(np.float32))


def _fine_shape(path: Path, side: int) -> ImageShape:
    """RGB in the image's proportions, the shorter side as long as the more demanding network wants it.

    Of long strips the longer side is four times that, so that one image does not take minutes and all memory.
    """
    from autoad_nni.data import ImageShape
    from autoad_nni.data.decode import full_image_shape

    _, height, width = full_image_shape(path)
    scale = min(side / min(height, width), 4 * side / max(height, width))
    return ImageShape(3, *(max(_LEAST_SIDE, round(length * scale)) for length in (height, width)))


def names_of(images: Sequence[Path]) -> dict[Path, Path]:
    """Returns the images' names without endings; from several folders, with what of their paths differs.

    Raises:
        AutoADError: There is no such file, or two would have one name.
    """
    for path in images:
        if not os.path.isfile(path):
            what, advice = "no file", "Check the path"
            if os.path.isdir(path):
                what, advice = "a folder", f"Give for instance {path / '*.png'}"
            raise AutoADError(f"the image {path} is {what}. Expected image files. {advice}.")
    # Normalised, or a result of ../a.png would be written beside it, over it even, and not below --output.
    folders = {path: Path(os.path.abspath(path)).parent for path in images}
    shared = os.path.commonpath(folders.values())
    names = {path: folders[path].relative_to(shared) / path.stem for path in images}
    taken: dict[Path, Path] = {}
    for path, name in names.items():
        if name in taken:
            raise AutoADError(
                f"{taken[name]} and {path} would both be written to {name}.png. Expected images whose names differ "
                "before the ending. Rename one, or refine them apart."
            )
        taken[name] = path
    return names


@contextmanager
def _all_or_nothing(output: Path) -> Iterator[Path]:
    """A folder that becomes ``output`` when all has gone well, and vanishes otherwise."""
    folder = output.absolute().with_name(f".{output.absolute().name}-{os.getpid()}")
    try:
        folder.mkdir(parents=True)
        yield folder
        os.replace(folder, output)
    except OSError as error:
        raise AutoADError(
            f"[[output]] {output} cannot be written: {error.strerror or error}. Expected a folder to write to, with "
            "room for the results. Give another one."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
