from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.strategies.figures import draw
from benchmarks.strategies.report import best_so_far, curves_of, markdown, per_window, top_so_far, trials_to_reach
from benchmarks.strategies.runs import Run
from benchmarks.strategies.stats import estimate, rank_correlation

NAN = float("nan")


def run(name: str, seed: int, *rewards: float, trials: int | None = None, seconds: float = 0.002) -> Run:
    return Run(name, name, {}, "small", "", seed, trials or len(rewards), rewards, seconds)


def test_curves_are_in_the_order_of_seeds_and_end_where_the_strategy_did() -> None:
    curves = curves_of([run("tpe", 1, 0.3, 0.1, trials=3), run("tpe", 0, 0.1, 0.2, 0.3)])
    np.testing.assert_array_equal(curves, [[0.1, 0.2, 0.3], [0.3, 0.1, NAN]])
    np.testing.assert_array_equal(best_so_far(curves), [[0.1, 0.2, 0.3], [0.3, 0.3, 0.3]])


def test_the_mean_of_the_best() -> None:
    curves = np.array([[0.1, 0.9, 0.5, NAN], [0.4, 0.4, 0.4, 0.4]])
    np.testing.assert_allclose(top_so_far(curves, 2), [[0.1, 0.5, 0.7, 0.7], [0.4, 0.4, 0.4, 0.4]])


def test_windows_leave_out_what_is_not_there() -> None:
    mean, deviation = per_window(np.array([[0.2, 0.4, 0.6, NAN, NAN, NAN, 0.1]]), 2)
    np.testing.assert_allclose(mean, [[0.3, 0.6, NAN]])
    np.testing.assert_allclose(deviation, [[0.1, 0.0, NAN]], atol=1e-12)


def test_trials_to_reach_a_target() -> None:
    curves = np.array([[0.1, 0.5, 0.5, 0.9], [0.1, 0.1, 0.7, 0.7]])
    assert trials_to_reach(curves, 0.1) == 1
    assert trials_to_reach(curves, 0.6) == 3
    assert trials_to_reach(curves, 0.8) == 4
    assert trials_to_reach(curves, 0.81) is None


def test_the_interval_is_students() -> None:
    mean, margin = estimate([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert margin == pytest.approx(3.18245 * 1.29099 / 2, rel=1e-4)  # t of 3 degrees, deviation, root of 4
    assert math.isnan(estimate([1.0]).margin)


def test_ties_share_their_rank() -> None:
    assert rank_correlation([1, 2, 3, 4], [5, 6, 6, 7]) == pytest.approx(3 / math.sqrt(10))


def tables(text: str) -> dict[tuple[str, str], list[str]]:
    """Cells of a report by the heading of their table and the name in their row."""
    cells, heading = {}, ""
    for before, line in pairwise(text.splitlines()):
        first, *rest = line.strip("| ").split(" | ")
        heading = heading if before.startswith("|") else first
        cells[heading, first] = rest
    return cells


def test_the_tables_of_hand_made_runs() -> None:
    runs = [
        *(run("mine", seed, 0.5, 0.8 + seed / 100, 0.7) for seed in range(2)),
        *(run("random", seed, 0.4, 0.4, 0.6, seconds=0.0) for seed in range(2)),
        *(run("tpe", seed, 0.1, 0.7, 0.2) for seed in range(2)),
    ]
    text = markdown(runs, {"small": "exact: 3 models"}, ["rl: not installed (gym), left out."])
    assert text.startswith("## small\n\nexact: 3 models.\n\n| strategy | best at 3 | top 5 at 3 | trials to random's")
    cells = tables(text)
    # 12.7062 is t of one degree of freedom; the deviation over the root of two seeds is 0.005.
    assert cells["strategy", "mine"] == ["0.8050 ± 0.0635", "0.6683 ± 0.0212", "2 (0.67)", "2.0"]
    assert cells["strategy", "random"][2:] == ["3 (1.00)", "0.0"]
    assert cells["worst seeds", "mine"] == ["0.8000, 0.8000"]
    assert cells["paired difference", "mine"] == ["+0.2050 ± 0.0635", "+0.1050 ± 0.0635 (tpe)"]
    assert cells["paired difference", "random"] == ["-", "-0.1000 ± 0.0000 (tpe)"]
    assert cells["paired difference", "tpe"][1] == "+0.1000 ± 0.0000 (random)"
    assert "Means over 2 seed(s)" in text and text.endswith("rl: not installed (gym), left out.\n")


def test_the_worst_seeds_and_the_differences_are_those_of_each_checkpoint() -> None:
    ends = np.linspace(0.50, 0.69, 20)  # of 20 seeds, two are the lowest tenth
    runs = [run("mine", seed, *[0.1] * 29, end) for seed, end in enumerate(ends)]
    runs += [run("random", seed, *[0.2] * 30) for seed in range(20)]
    cells = tables(markdown(runs, {"small": "exact"}))
    assert cells["worst seeds", "mine"] == ["0.1000, 0.1000", "0.5100, 0.5000"]
    early, _, late, _ = cells["paired difference", "mine"]
    assert early == "-0.1000 ± 0.0000" and late.startswith("+0.3950 ± ")


def test_without_random_or_peers_there_is_nothing_to_compare_with() -> None:
    cells = tables(markdown([run("mine", 0, 0.5)], {"small": "exact"}))
    assert cells["strategy", "mine"] == ["0.5000", "0.5000", "-", "2.0"]
    assert cells["paired difference", "mine"] == ["-", "-"]


@pytest.mark.slow
def test_figures_are_files_and_repeat_themselves(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    curves = {"random": generator.random((3, 45)), "mine": generator.random((3, 45))}
    curves["mine"][1:, 30:] = NAN
    files = draw(curves, "small", tmp_path)
    assert sorted(file.name for file in files) == [
        "best-small.png",
        "best-small.svg",
        "progress-small.png",
        "progress-small.svg",
    ]
    first = [file.read_bytes() for file in files]
    assert first[0].startswith(b"\x89PNG") and b"<svg" in first[1]
    assert [file.read_bytes() for file in draw(curves, "small", tmp_path)] == first
