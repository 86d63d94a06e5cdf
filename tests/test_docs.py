"""What the pages say exists: links, files, commands, options, and the tables that list what is in the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from autoad_nni.cli import _make_app
from autoad_nni.registry import STRATEGIES

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/RESULTS.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
FILES = [*PAGES, *sorted((ROOT / "experiments").glob("*.yml"))]
NO_DEFAULT = ("needed", "none", "off", "all", "all cores", "no limit", "as they are", "side / 56")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"(?<![\w./-])[\w-]+(?:/[\w.-]+)+\.(?:py|ya?ml|md|js|toml|png|jpg|gz)\b")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def rows(name: str, heading: str, *, table: int = 0) -> list[list[str]]:
    """The cells of a table below a heading, without its head."""
    section = re.split(r"^#+ ", text_of(name).split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)[table].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_in(path: Path) -> Iterator[str]:
    """Command lines and pieces of code: of a page what is marked as code, of another file every line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        yield from (line.lstrip("# ") for line in text.splitlines())
        return
    for _, language, code in FENCE.findall(text):
        yield from code.replace("\\\n", " ").splitlines() if language in ("", "yaml") else ()
    yield from (code.replace("\n", " ") for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", FENCE.sub("", text)))


def options_of_benchmarks() -> set[str]:
    from benchmarks.strategies.__main__ import app

    compared: Any = typer.main.get_command(app)
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").rglob("*.py"))
    return {*re.findall(r'"(--[a-z-]+)"', scripts), *(option for each in compared.params for option in each.opts)}


@pytest.fixture(scope="module")
def commands() -> dict[tuple[str, ...], set[str]]:
    """The options of every command, by its words: ``("data", "check")``."""

    def options(command: Any, *words: str) -> dict[tuple[str, ...], set[str]]:
        below = getattr(command, "commands", {})
        if not below:
            return {words: {"--help", *(option for parameter in command.params for option in parameter.opts)}}
        return {name: found for each in below for name, found in options(below[each], *words, each).items()}

    return options(typer.main.get_command(_make_app(["trial"])))


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 100


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_files_of_the_repository_that_are_named_are_there(page: Path) -> None:
    places = (ROOT, ROOT / "autoad_nni", page.parent)
    tops = {path.name for place in places[:2] for path in place.iterdir() if path.is_dir()}
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    modules = {path.name for top in tops for path in (ROOT / top).rglob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", text)) <= modules
    for path in PATH.findall(text):
        named = "NAME" in path or path.startswith("autoad_nni_mine/")
        if path.partition("/")[0] in tops and not named:
            assert any((place / path).exists() for place in places), path


@pytest.mark.parametrize("file", FILES, ids=shown)
def test_commands_and_their_options_exist(file: Path, commands: dict[tuple[str, ...], set[str]]) -> None:
    for code in code_in(file):
        for call in re.findall(r"autoad-nni ((?:[^;#|\n]|#(?! ))*)", code):
            words = tuple(shlex.split(re.split(r"  +| or ", call)[0].replace("'", "")))
            command = next((words[:n] for n in (1, 2) if words[:n] in commands), None)
            if command is None:  # a group, alone, or an option of the program itself
                assert words in {name[:1] for name in commands} or words[0].startswith("--"), code
                continue
            given = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert given <= commands[command], code
        if code.startswith("--"):
            assert code.split()[0].partition("=")[0] in set().union(*commands.values(), options_of_benchmarks()), code


def test_every_option_of_a_trial_is_in_the_table_with_its_default() -> None:
    from autoad_nni.trial.request import OPTIONS

    listed = {name: row[1] for row in rows("docs/experiment-files.md", "Options of a trial") for name in names(row[0])}
    assert set(listed) == {"--" + name.replace("_", "-") for name in OPTIONS}
    for option in OPTIONS.values():
        cell = listed["--" + option.name.replace("_", "-")].strip("`")
        if isinstance(option.default, str | int) and option.default is not False:
            assert cell == str(option.default), option.name
        else:
            assert cell in NO_DEFAULT, option.name


def test_every_strategy_and_setting_is_in_the_tables() -> None:
    from autoad_nni_strategies.settings import PRESETS

    page = "docs/strategies.md"
    assert {names(row[0])[0] for row in rows(page, "Search strategies")} == set(STRATEGIES.names())
    settings = {names(row[0])[0]: row[1:4] for row in rows(page, "Arguments of autoad")}
    presets = [vars(PRESETS[preset]) for preset in ("default", "process", "paper")]
    assert settings == {
        name: [str(values[name]).lower() for values in presets] for name in presets[0] if name != "seed"
    }


def test_every_metric_verdict_and_field_is_in_the_tables() -> None:
    from autoad_nni.runs.records import BestRecord
    from autoad_nni.trial.evaluate import REWARDS
    from autoad_nni.trial.record import TrialRecord
    from autoad_nni.verdicts import Verdict

    page = "docs/results.md"
    metrics = [names(row[0])[0] for table in (0, 1) for row in rows(page, "Metrics", table=table)]
    assert metrics == sorted(REWARDS, key=metrics.index) and len(metrics) == len(REWARDS)
    assert {names(row[0])[0] for row in rows(page, "Verdicts")} == {verdict.value for verdict in Verdict}
    assert [names(row[0])[0] for row in rows(page, "history.jsonl")] == [field.name for field in fields(TrialRecord)]
    best = {names(row[0])[0] for row in rows(page, "best.json")}
    assert best == {"format", "thresholds", *(field.name for field in fields(BestRecord))}


def test_the_layouts_are_those_of_the_code() -> None:
    from autoad_nni.data import layout

    section = text_of("docs/from-folder-to-decision.md").split("## 1. ")[1]
    shown_layouts = [code for _, language, code in FENCE.findall(section)][:2]
    assert all("good/ " in code for code in shown_layouts)
    for code in shown_layouts:
        for line in code.splitlines():
            assert f"    {line}\n" in (layout.__doc__ or ""), line


def test_what_a_folder_s_search_chooses_is_in_the_table() -> None:
    from autoad_nni.searches import folder_experiment as code
    from autoad_nni.trial.request import OPTIONS

    page = "docs/from-folder-to-decision.md"
    chosen = {row[0]: row[1] for row in rows(page, "2. Search")}
    assert names(chosen["search space"]) == [code._SPACE, "features", *code._WITHOUT_NETWORK]
    sides = f"at least {code._LEAST_SIDE} and at most {code._MOST_SIDE} pixels"
    assert sides in chosen["image size"]
    assert chosen["training"] == f"at least {code._BY_SPACE['features']['steps']} steps"
    assert chosen["limits of a trial"] == f"{code._MAX_SECONDS} seconds; with `--minutes` a tenth of them"
    assert code._SHARE == 10
    images = f"at most {code._IMAGES_PER_MINUTE} a minute ({code._LEAST_IMAGES} or more)"
    assert images in chosen["good images"]
    assert chosen["winner"] == f"the mean of at most {OPTIONS['members'].default} of the best models"
    assert f"with neither, {code._TRIALS} models" in " ".join(text_of(page).split())
    table = rows("docs/limits.md", "Limits: time, memory, cores, disk")
    limits = {names(row[0])[0].split()[0]: row[2] for row in table}
    assert limits["--max-seconds"] == f"{code._MAX_SECONDS}; with `--minutes` a tenth"


def test_every_room_is_in_the_table_of_contributing() -> None:
    listed = {name.rstrip("/") for row in rows("CONTRIBUTING.md", "Rooms") for name in names(row[0])}
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "autoad_nni").glob("*/__init__.py")}
    assert rooms <= listed
