"""Known methods on the command line: a search that begins with them, and one by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installed import install, seen
from named_space import KNOWN, NARROW, WIDE, install_named_space
from run_command import Ended, command
from small_experiment import SAMPLE, TRIAL, history, tuner, write
from torch import Tensor

import autoad_nni as ad
from autoad_nni.data import load_task
from autoad_nni.models.detector import Detector
from autoad_nni.searches.trial_options import parse_request

# Of this split neither a method nor the winner is perfect.
NAMED = TRIAL.replace("--limit 200", "--limit 400") + " --seed 1 --space named"
WORDS = NAMED.split()[2:]


@pytest.fixture(scope="module", autouse=True)
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with seen(install_named_space(tmp_path_factory.mktemp("site"))):
        yield


def searched(folder: Path, *words: object, known: bool = True, members: int = 5) -> tuple[Ended, Path]:
    file = write(
        folder / "x.yml",
        trialCommand=NAMED + ("" if members == 5 else f" --members {members}"),
        tuner=tuner(space="named", known=known),
        maxTrialNumber=4,
    )
    return command("search", file, "--output", folder / "run", *words), folder / "run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    return searched(tmp_path_factory.mktemp("known"))


def record_of(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    record: dict[str, Any] = json.loads(ended.out)
    del record["seconds"], record["ms"]
    return record


@pytest.mark.slow
def test_a_search_begins_with_them_and_shows_each_as_a_row(finished: tuple[Ended, Path]) -> None:
    ended, run = finished
    assert (ended.code, ended.err) == (0, "")
    lines = history(run)
    assert [(line["known"], line["sample"]) for line in lines[:2]] == [("wide", WIDE), ("narrow", NARROW)]
    assert len(lines) == 4 and [line["known"] for line in lines[2:]] == ["", ""]
    assert not any(line["sample"] in (WIDE, NARROW) for line in lines[2:])
    rows = [line.split() for line in ended.out.splitlines() if line.startswith("known ")]
    rewards = {line["known"]: line["reward"] for line in lines}
    assert rows == [["known", name, "1", "1", f"{rewards[name]:.4f}"] for name in ("narrow", "wide")]
    summary = json.loads((run / "best.json").read_text())["search"]["summary"]
    assert summary["choices"]["known"]["wide"] == {"trials": 1, "ok": 1, "best": rewards["wide"]}
    assert list(ad.Run(run).trials["known"]) == ["wide", "narrow", "", ""]


@pytest.mark.parametrize("members", [1, 5])
def test_the_best_of_them_is_shown_beside_the_winner(tmp_path: Path, members: int) -> None:
    """Both on validation and on test; of one model, it is the winner itself."""
    ended, run = searched(tmp_path, members=members)
    assert ended.code == 0, ended
    lines, best = history(run), json.loads((run / "best.json").read_text())
    known = best["known"]
    assert lines[1]["known"] == known["trial"]["known"] == "narrow" and lines[1]["reward"] > lines[0]["reward"]
    assert {key: value for key, value in known["trial"].items() if key not in ("seconds", "ms")} == lines[1]
    by_hand = record_of(command("trial", *WORDS, "--sample", "narrow", "--test"))
    assert by_hand["test"] == known["test"]
    assert (known["test"] == best["test"]) == (members == 1)
    assert (
        f"\nbest known method: narrow, auroc {lines[1]['reward']:.4f} on validation, "
        f"{by_hand['test']['auroc']:.4f} on test\n"
    ) in ended.out
    assert (f"best: trial 1 (narrow), auroc {lines[1]['reward']:.4f} on" in ended.out) == (members == 1)
    [first] = [line for line in ended.out.splitlines() if line.startswith("best: ")]
    assert "1 (narrow)" in first and (members == 1 or first.startswith("best: mean of trials "))


def test_the_test_set_is_read_for_the_winner_and_the_best_of_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each model, and not before the last trial has ended."""
    test = {image.numpy().tobytes() for image in load_task(parse_request(WORDS).task).test.images}
    passes, real = [], Detector.forward

    def noted(self: Detector, inputs: Tensor) -> Any:
        n_test = sum(image.numpy().tobytes() in test for image in inputs)
        if n_test:
            assert n_test == len(test) == len(inputs)
            passes.append(len(history(tmp_path / "run")))
        return real(self, inputs)

    monkeypatch.setattr(Detector, "forward", noted)
    assert searched(tmp_path)[0].code == 0
    members = json.loads((tmp_path / "run" / "best.json").read_text())["members"]
    assert len(members) > 1 and passes == [4] * (len(members) + 1)
    passes.clear()
    again = searched(tmp_path, "--resume")[0]
    assert passes == [] and "on test (read before, not again): auroc" in again.out
    assert searched(tmp_path, "--resume", "--trials", 5)[0].code == 0
    members_after = json.loads((tmp_path / "run" / "best.json").read_text())["members"]
    assert passes == ([] if members_after == members else [5] * (len(members_after) + 1))


def test_a_search_without_them_has_no_such_rows(tmp_path: Path) -> None:
    ended, run = searched(tmp_path, known=False)
    assert ended.code == 0 and "known" not in ended.out
    assert "known" not in json.loads((run / "best.json").read_text())["search"]["summary"]["choices"]


def test_more_trials_go_on_after_them(finished: tuple[Ended, Path], tmp_path: Path) -> None:
    """Also where the smaller number ended among them."""
    assert searched(tmp_path, "--trials", 1)[0].code == 0
    assert [line["known"] for line in history(tmp_path / "run")] == ["wide"]
    assert searched(tmp_path, "--resume")[0].code == 0
    assert history(tmp_path / "run") == history(finished[1])


def test_one_runs_by_its_name(finished: tuple[Ended, Path]) -> None:
    record = record_of(command("trial", *WORDS, "--sample", "wide"))
    assert record == {key: value for key, value in history(finished[1])[0].items() if key != "number"}
    assert record["known"] == "wide"
    assert record_of(command("trial", "--run", finished[1], "--number", 0)) == record


def test_a_file_of_that_name_is_what_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wide").write_text(json.dumps(SAMPLE))
    record = record_of(command("trial", *WORDS, "--sample", "wide"))
    assert (record["sample"], record["known"]) == (SAMPLE, "")


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        (
            "named",
            "wdie",
            "There is no sample file wdie and no known method of that name. Expected JSON: label to value, or a known "
            f"method of the search space 'named': {', '.join(KNOWN)}. Check the path.",
        ),
        (
            "autoencoder",
            "wdie",
            "There is no sample file wdie. Expected JSON: label to value. Check the path.",
        ),
        (
            "autoencoder",
            "wide",
            "wide is a known method of the search space 'named', not of 'autoencoder'. Expected a method of "
            "'autoencoder', or a file with a sample. Add --space named.",
        ),
        (
            "autoencoder",
            "padim",
            "padim is a known method of the search space 'features', not of 'autoencoder'. Expected a method of "
            "'autoencoder', or a file with a sample. Add --space features.",
        ),
        ("named", "x" * 5000, f"There is no sample file {'x' * 5000} and no known method of that name."),
        ("naemd", "wide", "Unknown search space 'naemd'."),
    ],
)
def test_an_unknown_name_is_one_line_that_lists_the_known_ones(space: str, name: str, message: str) -> None:
    ended = command("trial", *TRIAL.split()[2:], "--space", space, "--sample", name)
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1
    assert ended.err.startswith(f"autoad-nni: {message}")


def test_plugins_show_lists_them() -> None:
    assert f"  known:        {', '.join(KNOWN)}\n" in command("plugins", "show", "named").out
    assert "known:" not in command("plugins", "show", "autoencoder").out


def test_plugins_show_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    entry_points = "[autoad_nni.search_spaces]\nodd = odd_space:OddSpace\n"
    with seen(install(tmp_path, "odd-space", "1.0", entry_points, odd_space="class OddSpace:\n    known = 3\n")):
        ended = command("plugins", "show", "odd")
    assert ended.code == 0 and "  problem:      The search space 'odd' of odd-space has known = 3." in ended.out
