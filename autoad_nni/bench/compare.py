"""One comparison from tables to figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoad_nni.bench.answers import Answers
from autoad_nni.bench.figures import draw, require_matplotlib
from autoad_nni.bench.report import curves_of, markdown
from autoad_nni.bench.runs import ResultsFile, Run
from autoad_nni.bench.specs import Spec, missing
from autoad_nni.errors import AutoADError

__all__ = ["compare"]


def compare(
    tables: Sequence[Answers],
    specs: Mapping[str, Spec],
    *,
    seeds: int,
    trials: int,
    output: Path,
    tell: Callable[[str], None],
) -> str:
    """Plays every strategy on every table and writes results, figures and ``report.md``.

    Args:
        tables: What the trials are answered from.
        specs: Strategies by name; one whose packages are not installed, and whose runs ``output`` does not have, is
            reported and left out.
        seeds: Searches per strategy and table, with seeds from 0.
        trials: Trials per search.
        output: Folder; runs that its ``results.jsonl`` has are not played again.
        tell: Is given a line whenever a strategy is through with a table.

    Returns:
        The content of ``report.md``.

    Raises:
        AutoADError: If no strategy can be played, or the folder or what is in it cannot be used.
    """
    require_matplotlib()
    try:
        output.mkdir(parents=True, exist_ok=True)
        results = ResultsFile(output / "results.jsonl")
    except OSError as error:
        reason = error.strerror or str(error)
        raise AutoADError(f"--output {output}: {reason}. Expected a folder to write to. Give another.") from None

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
        raise AutoADError(f"{' '.join(notes)} Expected a strategy that can be played. Install them, or choose another.")
    runs: list[Run] = []
    for answers in tables:
        group: dict[str, list[Run]] = {}
        for name, spec in playable.items():
            known = n_known(name, spec, answers)
            group[name] = results.play(name, spec, range(seeds), answers, trials)
            tell(f"{answers.name}: {name}: {seeds - known} played, {known} from {output / 'results.jsonl'}")
            runs += group[name]
        draw({name: curves_of(each) for name, each in group.items()}, answers.name, output)
    report = markdown(runs, {answers.name: answers.description for answers in tables}, notes)
    (output / "report.md").write_text(report, encoding="utf-8")
    return report
