"""What docs/python.md shows is run as it stands."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).parents[1] / "docs/python.md"


def _code(page: str) -> str:
    """The page with every line outside a ``pycon`` block left empty, so that line numbers stay."""
    lines, inside = [], False
    for line in page.splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        inside = line == "```pycon" if fence else inside
    return "\n".join(lines)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with ``screws``, 30 noisy images, 6 with a white scratch, and ``sample.json``."""
    generator = np.random.default_rng(0)
    for kind, count in (("good", 30), ("scratch", 6)):
        (tmp_path / "screws" / kind).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 100, (32, 32), np.uint8)
            if kind == "scratch":
                pixels[4:28, 10 + i : 13 + i] = 255
            Image.fromarray(pixels).save(tmp_path / "screws" / kind / f"{i}.png")
    layer = {"channels": 8, "kernel": 3, "pooling": "max", "pooling_kernel": 1, "normalization": "none"}
    sample = {"hypothesis": "reconstruction", "distance": "l2", **{f"layer1_{key}": layer[key] for key in layer}}
    (tmp_path / "sample.json").write_text(json.dumps({**sample, "layer1_activation": "tanh"}))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_every_example_gives_what_is_printed(folder: None, capsys: pytest.CaptureFixture[str]) -> None:
    examples = doctest.DocTestParser().get_doctest(_code(PAGE.read_text(encoding="utf-8")), {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 20
    failed, _ = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(examples)
    assert not failed, capsys.readouterr().out


def test_the_example_of_the_readme_runs(folder: None) -> None:
    text = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    assert "trials=30" in code
    X = np.random.default_rng(0).integers(0, 255, (30, 16, 16), dtype=np.uint8)
    values = {"images": np.zeros((5, 3, 40, 40), np.uint8), "X": X, "y": np.arange(30) % 5 == 0}
    shorter = {"trials=30": "trials=3, epochs=1", "minutes=10": "trials=1, image_size=16"}
    for long, short in shorter.items():
        assert long in code
        code = code.replace(long, short)
    exec(code, values)
    assert values["defective"].shape == (5,) and values["detector"].labels_.shape == (30,)
    assert values["score"].shape == (5,) and values["anomaly_map"].shape == (5, 32, 32)
