"""How long a scan will take: its waits, one after the other, and what the running gateway leaves of the line's time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from gateway.polling.errand_queue import ERRAND_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Task

    from gateway.interfaces import Clock

PRIOR = 0.1
"""Of all waits: so much counts as seen at the pace expected, so that the first few steps do not decide."""


class Pace:
    """What is left of a scan, from how long its steps took on average and, before there are any, from the worst case."""

    def __init__(self, waits_s: Sequence[float], clock: Clock, *, is_live: bool) -> None:
        """waits_s: longest wait for an answer of each step, in order. is_live: a running gateway has the line, too."""
        self.is_live = is_live
        self.least_s = sum(waits_s)
        self.most_s = self.least_s / ERRAND_SHARE if is_live else self.least_s
        self._rest = list(reversed(waits_s))
        self._clock = clock
        self._began_s = self._stepped_s = clock.monotonic()
        self._seen_s = 0.0  # waits of the steps done
        self._left_s = self.most_s  # at the last step

    def step(self) -> None:
        """Take note of one step that is done."""
        now_s = self._stepped_s = self._clock.monotonic()
        self._seen_s += self._rest.pop() if self._rest else 0.0
        prior_s = PRIOR * self.least_s
        if not self._rest or not self.least_s:
            self._left_s = 0.0
            return
        pace = (now_s - self._began_s + PRIOR * self.most_s) / (self._seen_s + prior_s)
        self._left_s = pace * sum(self._rest)

    def left_s(self) -> float:
        """Return how long it will take from now on; it counts down between two steps."""
        return max(0.0, self._left_s - (self._clock.monotonic() - self._stepped_s))

    def words(self) -> str:
        """Return what to know of the time before it begins, "" where there is nothing to say."""
        if not self.is_live:
            return ""
        return (
            f"through the running gateway, which reads its own meters first and gives commands a tenth of a busy line: "
            f"{minutes(self.least_s)} if nobody answers and the line has time, up to {minutes(self.most_s)} if it is busy"
        )


class LeftColumn(ProgressColumn):
    """The time left of a task with a `Pace`, of any other as rich reckons it."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return it as M:SS."""
        pace = task.fields.get("pace")
        if not isinstance(pace, Pace):
            return TimeRemainingColumn().render(task)
        return Text(f"about {minutes(pace.left_s())} left", style="progress.remaining")


def minutes(time_s: float) -> str:
    """Return seconds as M:SS or H:MM:SS."""
    whole = round(time_s)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def progress() -> Progress:
    """Return a progress bar on stderr; silent where stderr is no terminal."""
    columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), LeftColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
