"""``autoad-nni data``: sets of images, made and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoad_nni.cli.usage import printable, say

__all__ = ["app"]

app = typer.Typer(help="Sets of images: make one, check one.", no_args_is_help=True)


@app.command("textures")
def textures(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    seed: Annotated[int, typer.Option(min=0, help="Determines the crops and the defects.")] = 0,
) -> None:
    """Write brick, grass and gravel in the MVTec layout: real photographs, planted defects, exact masks.

    Nothing is downloaded: the photographs come with scikit-image.
    """
    from autoad_nni.data.textures import KINDS, TEXTURES, write_textures

    write_textures(out, seed=seed)
    say(f"written to {out}: {', '.join(TEXTURES)}, each with the defects {', '.join(KINDS)}")


@app.command("check")
def check(path: Annotated[Path, typer.Argument(help="A category, or a folder of categories.")]) -> None:
    """Name every wrong file in a folder of images, in the MVTec or the plain layout.

    Exits with 2 when there are any, or when a search with --data folder would refuse the folder for another reason.
    Otherwise lists what is allowed but may be a mistake: several sizes, grey beside colour, 14 bits in files of 16.
    """
    from autoad_nni.data.check import check_layout

    report = check_layout(path)
    for problem in report.problems:
        say(printable(problem.on_command_line()))
    if report.problems:
        raise typer.Exit(2)
    kinds = ", ".join(report.kinds[:8]) + (", ..." if len(report.kinds) > 8 else "")
    say(
        f"nothing wrong in {path}: categories {report.n_categories}, images {report.n_images}, "
        f"kinds of defects {len(report.kinds)}{f' ({kinds})' if kinds else ''}, masks {report.n_masks}"
    )
    for remark in report.remarks:
        say(printable(remark))
