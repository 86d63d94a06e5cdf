from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoad_nni.searches.known import known_methods
from benchmarks.planted import lines, recording, searches
from benchmarks.planted.__main__ import main
from benchmarks.planted.choosing import Setting, choose, few, planted_reward, winner
from benchmarks.planted.models import Candidate
from benchmarks.planted.plants import PlantedSet
from benchmarks.planted.recorded import Planted, Recorded, beaten
from benchmarks.planted.report import figures_of
from benchmarks.planted.sets import ImageSet, TaskOfSet


def test_the_mean_of_what_anomalies_beat_is_auroc() -> None:
    from autoad_nni.metrics.image import auroc

    rng = np.random.default_rng(0)
    anomalies, good = rng.integers(0, 6, (3, 20)) + 1.0, rng.integers(0, 6, (3, 30)) * 1.0
    for row, (bad, fine) in enumerate(zip(anomalies, good, strict=True)):
        expected = auroc([0] * 30 + [1] * 20, np.concatenate([fine, bad]))
        assert beaten(anomalies, good).mean(-1)[row] == pytest.approx(expected, abs=1e-12)


def planted(kinds: list[str], beaten: list[float], size: float = 0.5) -> Planted:
    n = len(kinds)
    about = PlantedSet(np.zeros((n, 1, 1), np.uint8), np.array(kinds), np.full(n, 0.4), np.full(n, size), np.zeros(n))
    return Planted(np.array(beaten)[None, None], about)


def test_each_kind_counts_the_same() -> None:
    two = {"object": planted(["stain", "stain", "stain", "warp"], [1.0, 1.0, 1.0, 0.5])}
    assert planted_reward(two, Setting("object")) == pytest.approx(0.75)
    assert planted_reward(two, Setting("object", ("stain",))) == pytest.approx(1.0)
    assert planted_reward(two, Setting("object", (), "large")) is None
    assert planted_reward(two, Setting("object", (), "usual", "clear")) is None


def test_each_pass_counts_the_same() -> None:
    local = planted(["stain", "warp", "warp"], [1.0, 0.5, 0.5], size=1.5)
    two = {"object": local, "whole": planted(["inverted"], [0.25])}
    assert planted_reward(two, Setting("both")) == pytest.approx((0.75 + 0.25) / 2)
    assert planted_reward(two, Setting("both", (), "small")) is None, "size is of local defects only"
    assert planted_reward(two, Setting("both", ("stain", "inverted"), "large")) == pytest.approx((1 + 0.25) / 2)
    assert planted_reward(two, Setting("both", ("stain",))) is None


def test_a_reading_that_a_model_lacks_is_not_chosen_and_equals_share_the_pick() -> None:
    chosen = choose(
        np.array([[0.6, np.nan], [0.2, 0.9], [0.9, 0.1]]), np.array([[0.5, np.nan], [0.1, 0.7], [0.8, 0.2]])
    )
    assert chosen.reward.tolist() == [0.6, 0.9, 0.9]
    assert chosen.test.tolist() == [0.5, 0.7, 0.8]
    assert chosen.pick == pytest.approx(0.75)


def test_few_real_defects_and_planted_ones_share_by_their_number() -> None:
    # The real defects say model 0, the planted ones model 1, twice as firmly.
    real = np.stack([np.full((1, 4), 0.7), np.full((1, 4), 0.6)])
    test = np.array([[0.9], [0.5]])
    recorded = Recorded(TaskOfSet("toy", "toy", ("all",)), [], real, test, np.empty(0), 0, {})
    found = few(recorded, np.array([[0.5], [0.7]]), 3)
    assert found["real"] == pytest.approx(0.9) and found["planted"] == pytest.approx(0.5)
    assert found["mean of both"] == pytest.approx(0.5)
    assert few(recorded, np.array([[0.5], [0.55]]), 3)["mean of both"] == pytest.approx(0.9)


def test_the_winner_is_the_mean_of_models_in_one_unit() -> None:
    # Either model misses one of two anomalies; their mean finds both.
    rng = np.random.default_rng(0)
    good = rng.normal(0, 1, (2, 1, 50))
    bad = np.array([[[9.0, 0.0]], [[0.0, 9.0]]])
    units = np.concatenate([good, bad], 2)
    models = [{"name": "features 0"}, {"name": "patchcore"}]
    recorded = Recorded(TaskOfSet("toy", "toy", ("all",)), models, np.empty(0), np.full((2, 1), 0.75), units, 50, {})
    assert winner(recorded, choose(np.full((2, 1), 0.8), recorded.test)) > 0.95
    poor = choose(np.array([[0.9], [0.1]]), recorded.test)
    assert winner(recorded, poor) < 0.8 < winner(recorded, poor, planted=True), "planted defects say no, it is a member"


def line(name: str, real: tuple[float, float], chosen: tuple[float, float]) -> dict[str, object]:
    planted = {"both all usual any any": chosen}
    known = name == "patchcore"
    return {"task": "toy", "name": name, "known": known, "usual": real[1], "real": real, "planted": planted}


def test_regret_is_what_the_planted_pick_lacks_on_real_test() -> None:
    models = [
        line("patchcore", (0.8, 0.75), (0.6, 0.7)),
        line("features 0", (0.9, 0.85), (0.7, 0.8)),
        line("features 1", (0.7, 0.65), (0.9, 0.6)),
    ]
    figures = figures_of(models, "both all usual any any")
    assert figures is not None
    assert figures["regret"] == pytest.approx(0.85 - 0.6)
    assert figures["spearman"] == pytest.approx(-0.5)
    assert figures["chance"] == pytest.approx(0.7) and figures["known"] == pytest.approx(0.75)
    assert figures["best"] == pytest.approx(0.85)
    assert np.isnan(figures["padim"])


def test_a_recorded_set_gives_the_report_and_what_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.2, 0.8, 32)[:, None].expand(32, 32)

    def good(n: int) -> torch.Tensor:
        return ramp + 0.02 * torch.rand(n, 1, 32, 32, generator=generator)

    def bad(n: int) -> torch.Tensor:
        images = good(n)
        images[:, :, 8:16, 8:16] += 0.015
        return images

    held = {"validation": good(20), "test": good(20)}
    toy = ImageSet(good(30), held, good(4), {"spot": {"validation": bad(20), "test": bad(20)}})
    names = ("contrast_centroid", "mean_image", "pca", "nearest_neighbour")
    models = [Candidate(name, "features", known_methods("features")[name], 0) for name in names]
    monkeypatch.setattr(recording, "load_set", lambda name, folder: toy)
    monkeypatch.setattr(recording, "candidates", lambda of, pixels: models)
    monkeypatch.setattr(recording, "_extract", lambda images: None)
    monkeypatch.setattr(lines, "TASKS", (TaskOfSet("toy", "toy", ("spot",), ("warp",)),))
    words = ["record", "--folder", str(tmp_path), "--sets", "brick", "--models"]
    main([*words, "2"])
    first = (tmp_path / "brick/000.object.npz").stat().st_mtime_ns
    main([*words, "2", "4"])
    assert (tmp_path / "brick/000.object.npz").stat().st_mtime_ns == first
    (tmp_path / "brick").rename(tmp_path / "toy")
    main(["summarise", "--folder", str(tmp_path), "--lines", str(tmp_path / "lines")])
    main(["report", "--lines", str(tmp_path / "lines")])
    table = capsys.readouterr().out
    row = next(line for line in table.splitlines() if line.startswith("| toy | 4 |"))
    assert float(row.split("|")[4]) > 0.9
    assert "object cut_paste usual any any" in table and "object warp" not in table


def test_the_table_of_searches_has_means_over_seeds_and_regrets_over_sets() -> None:
    def pair(name: str, seed: int, real: float, planted: float) -> dict[str, object]:
        return {"set": name, "seed": seed, "real": real, "planted": planted, "patchcore": 0.5, "padim": 0.6}

    found = [pair("a", 0, 0.9, 0.8), pair("a", 1, 0.7, 0.6), pair("b", 0, 0.8, 0.9)]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in searches.summary(found).splitlines()]
    assert rows[2] == ["a", "2", "0.800", "0.700", "0.500", "0.600"]
    assert rows[4][0] == "regret" and rows[4][3].startswith("0.000 ±") and rows[4][4].startswith("0.300 ± 0.000")


def test_a_search_of_an_unknown_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        searches.main(["bricks"])
    assert "got bricks; expected some of solar cells" in capsys.readouterr().err
