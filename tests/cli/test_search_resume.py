"""Searches that go on: finished, killed, with other options, with files that are lost or damaged."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from run_command import command
from safetensors.torch import load_file, save_file
from small_experiment import HARDER, best_of, history, members, space, tuner, write

import autoad_nni as ad
from autoad_nni import __version__
from autoad_nni.engines import in_process
from autoad_nni.runs.folder import RunFolder
from autoad_nni.runs.one_trial import train_again
from autoad_nni.runs.start import RunStart
from autoad_nni.trial.record import TrialRecord

TRIALS = 8


def test_a_search_that_is_there_is_not_touched_without_resume(run: Path, file: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = command("search", file, "--output", run)
    assert ended.code == 2
    assert ended.err == (
        f"autoad-nni: --output {run} holds a search already. Expected a new folder. "
        "Add --resume to go on with that search, or give another --output.\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["--resume"], []])
def test_a_folder_in_which_a_search_runs_is_not_touched(run: Path, file: Path, words: list[str]) -> None:
    journal = run / "state" / "journal.jsonl"
    with journal.open("ab") as other:
        other.write(b'{"event": "sub')  # what the other search is writing
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    start = RunStart.read(run)
    assert start is not None
    with closing(RunFolder(run, start, resume=True)):
        ended = command("search", file, "--output", run, *words)
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert (f"another search runs in {run}." if words else "holds a search already") in ended.err
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert command("search", file, "--output", run, "--resume").code == 0


def test_resuming_a_finished_search_changes_nothing(run: Path, file: Path) -> None:
    before = {name: (run / name).read_bytes() for name in ("history.jsonl", "best.json", "best.safetensors")}
    assert command("search", file, "--output", run, "--resume").code == 0
    assert {name: (run / name).read_bytes() for name in before} == before


def test_the_test_set_is_read_once_in_the_life_of_a_search(
    run: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_again(*arguments: Any) -> Any:
        raise AssertionError("the test set is read again")

    before = best_of(run)
    monkeypatch.setattr("autoad_nni.runs.winner.evaluate_on_test", read_again)
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 0 and "on test (read before, not again): auroc" in ended.out
    assert best_of(run) == before


def test_more_trials_go_on_from_a_finished_search(finished: Path, file: Path, tmp_path: Path) -> None:
    """Also when the smaller budget ended within a batch of the strategy."""
    run = tmp_path / "run"
    assert command("search", file, "--output", run, "--trials", 4).code == 0
    assert history(run) == history(finished)[:4]
    assert best_of(run)["search"]["summary"]["trials"] == 4
    assert command("search", file, "--output", run, "--trials", TRIALS, "--resume").code == 0
    assert history(run) == history(finished)
    iterations = [(folder / "state" / "iterations.jsonl").read_text() for folder in (run, finished)]
    assert iterations[0] == iterations[1]
    assert best_of(run)["test"] == best_of(finished)["test"]
    assert (run / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()


def test_fewer_trials_than_there_are_forget_none(run: Path, finished: Path, file: Path) -> None:
    ended = command("search", file, "--output", run, "--trials", 1, "--resume")
    assert f"{TRIALS} trials ended before, --trials is 1: none is run\n" in ended.out
    assert ended.code == 0 and f"{TRIALS} trials: {TRIALS} ok" in ended.out
    assert "/1 " not in ended.out, "no trial is shown anew, and none as one of one"
    assert history(run) == history(finished) and best_of(run) == best_of(finished)


def test_resume_in_a_folder_that_is_not_there_begins(file: Path, tmp_path: Path) -> None:
    """So the same command can be repeated whatever happened to the first one."""
    ended = command("search", file, "--output", tmp_path / "run", "--resume", "--trials", 1)
    assert ended.code == 0 and f"no trial has ended in {tmp_path}/run yet: the search begins\n" in ended.out
    assert len(history(tmp_path / "run")) == 1
    ended = command("search", file, "--output", tmp_path / "run", "--resume", "--trials", 2)
    assert ended.code == 0 and "1 trial ended before, going on to 2\n" in ended.out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tuner": tuner(seed=1)}, "seed = 0, this search has 1"),
        ({"tuner": tuner(strategy="random")}, 'strategy = "autoad", this search has "random"'),
        ({"searchSpace": space(distance=["l2", "l1"])}, "search_space, distance = "),
        ({"trialCommand": HARDER.replace("--seed 1", "--seed 2")}, "began with --seed 1, now it is --seed 2"),
        ({"trialCommand": f"{HARDER} --members 1"}, "began with --members its default, now it is --members 1"),
    ],
)
def test_resuming_another_search_is_refused(run: Path, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = write(tmp_path / "other.yml", **{"trialCommand": HARDER, **change})
    ended = command("search", other, "--output", run, "--resume")
    assert ended.code == 2 and named in ended.err and ended.err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("plugin", ["distance l2", "data set photos"])
def test_a_search_goes_on_with_the_plugins_it_began_with(run: Path, file: Path, plugin: str) -> None:
    start = run / "started.json"
    ours = f'"{plugin}": "autoad-nni {__version__}"'
    start.write_text(start.read_text().replace(ours, f'"{plugin}": "third-party 0.9"', 1))
    noun, _, name = plugin.rpartition(" ")
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert f"The {noun} '{name}' is of autoad-nni" in ended.err and "Expected third-party 0.9" in ended.err


def test_a_kill_between_the_journal_and_the_rest_loses_nothing(run: Path, finished: Path, file: Path) -> None:
    """The journal knows of the last trial; history and winner do not yet."""
    lines = (run / "history.jsonl").read_bytes().splitlines(keepends=True)
    (run / "history.jsonl").write_bytes(b"".join(lines[:-1]))
    (run / "best.json").unlink()
    (run / "best.safetensors").unlink()
    assert command("search", file, "--output", run, "--resume").code == 0
    assert (run / "history.jsonl").read_bytes() == (finished / "history.jsonl").read_bytes(), "times included"
    measured_anew = {"ms": None}  # of the winner
    assert {**best_of(run), **measured_anew} == {**best_of(finished), **measured_anew}
    assert (run / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()
    assert [path.name for path in (run / "state").iterdir()] == [path.name for path in (finished / "state").iterdir()]


def test_a_kill_before_the_first_line_does_not_block_the_folder(file: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "state").mkdir(parents=True)
    assert command("search", file, "--output", tmp_path / "run", "--resume", "--trials", 1).code == 0


def test_a_journal_changed_by_hand_is_one_line(run: Path, file: Path) -> None:
    journal = run / "state" / "journal.jsonl"
    journal.write_text(journal.read_text().replace('{"event": "end"', '{"event": "bend"', 1))
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 2 and "line 3 is" in ended.err and ended.err.count("\n") == 1


def test_a_record_that_the_strategy_contradicts_is_kept_and_the_search_goes_on(run: Path, file: Path) -> None:
    journal = run / "state" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    flipped = {"l1": "l2", "l2": "l1"}[lines[1]["sample"]["distance"]]
    for line in lines:
        if line.get("id") == 0:
            line.get("record", line)["sample"]["distance"] = flipped
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = history(run)
    ended = command("search", file, "--output", run, "--resume", "--trials", len(before) + 2)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("now proposes another sample for trial 0 than it did") == 1
    assert history(run)[: len(before)] == before and len(history(run)) == len(before) + 2


def damage_file(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        content[-5] ^= 4
        path.write_bytes(content)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the numbers of the trials that are trained again."""
    numbers: list[int] = []

    def noting(record: TrialRecord, *arguments: Any) -> Any:
        numbers.append(record.number)
        return train_again(record, *arguments)

    monkeypatch.setattr(in_process, "train_again", noting)
    return numbers


def test_resuming_a_search_that_has_ended_reads_no_test_images_and_trains_nothing(
    run: Path, finished: Path, file: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("finish", "run_in_folder", "choose_winner"):
        monkeypatch.setattr(in_process, name, None)
    for path in (run / "state").glob("trial-*"):
        path.unlink()
    ended = command("search", file, "--output", run, "--resume")
    assert (ended.code, ended.err) == (0, "") and "read before, not again" in ended.out and trained == []
    for name in ("best.json", "best.safetensors", "history.jsonl"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "a flipped bit"])
def test_one_model_whose_weights_are_lost_is_trained_again(
    run: Path, finished: Path, file: Path, trained: list[int], damage: str
) -> None:
    member = members(run)[-1]
    damage_file(run / "state" / f"trial-{member:04d}.safetensors", damage)
    damage_file(run / "best.safetensors", damage)
    ended = command("search", file, "--output", run, "--resume")
    assert (ended.code, ended.err) == (0, "") and "read before, not again" in ended.out
    assert ended.out.count(f"the weights of trial {member} were lost or damaged: it was trained again, and sco") == 1
    assert "scores as before." in ended.out and trained == [member]
    for name in ("best.json", "best.safetensors", "history.jsonl"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()
    assert (
        Path(run, "state", f"trial-{member:04d}.safetensors").read_bytes()
        == (finished / "state" / f"trial-{member:04d}.safetensors").read_bytes()
    )


def test_lost_weights_stop_no_search_that_goes_on(run: Path, file: Path, trained: list[int]) -> None:
    for path in (run / "state").glob("trial-*"):
        damage_file(path, "a flipped bit")
    n_before = len(history(run))
    ended = command("search", file, "--output", run, "--resume", "--trials", n_before + 2)
    assert (ended.code, ended.err) == (0, "") and len(history(run)) == n_before + 2
    assert trained and len(trained) == len(set(trained)) and set(trained) <= set(range(n_before))
    assert best_of(run)["test"] is not None
    ad.load(run)


def test_lost_weights_that_cannot_be_made_anew_are_one_line(
    run: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in [*(run / "state").glob("trial-*"), run / "best.safetensors"]:
        path.unlink()

    def fails(*arguments: Any) -> Any:
        raise RuntimeError("boom,\nin two lines")

    monkeypatch.setattr(in_process, "train_again", fails)
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "cannot be trained again: RuntimeError: boom, in two lines. Expected" in ended.err


@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.99])
def test_a_flipped_bit_in_the_winner_is_refused(run: Path, place: float) -> None:
    weights = run / "best.safetensors"
    content = bytearray(weights.read_bytes())
    content[int(place * len(content))] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ad.AutoADError, match=r"^the weights .* cannot be read: it .*(checksum|damaged)"):
        ad.load(run)


@pytest.mark.parametrize("damage", ["gone", "cut", "without a member", "of another model"])
def test_weights_of_the_winner_that_are_damaged_are_named_and_put_together_again(
    run: Path, finished: Path, file: Path, damage: str
) -> None:
    weights = run / "best.safetensors"
    whole = load_file(weights)
    if damage == "gone":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "without a member":
        last = f"{members(run)[-1]}/"
        save_file({name: value for name, value in whole.items() if not name.startswith(last)}, weights)
    else:
        save_file({name: value.repeat(2) if value.ndim == 1 else value for name, value in whole.items()}, weights)
    with pytest.raises(ad.AutoADError) as caught:
        ad.load(run)
    assert str(caught.value).startswith(f"the weights {weights} cannot be read: ") and "\n" not in str(caught.value)
    assert command("search", file, "--output", run, "--resume").code == 0
    assert weights.read_bytes() == (finished / "best.safetensors").read_bytes() and best_of(run) == best_of(finished)
