"""What happened to counters, told as events: at once, and then at most once a minute for each channel and kind.

A counter that flaps between two values at every poll would else fill the journal. What is held back is counted,
and the newest of it is told when the minute is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.checks import Finding
    from gateway.interfaces import Notice
    from gateway.layout import Layout

TOLD_EVERY_S = 60.0


class _Told:
    """When one kind was last told of one channel, and what came since."""

    __slots__ = ("at_s", "count", "held")

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s
        self.count = 0
        self.held: dict[str, object] | None = None


class CounterLog:
    """Tells findings about counters; bounded by channels x kinds."""

    def __init__(self, notice: Notice) -> None:
        """notice: takes the events."""
        self._notice = notice
        self._told: dict[tuple[str, str, str], _Told] = {}

    def take(self, layout: Layout, findings: list[Finding], now_s: float) -> None:
        """Tell the findings of one sample, or hold them back; empties the list."""
        for kind, channel, detail in findings:
            about = layout.channels[channel]
            key = layout.meter, about.key, kind
            body = {"channel": about.key, "unit": about.unit, **detail}
            told = self._told.get(key)
            if told is None:
                self._told[key] = _Told(now_s)
                self._notice(kind, layout.meter, **body)
            else:
                told.count += 1
                told.held = body
        findings.clear()
        self.sweep(now_s)

    def sweep(self, now_s: float) -> None:
        """Tell what has been held back for long enough; forget what has been quiet since."""
        over = [(key, told) for key, told in self._told.items() if now_s - told.at_s >= TOLD_EVERY_S]
        for key, told in over:
            if told.held is None:
                del self._told[key]
                continue
            meter, _, kind = key
            self._notice(kind, meter, **told.held, count=told.count)
            told.at_s, told.count, told.held = now_s, 0, None
