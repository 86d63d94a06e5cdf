"""Competitors beside a search: trained on its images, a line each, none of them able to end it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from cli.run_command import command
from cli.small_experiment import TRIAL, content, write
from mini_mvtec import write_mini_mvtec
from torch import Tensor

import autoad_nni as ad
from autoad_nni.competitors import Competitor, load_competitor
from autoad_nni.data import Task, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.models.scoring import Prediction
from autoad_nni.models.surroundings import torch_threads
from autoad_nni.registry import COMPETITORS, Registry
from autoad_nni.runs.competing import check_images, read_competitors
from autoad_nni.trial.evaluate import figures_of
from autoad_nni.trial.request import TrialRequest

OPTIONS: dict[str, Any] = {"data": "digits", "abnormal": "photos", "limit": 200, "epochs": 1, "threads": 1}


class Broken(Competitor):
    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def fit(self, task: Task) -> Self:
        raise RuntimeError("no\nluck")

    def predict(self, images: Tensor) -> Prediction:
        raise AssertionError


class Leaving(Broken):
    def fit(self, task: Task) -> Self:
        sys.exit(3)


class Constant(Broken):
    def fit(self, task: Task) -> Self:
        return self

    def predict(self, images: Tensor) -> Prediction:
        return Prediction(images.new_ones(len(images)), images.new_zeros(len(images), 1, *images.shape[2:]))


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "competitors.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("competing")
    return write(folder / "x.yml", maxTrialNumber=2, trialCommand=f"{TRIAL} --members 1 --competitors msp,odin")


@pytest.fixture(scope="module")
def printed(file: Path) -> str:
    ended = command("search", file, "--output", file.parent / "run")
    assert ended.code == 0
    return ended.out


def test_a_competitor_has_the_figures_that_it_has_alone(file: Path, printed: str) -> None:
    run = file.parent / "run"
    task = load_task(TrialRequest.from_options(**OPTIONS).task)
    with torch_threads(1):
        alone = load_competitor("msp", seed=0).fit(task)
        validation, test = (figures_of(alone.predict(held.images), held) for held in (task.validation, task.test))
    lines = lines_of(run)
    assert [line["name"] for line in lines] == ["msp", "odin"]
    assert (lines[0]["validation"], lines[0]["test"]) == (validation, test)
    assert lines[0]["processor_seconds"] > 0
    assert ad.Run(run).competitors == lines
    shown = f"competitor msp: auroc {validation['auroc']:.4f} on validation, {test['auroc']:.4f} on test ("
    assert shown in printed and "training the competitor odin" in printed
    page = (run / "report.html").read_text()
    assert "Competitors beside it" in page and ">odin<" in page and f"{test['auroc']:.3f}" in page


def test_those_that_are_there_are_not_trained_again(file: Path, printed: str) -> None:
    run = file.parent / "run"
    path, before = run / "competitors.jsonl", lines_of(run)
    content, best = path.read_text(), (run / "best.json").read_text()
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 0 and "training the competitor" not in ended.out and "competitor odin: auroc" in ended.out
    assert path.read_text() == content
    path.write_text(content.splitlines()[1] + "\n" + content.splitlines()[0][:20])  # a kill left half a line
    ended = command("search", file, "--output", run, "--resume")
    assert "training the competitor msp" in ended.out and "training the competitor odin" not in ended.out
    again = {line["name"]: line["test"] for line in lines_of(run)}
    assert again == {line["name"]: line["test"] for line in before}
    assert (run / "best.json").read_text() == best


def test_a_search_that_has_ended_gets_further_ones(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", maxTrialNumber=1)
    assert command("search", file, "--output", tmp_path / "run").code == 0
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    ended = command("search", file, "--output", tmp_path / "run", "--resume", "--competitors", "msp")
    assert ended.code == 0 and "competitor msp: auroc" in ended.out
    assert [line["name"] for line in lines_of(tmp_path / "run")] == ["msp"]
    again = json.loads((tmp_path / "run" / "best.json").read_text())
    assert again["request"].pop("competitors") == ["msp"] and again == best


def test_one_that_fails_is_a_line_and_the_search_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"broken": "Broken", "leaving": "Leaving", "constant": "Constant"}
    entries = [EntryPoint(name, f"{__name__}:{kind}", COMPETITORS.group) for name, kind in kinds.items()]
    registry = Registry(COMPETITORS.group, entry_points=lambda: entries)
    for module in ("autoad_nni.runs.competing", "autoad_nni.competitors.base"):
        monkeypatch.setattr(f"{module}.COMPETITORS", registry)
    file = write(tmp_path / "x.yml", maxTrialNumber=1)
    ended = command("search", file, "--output", tmp_path / "run", "--competitors", "broken,leaving,constant")
    assert ended.code == 0 and "competitor broken: failed: RuntimeError: no luck\n" in ended.out
    failed = {line["name"]: line["failed"] for line in lines_of(tmp_path / "run")}
    assert failed["broken"] == "RuntimeError: no luck" and failed["leaving"] == "SystemExit: 3"
    assert failed["constant"].startswith("RejectedTrial: ") and "score 1" in failed["constant"]
    assert "RuntimeError: no luck" in (tmp_path / "run" / "report.html").read_text()


def test_one_that_failed_is_tried_again(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", maxTrialNumber=1)
    run = tmp_path / "run"
    assert command("search", file, "--output", run, "--competitors", "msp").code == 0
    before = lines_of(run)
    (run / "competitors.jsonl").write_text(
        json.dumps({"name": "msp", "processor_seconds": 0.1, "failed": "no luck"}) + "\n"
    )
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 0 and "competitor msp: failed: no luck" in ended.out, "none is asked for"
    assert command("search", file, "--output", run, "--resume", "--competitors", "msp").code == 0
    assert [line["test"] for line in lines_of(run)] == [line["test"] for line in before]


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"name": "msp"},
        {"name": ["msp"], "processor_seconds": 1.0, "failed": "no"},
        {"name": "msp", "processor_seconds": 1.0, "failed": 3},
        {"name": "msp", "processor_seconds": 1.0, "validation": {"auroc": 0.5}},
        {"name": "msp", "processor_seconds": 1.0, "validation": {"auroc": 0.5}, "test": {"auroc": "high"}},
    ],
)
def test_a_line_changed_by_hand(tmp_path: Path, line: dict[str, Any]) -> None:
    (tmp_path / "competitors.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(AutoADError, match=r"competitors\.jsonl.*line 1 .*no competitor with its figures") as caught:
        read_competitors(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_name_that_there_is_not(tmp_path: Path, file: Path) -> None:
    ended = command("search", file, "--output", tmp_path / "run", "--competitors", "mps")
    assert ended.code == 2 and "--competitors names 'mps'. Expected some of anogan, feature_dictionary," in ended.err
    assert ended.err.count("\n") == 1 and not (tmp_path / "run").exists()


NO_CLASSES = "the normal images have no classes. Expected several, such as those of fashion_mnist, for "


def test_images_without_classes_are_refused_before_the_search(tmp_path: Path) -> None:
    write_mini_mvtec(tmp_path, side=32)
    run = tmp_path / "run"
    words = ["search", tmp_path / "bottle", "--output", run, "--trials", 1]
    ended = command(*words, "--competitors", "feature_dictionary,odin,msp")
    message = f"folder vs defects: {NO_CLASSES}--competitors odin,msp to tell apart. Leave these methods out."
    assert (ended.code, ended.out) == (2, "") and message in ended.err and ended.err.count("\n") == 1
    assert not run.exists()
    with pytest.raises(AutoADError, match=f"{NO_CLASSES}competitors=msp to tell apart"):
        ad.search(tmp_path / "bottle", output=run, trials=1, competitors=["msp"])
    assert not run.exists()


def test_a_resumed_search_and_launch_refuse_them_too(tmp_path: Path) -> None:
    trial = TRIAL.replace("digits", "photos").replace("--abnormal photos", "--abnormal uniform")
    file, run = write(tmp_path / "x.yml", maxTrialNumber=1, trialCommand=trial), tmp_path / "run"
    ad.search(content(maxTrialNumber=1, trialCommand=trial), output=run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = command("search", file, "--output", run, "--resume", "--trials", 2, "--competitors", "msp")
    assert ended.code == 2 and f"{NO_CLASSES}--competitors msp to tell apart" in ended.err
    assert ended.err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    ended = command("launch", write(tmp_path / "y.yml", trialCommand=f"{trial} --competitors odin"))
    assert (ended.code, ended.out) == (2, "") and f"{NO_CLASSES}--competitors odin to tell apart" in ended.err
    assert ended.err.count("\n") == 1


def test_images_of_one_class_are_refused_before_the_search() -> None:
    request = TrialRequest.from_options(**OPTIONS, competitors="msp")
    task = load_task(request.task)
    assert task.train_classes is not None
    check_images(request, task)
    with pytest.raises(AutoADError, match=r"all of one class.* for competitors=msp to tell apart"):
        check_images(request, replace(task, train_classes=torch.zeros_like(task.train_classes)))


def test_a_search_without_has_no_file(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", maxTrialNumber=1)
    ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 0 and "competitor" not in ended.out
    assert not (tmp_path / "run" / "competitors.jsonl").exists() and ad.Run(tmp_path / "run").competitors == []
    assert "Competitors" not in (tmp_path / "run" / "report.html").read_text()
