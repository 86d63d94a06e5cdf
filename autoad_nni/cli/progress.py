"""Shows how far a search is, a bar in a terminal or a line for each trial that ended; and how many images are done."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from autoad_nni.cli.usage import printable, say

__all__ = ["CountProgress", "SearchProgress"]


class SearchProgress:
    """Shows trials ended, best reward, time spent and time left, within a block.

    Args:
        reward: Name of the reward, for instance ``auroc``.
        total: Trials after which the search ends; None for no limit.
        max_seconds: Seconds from now after which it ends; None for no limit.
    """

    def __init__(self, reward: str, total: int | None, max_seconds: float | None = None) -> None:
        self._reward = reward
        self._pace = _Pace(total, max_seconds)
        self._best: float | None = None
        console = Console()
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            text, best = TextColumn("{task.description}"), TextColumn("{task.fields[best]}")
            self._bar = Progress(text, _Bar(self._pace), best, _Clock(self._pace), console=console)
            self._task = self._bar.add_task(self._trials(), total=None, best=self._best_reward())

    def __enter__(self) -> SearchProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

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
        if self._bar is not None:
            self._bar.update(self._task, completed=ended, description=self._trials(), best=self._best_reward())
        elif not recorded:
            say(f"{self._trials()}  {self._best_reward()}  {self._pace.clock()}")

    def finish(self, ended: int, best: float | None) -> None:
        """Show the last count, unless it is shown already."""
        if ended > self._pace.ended:
            self.show(ended, best, total=self._pace.total)

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            say(line)

    def _trials(self) -> str:
        return f"trial {self._pace.ended}" + ("" if self._pace.total is None else f"/{self._pace.total}")

    def _best_reward(self) -> str:
        return f"best {self._reward} " + ("-" if self._best is None else f"{self._best:.4f}")


class CountProgress:
    """Shows on stderr how many of some things are done, within a block; nothing where stderr is no terminal.

    Args:
        what: One of them.
        total: How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._pace = _Pace(total, None)
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            text = TextColumn("{task.description}")
            self._bar = Progress(text, _Bar(self._pace), _Clock(self._pace), console=console)
            self._task = self._bar.add_task(self._count(), total=total)

    def __enter__(self) -> CountProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int) -> None:
        """Show a new count."""
        self._pace.count(done, self._pace.total, False)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=self._count())

    def print(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar is not None:
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            say(line, err=True)

    def _count(self) -> str:
        return f"{self._what} {self._pace.ended}/{self._pace.total}"


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
