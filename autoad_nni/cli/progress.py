"""Shows how far a search is, a bar in a terminal or a line for each trial that ended; and how many images are done."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from autoad_nni.cli.usage import printable, say

__all__ = ["CountProgress", "SearchProgress"]

_AnyShown = TypeVar("_AnyShown", bound="_Shown")


class _Shown:
    """A bar in a terminal, shown within a block; elsewhere there is none.

    Args:
        pace: What is counted.
        text: What stands before the bar.
        more: Columns behind it, and what is shown in them.
        err: Whether it is shown on stderr.
    """

    def __init__(self, pace: _Pace, text: str, *more: ProgressColumn, err: bool = False, **fields: Any) -> None:
        self._pace = pace
        self._err = err
        console = Console(stderr=err)
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            columns = (TextColumn("{task.description}"), _Bar(pace), *more, _Clock(pace))
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(text, total=None, **fields)

    def __enter__(self: _AnyShown) -> _AnyShown:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            say(line, err=self._err)

    def _update(self, text: str, **fields: Any) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._pace.ended, description=text, **fields)


class SearchProgress(_Shown):
    """Shows trials ended, best reward, time spent and time left, within a block.

    Args:
        reward: Name of the reward, for instance ``auroc``.
        total: Trials after which the search ends; None for no limit.
        max_seconds: Seconds from now after which it ends; None for no limit.
    """

    def __init__(self, reward: str, total: int | None, max_seconds: float | None = None) -> None:
        self._reward = reward
        self._best: float | None = None
        pace = _Pace(total, max_seconds)
        super().__init__(pace, _trials(pace), TextColumn("{task.fields[best]}"), best=self._best_reward())

    def show(self, ended: int, best: float | None, *, total: int | None, recorded: bool = False) -> None:
        """Show a new count.

        Args:
            ended: Trials that have ended.
            best: Best reward; None before there is one.
            total: Trials after which the search ends.
            recorded: Whether the last of them ended in an earlier session, which says nothing about the time left.
        """
        self._best = best
        self._pace.count(ended, total, recorded)
        self._update(_trials(self._pace), best=self._best_reward())
        if self._bar is None and not recorded:
            say(f"{_trials(self._pace)}  {self._best_reward()}  {self._pace.clock()}")

    def finish(self, ended: int, best: float | None) -> None:
        """Show the last count, unless it is shown already."""
        if ended > self._pace.ended:
            self.show(ended, best, total=self._pace.total)

    def _best_reward(self) -> str:
        return f"best {self._reward} " + ("-" if self._best is None else f"{self._best:.4f}")


def _trials(pace: _Pace) -> str:
    return f"trial {pace.ended}" + ("" if pace.total is None else f"/{pace.total}")


class CountProgress(_Shown):
    """Shows on stderr how many of some things are done, within a block; nothing where stderr is no terminal.

    Args:
        what: One of them.
        total: How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        super().__init__(_Pace(total, None), f"{what} 0/{total}", err=True)

    def show(self, done: int) -> None:
        """Show a new count."""
        self._pace.count(done, self._pace.total, False)
        self._update(f"{self._what} {done}/{self._pace.total}")


class _Pace:
    """Time spent, and left: at the pace of the trials that ended in this session, and until the time limit."""

    def __init__(self, total: int | None, max_seconds: float | None) -> None:
        self.total = total
        self.ended = 0
        self._max_seconds = max_seconds
        self._recorded = 0
        self._began = self._measured_from = self._last_end = time.monotonic()

    def count(self, ended: int, total: int | None, recorded: bool) -> None:
        self.ended, self.total = ended, total
        self._last_end = time.monotonic()
        if recorded:
            self._recorded, self._measured_from = ended, self._last_end

    def share(self) -> float | None:
        """Return the part of the search that is done, by trials or time, whichever is further; None without a limit."""
        shares = [] if not self.total else [self.ended / self.total]
        if self._max_seconds is not None:
            shares.append(min(1.0, self._spent_s() / self._max_seconds) if self._max_seconds > 0 else 1.0)
        return max(shares, default=None)

    def clock(self) -> str:
        """Return the time spent, and the time left where there is a limit or it can be estimated."""
        left = self._left_s()
        return _clock(self._spent_s()) + ("" if left is None else f", {_clock(left)} left")

    def _spent_s(self) -> float:
        return time.monotonic() - self._began

    def _left_s(self) -> float | None:
        if self.ended == self.total:
            return None
        ends = [self._trials_left_s(), None if self._max_seconds is None else self._max_seconds - self._spent_s()]
        known = [max(0.0, seconds) for seconds in ends if seconds is not None]
        return min(known, default=None)

    def _trials_left_s(self) -> float | None:
        if self.total is None or self.ended == self._recorded:
            return None
        seconds_per_trial = (self._last_end - self._measured_from) / (self.ended - self._recorded)
        return seconds_per_trial * (self.total - self.ended) - (time.monotonic() - self._last_end)


class _Bar(ProgressColumn):
    max_refresh = 0.5

    def __init__(self, pace: _Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> ProgressBar:
        share = self._pace.share()
        total = None if share is None else 1.0
        return ProgressBar(total=total, completed=share or 0.0, width=20, pulse=total is None)


class _Clock(ProgressColumn):
    max_refresh = 0.5

    def __init__(self, pace: _Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        return Text(self._pace.clock())


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
