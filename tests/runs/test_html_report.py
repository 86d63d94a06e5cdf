"""The page of a real search on a folder whose names are code, and of searches that have not come to their end."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import CHROMIUM, Chromium
from PIL import Image
from toys import Halving

import autoad_nni as ad
from autoad_nni.data import LabelledImages
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import auroc
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict, reconstruct
from autoad_nni.runs.drawing import pixels_of
from autoad_nni.runs.pictures import write_pictures
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.report import hardest
from autoad_nni.runs.report.hardest import tiles_in
from autoad_nni.runs.report.markup import element, table
from autoad_nni.runs.report.page import report_page, write_report
from autoad_nni.runs.report.progress import best_so_far
from autoad_nni.runs.report.run_data import ReportData
from autoad_nni.runs.scores import WinnerScores
from autoad_nni.storing import append_line
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

ATTACK = "<img src=x onerror='window.hit=1'>"
CODE = f"{ATTACK}<script>window.hit=2<&amp;"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, and noise with a faint spot: a search that makes mistakes."""
    folder, rng = tmp_path_factory.mktemp("images") / "noise", np.random.default_rng(0)
    for kind, count in (("good", 60), (CODE, 12)):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            pixels = rng.normal(128, 20, (32, 32))
            pixels[8:16, 10:20] += (i % 5) * 8 if kind == CODE else 0
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / kind / f"{CODE}{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / CODE
    ad.search(images, trials=12, output=output, seed=0, epochs=1, steps=5, image_size=32)
    return output


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def text_of(page: str) -> str:
    """What is read of a page: no tags, and white space of one kind."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", body)
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
        text = text.replace(entity, letter)
    return " ".join(text.split())


def page_of(folder: Path) -> str:
    return report_page(ReportData.read(folder))


@pytest.mark.slow
def test_the_end_of_a_search_leaves_its_scores(run: Path) -> None:
    best, scores = BestRecord.read(run), WinnerScores.read(run)
    assert scores is not None and scores.test is not None and best.test is not None and best.validation is not None
    assert scores.members == tuple(member.number for member in best.members)
    for images, figures in ((scores.validation, best.validation), (scores.test, best.test)):
        assert auroc(images.labels, images.scores) == pytest.approx(figures["auroc"], abs=1e-12)
    assert len(scores.validation.scores) == (best.n_validation or (0, 0))[1]
    assert any(CODE in name for name in scores.test.names)
    scores.write(run.parent)
    again = WinnerScores.read(run.parent)
    assert again is not None and again.test is not None and (again.test.scores == scores.test.scores).all()


def test_the_page_says_first_what_was_found(run: Path) -> None:
    text, best = text_of((run / "report.html").read_text()), BestRecord.read(run)
    reward = best.request.settings.reward
    assert best.test is not None and best.interval is not None and best.n_validation is not None
    assert best.known is not None and best.known.test is not None
    low, high = best.interval
    for said in (
        f"{best.reward:.3f} on validation and {best.test[reward]:.3f} on test.",
        f"95 % interval {low:.3f} to {high:.3f} {best.n_validation[0]} defects of {best.n_validation[1]} images",
        f"{best.known.trial.known} {best.known.trial.reward:.3f} on validation {best.known.test[reward]:.3f} on test",
    ):
        assert said in text, said
    order = ["The winner is", "Known methods beside it", "ROC curve", "Thresholds", "The hardest test images",
             "Best so far", "The ten best trials", "How trials ended", "Importance", "by choice", "What it costs",
             "How it was made"]  # fmt: skip
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    for record in ReportData.read(run).records:
        assert not record.known or f" {record.known} {record.reward:.3f} " in text or not record.ok


def test_thresholds_and_mistakes_are_counted_right(run: Path) -> None:
    data = ReportData.read(run)
    assert data.scores is not None and data.scores.test is not None and data.calibration is not None
    test, value = data.scores.test, data.calibration.default().value
    pairs = list(zip(test.labels, test.scores, strict=True))
    missed = sum(score <= value for label, score in pairs if label)
    alarms = sum(score > value for label, score in pairs if not label)
    n = sum(label for label, _ in pairs)
    text = text_of(page_of(run))
    assert missed > 1, "or no mistake is shown"
    assert f"{missed} of {n} defects are missed, and {alarms} of {len(pairs) - n} good images are false alarms." in text
    assert f"{missed} of {n} are missed" in text
    lowest = min(
        (score, name) for label, score, name in zip(test.labels, test.scores, test.names, strict=True) if label
    )
    first = text[text.index("Defects with the lowest scores") :]
    assert first.index(lowest[1]) < first.index("missed ")


def test_no_name_is_code_and_nothing_is_loaded(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "<script" not in page and ATTACK not in page and CODE in text_of(page)
    assert "default-src 'none'" in page and "unsafe" not in page
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r'src="data:[^"]*"', "", page))
    assert all(source.startswith("data:image/jpeg;base64,") for source in re.findall(r'src="([^"]*)', page))
    assert not re.search(r'\sstyle="', page), "the policy would drop it"
    assert page.count("<img ") == 2 * page.count('class="card"') > 0
    alts = re.findall(r'<img [^>]*alt="([^"]+)"', page)
    assert len(alts) == page.count("<img ")


def test_every_chart_is_there_as_text(run: Path) -> None:
    page = (run / "report.html").read_text()
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) >= 6
    for each in figures:
        chart = re.search(r'<svg [^>]*role="img" aria-label="([^"]+)"[^>]*><title>([^<]+)</title><desc>([^<]+)', each)
        assert chart and chart[2] in chart[1] and chart[3] in chart[1] and re.search(r"\d", chart[3]), each[:200]
        assert re.search(r"<details>.*<table.*<tbody><tr>", each, re.DOTALL)
    alone = [svg for svg in re.findall(r"<svg [^>]*>", page) if 'role="img"' not in svg]
    assert alone and all('aria-hidden="true"' in svg for svg in alone), "the others stand beside the figures they show"


def test_neither_images_nor_models_are_needed(copy: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "best.safetensors").unlink()
    shutil.rmtree(copy / "state")
    monkeypatch.setattr(ad.data, "load_task", None, raising=False)
    away = images.with_name("away")
    images.rename(away)
    try:
        path = write_report(copy, copy.parent / "page.html")
    finally:
        away.rename(images)
    assert path == copy.parent / "page.html" and "ROC curve" in path.read_text()


def test_the_pictures_of_a_page_are_bounded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = page_of(run)
    assert len(whole) < hardest.MOST_BYTES + 10**6
    assert "not all are shown" not in whole
    monkeypatch.setattr(hardest, "MOST_BYTES", 20_000)
    small = page_of(run)
    assert "not all are shown" in small and 0 < small.count("<img ") < whole.count("<img ")
    assert sum(map(len, re.findall(r'src="([^"]*)', small))) <= 20_000


@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 40, 224), (3, 224, 224)])
@pytest.mark.parametrize("reconstructs", [True, False])
def test_tiles_are_cut_out_of_pictures(tmp_path: Path, shape: tuple[int, int, int], reconstructs: bool) -> None:
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    held = LabelledImages(images, torch.tensor([0, 1], dtype=torch.uint8), None, ("a.png", "b.png"))
    scorer = Scorer(Detector(Halving(), ReconstructionHypothesis(), L1Distance()), ScoringSettings())
    assert reconstruct(scorer, images) is not None
    with pytest.MonkeyPatch.context() as patch:
        if not reconstructs:
            patch.setattr("autoad_nni.runs.pictures.reconstruct", lambda scorer, images: None)
        write_pictures(tmp_path / "pictures", scorer, held, predict(scorer, images))
    with Image.open(tmp_path / "pictures" / "b.png") as picture:
        tiles = tiles_in(picture, shape[1:])
        assert tiles_in(picture, (shape[1] + 300, shape[2])) == {}, "of another size"
    assert ("reconstruction" in tiles, len(tiles)) == (reconstructs, 3 + reconstructs)
    factor = tiles["image"].width // shape[2]
    assert (np.asarray(tiles["image"])[::factor, ::factor] == pixels_of(images[1])).all()
    if reconstructs:
        assert (np.asarray(tiles["reconstruction"])[::factor, ::factor] == pixels_of(images[1] / 2)).all()


def test_a_search_that_goes_on_has_no_test_figures(copy: Path) -> None:
    best = BestRecord.read(copy)
    replace(best, validation=None, interval=None, n_validation=None, test=None, known=None, calibration=None).write(
        copy
    )
    with (copy / "history.jsonl").open("ab") as file:
        file.write(b'{"number": 12, "sam')  # being written
    text = text_of(page_of(copy))
    assert "The winner so far is" in text and "The search has not ended" in text and "Best so far" in text
    assert "on test" not in text and "ROC curve" not in text and "hardest" not in text


def test_scores_of_another_winner_are_not_shown(copy: Path) -> None:
    content = json.loads((copy / "scores.json").read_text())
    (copy / "scores.json").write_text(json.dumps({**content, "members": [99]}))
    assert "ROC curve" not in page_of(copy)


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', '{"format": 7}', '{"format": 1, "members": []}'])
def test_scores_changed_by_hand_are_one_line(copy: Path, damage: str) -> None:
    (copy / "scores.json").write_text(damage)
    with pytest.raises(AutoADError, match=r"scores\.json cannot be read: .* Restore the file, or remove it\.$"):
        page_of(copy)


def failed(number: int, sample: dict[str, Any]) -> TrialRecord:
    return TrialRecord(number=number, sample=sample, verdict=Verdict.CRASHED, detail=f"Error: {CODE}")


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_search_without_a_good_trial(copy: Path, n: int) -> None:
    for name in ("best.json", "scores.json", "history.jsonl"):
        (copy / name).unlink()
    for number in range(n):
        append_line(copy / "history.jsonl", failed(number, {"distance": "l1"}).to_json())
    page = page_of(copy)
    said = f"None of {n} trials ended well" if n else "No trial has ended yet"
    assert f"{said}: there is no model." in text_of(page) and ATTACK not in page
    assert ("crashed" in page) == (n > 0)


def ended(number: int, reward: float, **more: Any) -> TrialRecord:
    return TrialRecord(
        number=number, sample={"distance": f"l{number % 2}"}, verdict=Verdict.OK, reward=reward, macs=10, **more
    )


@pytest.mark.parametrize(
    "records",
    [
        [ended(0, 0.5)],
        [ended(0, 0.5), ended(1, 0.5)],  # equal rewards, costs and choices
        [ended(0, 0.0), failed(1, {"other": 3}), ended(2, 1.0, seconds=3.0)],
        [ended(0, 1e-9, known="pca"), ended(1, 2e-9, seconds=1e9)],
        [ended(i, i / 4000, seconds=float(i + 1)) for i in range(4000)],
    ],
)
def test_few_equal_and_very_many_trials(copy: Path, records: list[TrialRecord]) -> None:
    data = ReportData.read(copy, records)
    page = report_page(data)
    assert f"{len(records)} trials" in page and len(page) < 2_000_000
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r'src="[^"]*"', "", page))


def test_random_search_is_called_so_only_where_it_is(copy: Path) -> None:
    page = text_of(page_of(copy))
    assert "the same trials in random order" in page and "That is not random search" in page
    best = BestRecord.read(copy)
    replace(best, search={**best.search, "strategy": "random"}).write(copy)
    page = text_of(page_of(copy))
    assert "random search, expected" in page and "not random search" not in page


@pytest.mark.parametrize("place", ["state", "checkpoint"])
def test_the_strategy_s_curves(copy: Path, place: str) -> None:
    (copy / "state" / "iterations.jsonl").unlink(missing_ok=True)
    (copy / place).mkdir(exist_ok=True)
    for i in range(1, 5):
        figures = {"iteration": float(i), "trials": 5.0 * i, "entropy": 8.0 / i, CODE: i, "failed": 0.0, "buffer": []}
        figures |= {
            "picks_cover": 5.0 if i == 1 else 0.0,
            "picks_filtered": 0.0 if i == 1 else 5.0,
            "picks_drawn": CODE,
        }
        if i > 1:  # undefined before
            figures["baseline"] = 0.1 * i
        append_line(copy / place / "iterations.jsonl", figures)
    page = page_of(copy)
    text = text_of(page)
    assert "in nats: 0 if it always draws one sample. From 8 to 2." in text and "From 0.2 to 0.4." in text
    assert f"{CODE} From 1 to 4." in text and ATTACK not in page
    assert "failed trials in the batch" not in text.lower(), "it never changes"
    assert re.search(r"kept by the filter\s+15\s+75 %", text) and re.search(r"lacked trials\s+5\s+25 %", text)


def test_a_folder_without_a_search_is_named(tmp_path: Path) -> None:
    with pytest.raises(AutoADError, match=rf"^{tmp_path} holds no search\."):
        write_report(tmp_path)


def test_markup_is_escaped_once() -> None:
    inner = element("b", "a & b")
    assert element("p", "<", inner, title='"><') == '<p title="&quot;&gt;&lt;">&lt;<b>a &amp; b</b></p>'
    assert '<th scope="row">&lt;i&gt;</th>' in table(["x"], [["<i>"]], caption="c")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_stands_out_from_its_background_in_both_schemes(run: Path) -> None:
    style = re.findall(r":root \{([^}]*--page[^}]*)\}", (run / "report.html").read_text())
    assert len(style) == 2
    for scheme in style:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", scheme))
        colours = {name: value if len(value) > 4 else "#" + "".join(2 * c for c in value[1:]) for name, value in
                   colours.items()}  # fmt: skip
        for text, background, least in [
            *((text, "page", 4.5) for text in ("text", "quiet", "one", "two", "wrong")),
            ("text", "raised", 4.5), ("quiet", "raised", 4.5), ("other", "page", 3.0),
        ]:  # fmt: skip
            light, dark = sorted((luminance(colours[text]), luminance(colours[background])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (text, background)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"
TEXTS = "[...document.querySelectorAll('svg.chart text')].map(each => each.getBoundingClientRect())"
IN_PAGE = {
    "hit": "window.hit === undefined",
    "width": "document.documentElement.scrollWidth - innerWidth",
    "opened": f"{OPEN_ALL}; document.documentElement.scrollWidth - innerWidth",
    "background": "getComputedStyle(document.body).backgroundColor",
    "smallest": f"Math.min(...{TEXTS}.map(each => each.height))",
    "broken": "[...document.images].filter(each => !each.naturalWidth).length",
    "outside": f"{TEXTS}.filter(each => each.right > innerWidth || each.left < 0).length",
}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(run: Path, browser: Chromium, width: int, dark: bool) -> None:
    opened = browser.open(run / "report.html", width=width, dark=dark, evaluate=IN_PAGE)
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [(run / "report.html").as_uri()]
    values = opened.values
    assert values["hit"] is True and values["broken"] == 0
    assert values["width"] <= 0 and values["opened"] <= 0, "the page scrolls sideways"
    assert values["background"] == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)"), "as the style is in force"
    assert values["smallest"] >= 10 and values["outside"] == 0


def test_the_browser_would_have_complained(tmp_path: Path, browser: Chromium) -> None:
    """That nothing is complained of says something only if something could be."""
    page = tmp_path / "page.html"
    page.write_text(f"<body style='width: 2000px'>{ATTACK}<script>console.error('x')</script>")
    opened = browser.open(page, width=390, dark=False, evaluate=IN_PAGE)
    assert opened.complaints and len(opened.requests) > 1
    assert opened.values["hit"] is False and opened.values["width"] > 0


def test_a_known_method_that_failed_is_in_the_table(copy: Path) -> None:
    data = ReportData.read(copy)
    late = TrialRecord(number=99, sample={}, verdict=Verdict.OVER_TIME, reward=0.0, known="patchcore")
    text = text_of(str(report_page(replace(data, records=[*data.records, late]))))
    assert re.search(r"patchcore over_time \S+ 99", text)


def test_a_stopped_trial_is_no_best_whatever_it_had_reached(copy: Path) -> None:
    data = ReportData.read(copy)
    stopped = TrialRecord(number=99, sample=data.records[0].sample, verdict=Verdict.STOPPED, reward=1.0)
    before, after = (
        text_of(str(best_so_far(replace(data, records=records))))
        for records in (data.records, [*data.records, stopped])
    )
    best = re.search(r"The best \S+, (0\.\d+), was reached after", before)
    assert best and f"{best[1]}, was reached after" in after
    assert "stopped 1 " in text_of(str(report_page(replace(data, records=[*data.records, stopped]))))
