"""``autoad-nni space``: the declared search space in NNI's JSON form."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from autoad_nni.cli.usage import say

__all__ = ["space"]


def space(
    name: Annotated[str, typer.Argument(help="Registered search space.")] = "autoencoder",
    layers: Annotated[int, typer.Option(min=1, max=12, help="Layers of the encoder, N; of a space that has them.")] = 3,
    random: Annotated[bool, typer.Option("--random", help="Print one random sample instead.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of --random.")] = 0,
) -> None:
    """Prints the declared search space for an experiment file, as JSON (which is YAML).

    Other installed hypotheses and distances can be added to the file; 'autoad-nni plugins list' names them.
    """
    import numpy as np

    from autoad_nni.searches.spaces import declare_whole, to_search_space

    search_space = to_search_space(declare_whole(name, layers))
    if random:
        generator = np.random.default_rng(seed)
        sample = {
            label: entry["_value"][generator.integers(len(entry["_value"]))] for label, entry in search_space.items()
        }
        say(json.dumps(sample, indent=2))
        return
    lines = [f"  {json.dumps(label)}: {json.dumps(entry)}" for label, entry in search_space.items()]
    say("{\n" + ",\n".join(lines) + "\n}")
