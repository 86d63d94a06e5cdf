"""A comparison, from the recorded tables to report and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoad_nni.errors import AutoADError
from benchmarks.strategies.answers import Answers
from benchmarks.strategies.figures import draw, require_matplotlib
from benchmarks.strategies.report import curves_of, markdown
from benchmarks.strategies.runs import ResultsFile, Run
from benchmarks.strategies.specs import Spec, missing

__all__ = ["compare"]


def compare(
    tables: Sequence[Answers],
    specs: Mapping[str, Spec],
    *,
    seeds: int,
    trials: int,
    output: Path,
    echo: Callable[[str], None],
) -> str:
    """Run every strategy on every table, and write results, figures and ``report.md``.

    Args:
        tables: Rewards of the trials.
        specs: Strategies by name; one whose packages are not installed, and whose searches ``output`` does not have, is
            reported and left out.
        seeds: Searches per strategy and table, with seeds from 0.
        trials: Trials per search.
        output: Folder; searches that its ``results.jsonl`` has are not repeated.
        echo: Called with a line of progress whenever a strategy has finished a table.

    Returns:
        The content of ``report.md``.

    Raises:
        AutoADError: If no strategy can be run, or ``output`` cannot be used.
    """
    require_matplotlib()
    try:
        output.mkdir(parents=True, exist_ok=True)
        results = ResultsFile(output / "results.jsonl")
    except OSError as error:
        reason = error.strerror or str(error)
        raise AutoADError(f"[[output={output}]]: {reason}. Expected a folder to write to. Give another.") from None

    def n_known(name: str, spec: Spec, answers: Answers) -> int:
        return sum(results.get(name, spec, seed, answers, trials) is not None for seed in range(seeds))

    absent = {
        name: obstacle
        for name, spec in specs.items()
        if (obstacle := missing(spec)) is not None and any(n_known(name, spec, answers) < seeds for answers in tables)
    }
    notes = [f"{name}: not installed ({obstacle}), left out." for name, obstacle in absent.items()]
    playable = {name: spec for name, spec in specs.items() if name not in absent}
    if not playable:
        raise AutoADError(f"{' '.join(notes)} Expected a strategy that can be run. Install it, or choose another.")
    runs: list[Run] = []
    for answers in tables:
        group: dict[str, list[Run]] = {}
        for name, spec in playable.items():
            known = n_known(name, spec, answers)
            group[name] = results.play(name, spec, range(seeds), answers, trials)
            echo(f"{answers.name}: {name}: {seeds - known} run, {known} from {output / 'results.jsonl'}")
            runs += group[name]
        draw({name: curves_of(each) for name, each in group.items()}, answers.name, output)
    report = markdown(runs, {answers.name: answers.description for answers in tables}, notes)
    (output / "report.md").write_text(report, encoding="utf-8")
    return report
