"""CAT, from the folders of its archives."""

from __future__ import annotations

from pathlib import Path

from autoad_nni.data.files import image_files, sub_folders
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.sources._files import FilesSource

__all__ = ["Cats"]


class Cats(FilesSource):
    """CAT: 10,000 photographs of cats, RGB; 224 x 224 unless another size is asked for, as in the paper's case study.

    Looks below ``--root`` in ``CAT_DATASET``, ``cats`` and the folder itself, in the folders CAT_00 to CAT_06. The
    points on each cat's head, in the files ``.jpg.cat``, are not read.

    Differs from / not given by the paper: photographs have many shapes; each is resized to a square.

    Reference: Zhang, Sun and Tang, Cat head detection, ECCV 2008.
    """

    title = "CAT"
    sub_folders = ("CAT_DATASET", "cats", ".")
    shape = ImageShape(3, 224, 224)
    advice = (
        "Expected the folders CAT_00 to CAT_06. Give [[root=DIR]] with CAT_DATASET_01.zip and CAT_DATASET_02.zip "
        "unpacked (archive.org/details/CAT_DATASET)."
    )

    def files_of(self, folder: Path) -> list[Path]:
        """Return the photographs in the folders that begin with CAT_."""
        return [file for sub in sub_folders(folder) if sub.name.startswith("CAT_0") for file in image_files(sub)]
