"""One search: a strategy, its space and its journal, whichever engine runs the trials."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nni.nas.execution import ExecutionEngine

from autoad_nni.errors import AutoADError
from autoad_nni.models.surroundings import torch_threads
from autoad_nni.registry import STRATEGIES
from autoad_nni.searches.journal import Journal
from autoad_nni.searches.known import KnownFirst, known_within
from autoad_nni.searches.plugins import plugins_of_search
from autoad_nni.searches.spaces import SampleSpace, SearchSpace, declare, narrow
from autoad_nni.storing import append_line, read_lines, replace_lines
from autoad_nni.trial.plugins import check_plugins
from autoad_nni.version import __version__

__all__ = ["Search", "check_recorded_plugins"]


def check_recorded_plugins(journal_path: Path) -> None:
    """Raise unless the plugins that a journal names are installed as they were; a missing journal names none."""
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
        known: Whether the search begins with the known methods that ``search_space`` leaves.

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
        known: bool = False,
    ) -> None:
        if journal_path is not None:
            check_recorded_plugins(journal_path)
        self.mutables = narrow(declare(space, search_space), search_space)
        self.known = known_within(space, self.mutables) if known else {}
        factory = STRATEGIES.load(strategy)
        try:
            self.strategy = factory(seed=seed, **strategy_args)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            shared = (
                "; to share weights, give trialCommand --weight-sharing" if "weight_sharing" in strategy_args else ""
            )
            raise AutoADError(
                f"strategy {strategy!r} does not take strategy_args {dict(strategy_args)}: {reason}. "
                f"Expected arguments of {_signature_of(factory)}. Correct tuner.classArgs{shared}."
            ) from None
        self.identity = {
            "strategy": strategy,
            "strategy_args": dict(strategy_args),
            "seed": seed,
            "space": space,
            "search_space": {label: entry["_value"] for label, entry in search_space.items()},
            **({"known": self.known} if self.known else {}),
            "version": __version__,
            "plugins": plugins_of_search(search_space, strategy=strategy, space=space),
        }
        self.on_iteration: Callable[[dict[str, float]], None] = lambda figures: None
        """Called with the figures that a strategy gives of each new iteration, if any; not for replayed ones."""
        if journal_path is not None:
            self.journal = Journal(journal_path, self.identity)
            if hasattr(self.strategy, "on_iteration"):
                self.strategy.on_iteration = self._keep_iterations(journal_path.with_name("iterations.jsonl"))

    def _keep_iterations(self, path: Path) -> Callable[[dict[str, Any]], None]:
        """Append the figures of each iteration to a file beside the journal.

        The last one can have ended with a budget, in the middle of a batch: with a larger budget it is another.
        """
        written = read_lines(path)

        def keep(figures: dict[str, Any]) -> None:
            # As the file gives it back, so that the two compare.
            known = json.loads(json.dumps({name: value for name, value in figures.items() if not _is_undefined(value)}))
            number = int(figures["iteration"])
            if number < len(written) or (number == len(written) and known == written[-1]):
                return  # replayed after a resume
            if number == len(written):
                written[-1] = known
                replace_lines(path, written)
            else:
                append_line(path, known)
            self.on_iteration({name: value for name, value in known.items() if isinstance(value, int | float)})

        return keep

    def run(self, engine: ExecutionEngine, evaluate: Callable[[SampleSpace], None] | None = None) -> None:
        """Run the known methods, then the strategy to its end.

        A strategy that has a method ``learn`` is given their rewards before it begins; others do not know of them.

        Its arithmetic has one thread: sums of several come in any order, differences of 1e-8 grow until a sample
        differs, and a search could not be replayed. On tensors this small more threads are slower, too.
        """
        with torch_threads(1):
            space = SampleSpace(self.mutables, evaluate)
            first = KnownFirst(self.known)
            first(space, engine)
            self.strategy.initialize(space, engine)
            if first.results and hasattr(self.strategy, "learn"):
                self.strategy.learn(first.results)
            self.strategy.run()


def _signature_of(factory: Callable[..., Any]) -> str:
    """Return a factory's full name, and the names of the arguments that an experiment file may give it."""
    parameters = inspect.signature(factory).parameters.values()
    names = [str(each).partition(":")[0] for each in parameters if each.name not in ("seed", "on_iteration")]
    return f"{factory.__module__}.{factory.__qualname__} ({', '.join(names)})"


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
