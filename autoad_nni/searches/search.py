"""One search: a strategy, its space and its journal, whichever engine runs the trials."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nni.nas.strategy.base import Strategy

from autoad_nni.errors import AutoADError
from autoad_nni.models.surroundings import torch_threads
from autoad_nni.registry import STRATEGIES
from autoad_nni.searches.halving import Halving
from autoad_nni.searches.journal import Journal
from autoad_nni.searches.known import KnownFirst, known_within
from autoad_nni.searches.plugins import plugins_of_search
from autoad_nni.searches.replay import JournalMiddleware, ReplayDiffers
from autoad_nni.searches.snapshot import read_snapshot, write_snapshot
from autoad_nni.searches.spaces import SampleSpace, SearchSpace, declare, narrow
from autoad_nni.storing import append_line, read_lines
from autoad_nni.trial.plugins import check_plugins
from autoad_nni.version import __version__

__all__ = ["Search", "check_recorded_plugins"]

_logger = logging.getLogger("autoad_nni")
_TRIALS_PER_SNAPSHOT = 20  # more are replayed in a second


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
        halving: Arguments of `Halving`; None if every trial is trained to its end.

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
        halving: Mapping[str, int] | None = None,
    ) -> None:
        if journal_path is not None:
            check_recorded_plugins(journal_path)
        self.mutables = narrow(declare(space, search_space), search_space)
        self.known = known_within(space, self.mutables) if known else {}
        factory = STRATEGIES.load(strategy)

        def make() -> Any:
            return factory(seed=seed, **strategy_args)  # a second seed among them is refused

        self._make_strategy = make
        try:
            self.strategy = self._make_strategy()
        except ImportError as error:
            raise AutoADError(f"strategy {strategy!r} needs a package that is not installed: {error}.") from None
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
            **({"halving": dict(halving)} if halving else {}),
            "version": __version__,
            "plugins": plugins_of_search(search_space, strategy=strategy, space=space),
        }
        self.on_iteration: Callable[[dict[str, float]], None] = lambda figures: None
        """Called with the figures that a strategy gives of each new iteration, if any; not for replayed ones."""
        self.say: Callable[[str], None] = _logger.warning
        """Called with a line for the user."""
        if journal_path is not None:
            self.journal = Journal(journal_path, self.identity)
            self.halving = Halving(self.journal, **halving) if halving else None
            self._iterations = journal_path.with_name("iterations.jsonl")
            written = read_lines(self._iterations)
            self._n_iterations = int(max((line.get("iteration", 0) for line in written), default=0))
            self._iterations_before = 0
            self._n_in_snapshot = 0

    def run(self, engine: JournalMiddleware, evaluate: Callable[[SampleSpace], None] | None = None) -> None:
        """Run the known methods, then the strategy to its end; or go on from what the journal records.

        A strategy that has a method ``learn`` is given their rewards before it begins; others do not know of them.

        Its arithmetic has one thread: sums of several come in any order, differences of 1e-8 grow until a sample
        differs, and a search could not be replayed. On tensors this small more threads are slower, too. Should it
        differ nevertheless, on another processor or with another torch, nothing is lost: a fresh strategy is given all
        that is recorded, if it can ``learn``, and goes on.
        """
        self._engine = engine
        with torch_threads(1):
            try:
                if not self._restore(SampleSpace(self.mutables, evaluate)):
                    self._begin(SampleSpace(self.mutables, evaluate))
                self.strategy.run()
                engine.end_replay()
            except ReplayDiffers:
                self._go_on(SampleSpace(self.mutables, evaluate))

    def _begin(self, space: SampleSpace) -> None:
        first = KnownFirst(self.known)
        first(space, self._engine)
        self._initialize(space)
        if first.results and hasattr(self.strategy, "learn"):
            self.strategy.learn(first.results)

    def _restore(self, space: SampleSpace) -> bool:
        """Go on from the snapshot; return whether there is one that fits."""
        snapshot = read_snapshot(self.journal) if self._has_snapshots else None
        if snapshot is None:
            return False
        try:
            self._initialize(space)
            self.strategy.load_state_dict(snapshot.state)
        except (ValueError, RuntimeError, KeyError, TypeError, IndexError, AttributeError):
            self.strategy = self._make_strategy()  # of another version: the journal alone is enough
            return False
        self._iterations_before = snapshot.iterations_before
        self._engine.restore(space, snapshot.n_events)
        self._n_in_snapshot = self._engine.n_submitted
        return True

    def _go_on(self, space: SampleSpace) -> None:
        """Give a fresh strategy what is recorded, and let it go on."""
        n_replayed = self._engine.n_submitted
        self._engine.leave_record(space)
        self._iterations_before = self._n_iterations
        self.strategy = self._make_strategy()
        self._initialize(space)
        learns = hasattr(self.strategy, "learn")
        self.say(
            f"{self.journal.path}: the strategy now proposes another sample for trial {n_replayed} than it did when "
            "this was recorded, as it may with another processor or version of torch. All recorded trials are kept, "
            f"and it goes on {'from their rewards' if learns else 'without their rewards, which it cannot learn'}."
        )
        if learns:
            self.strategy.learn(self._engine.results)
            self._take_snapshot()
        self.strategy.run()

    def _initialize(self, space: SampleSpace) -> None:
        if hasattr(self.strategy, "on_iteration"):
            self.strategy.on_iteration = self._after_iteration
        self.strategy.initialize(space, self._engine)

    def _after_iteration(self, figures: dict[str, Any]) -> None:
        self._keep_iteration(figures)
        if self._engine.n_submitted >= self._n_in_snapshot + _TRIALS_PER_SNAPSHOT:
            self._take_snapshot()

    @property
    def _has_snapshots(self) -> bool:
        """Whether the strategy says when an iteration has ended, and has a state then; of NNI's own, none."""
        return hasattr(self.strategy, "on_iteration") and type(self.strategy).state_dict is not Strategy.state_dict

    def _take_snapshot(self) -> None:
        if self._has_snapshots and not self._engine.replaying:
            state = self.strategy.state_dict()
            write_snapshot(self.journal, state, iterations_before=self._iterations_before)
            self._n_in_snapshot = self._engine.n_submitted

    def _keep_iteration(self, figures: dict[str, Any]) -> None:
        """Append the figures of an iteration to a file beside the journal."""
        number = int(figures["iteration"]) + self._iterations_before
        if number <= self._n_iterations:
            return  # replayed after a resume
        known = {name: value for name, value in figures.items() if not _is_undefined(value)}
        known["iteration"] = float(number)
        append_line(self._iterations, known)
        self._n_iterations = number
        self.on_iteration({name: value for name, value in known.items() if isinstance(value, int | float)})


def _signature_of(factory: Callable[..., Any]) -> str:
    """Return a factory's full name, and the names of the arguments that an experiment file may give it."""
    parameters = inspect.signature(factory).parameters.values()
    names = [str(each).partition(":")[0] for each in parameters if each.name not in ("seed", "on_iteration")]
    return f"{factory.__module__}.{factory.__qualname__} ({', '.join(names)})"


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
