"""One search: a strategy, its space and its journal, whichever engine runs the trials."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nni.nas.execution import ExecutionEngine

from autoad_nni import __version__
from autoad_nni.errors import AutoADError
from autoad_nni.registry import STRATEGIES
from autoad_nni.search.journal import Journal
from autoad_nni.search.plugins import plugins_of_search
from autoad_nni.search.spaces import SampleSpace, SearchSpace, declare, narrow
from autoad_nni.storing import append_line, read_lines, replace_file, storing
from autoad_nni.trial.plugins import check_plugins

__all__ = ["Search", "check_recorded_plugins"]


def check_recorded_plugins(journal_path: Path) -> None:
    """Raises unless the plugins that a journal names are installed as they were; a missing journal names none."""
    lines = read_lines(journal_path, mend=False)
    check_plugins(lines[0].get("plugins", {}) if lines else {})


class Search:
    """Builds the parts of a search from what the experiment file says.

    Args:
        search_space: The file's search space.
        journal_path: Where the journal is, or will be; None to check the rest only.
        strategy: Name in the registry of strategies.
        strategy_args: Keyword arguments of the strategy.
        seed: Seed of the strategy.
        space: Name in the registry of search spaces.
        trial_arguments: Words of the trial command; results of other words do not belong in the same journal.
        data_sets: Names of the data sets, whose plugins are recorded too.
        images: Digest of the images; rewards on other images, or another split, do not compare.

    Raises:
        AutoADError: If a name, label, value or argument is unknown, or the journal is that of another search.
    """

    def __init__(
        self,
        *,
        search_space: SearchSpace,
        journal_path: Path | None,
        strategy: str,
        strategy_args: Mapping[str, Any],
        seed: int,
        space: str,
        trial_arguments: Sequence[str] = (),
        data_sets: Sequence[str] = (),
        images: str = "",
    ) -> None:
        if journal_path is not None:
            check_recorded_plugins(journal_path)
        self.mutables = narrow(declare(space, search_space), search_space)
        factory = STRATEGIES.load(strategy)
        try:
            self.strategy = factory(seed=seed, **strategy_args)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise AutoADError(
                f"strategy {strategy!r} does not take strategy_args {dict(strategy_args)}: {reason}. "
                f"Expected arguments of {factory.__module__}.{factory.__qualname__}. Correct tuner.classArgs."
            ) from None
        self.identity = {
            "strategy": strategy,
            "strategy_args": dict(strategy_args),
            "seed": seed,
            "space": space,
            "search_space": {label: entry["_value"] for label, entry in search_space.items()},
            "trial_arguments": list(trial_arguments),
            "images": images,
            "version": __version__,
            "plugins": plugins_of_search(search_space, strategy=strategy, space=space, data_sets=data_sets),
        }
        self.on_iteration: Callable[[dict[str, float]], None] = lambda figures: None
        """Called with the numbers that a strategy tells of each new iteration, if any; not for replayed ones."""
        if journal_path is not None:
            self.journal = Journal(journal_path, self.identity)
            if hasattr(self.strategy, "on_iteration"):
                self.strategy.on_iteration = self._keep_iterations(journal_path.with_name("iterations.jsonl"))

    def _keep_iterations(self, path: Path) -> Callable[[dict[str, Any]], None]:
        """Has what is told of each iteration appended to a file, beside the journal.

        The last one can have ended with a budget, in the middle of a batch: with a larger budget it is another.
        """
        written = read_lines(path)

        def keep(told: dict[str, Any]) -> None:
            # As the file gives it back, so that the two compare.
            known = json.loads(json.dumps({name: value for name, value in told.items() if not _is_undefined(value)}))
            number = int(told["iteration"])
            if number < len(written) or (number == len(written) and known == written[-1]):
                return  # replayed after a resume
            if number == len(written):
                written[-1] = known
                with storing(path):
                    replace_file(path, b"".join(json.dumps(line).encode() + b"\n" for line in written))
            else:
                append_line(path, known)
            self.on_iteration({name: value for name, value in known.items() if isinstance(value, int | float)})

        return keep

    def run(self, engine: ExecutionEngine, evaluate: Callable[[SampleSpace], None] | None = None) -> None:
        """Runs the strategy to its end."""
        self.strategy(SampleSpace(self.mutables, evaluate), engine)


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
