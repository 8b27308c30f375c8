"""What the tests of totals and summaries share: intervals of one counter out of its boundary readings, and a history of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from gateway.config.periods import IntervalsConfig
from gateway.intervals.grid import Grid
from gateway.intervals.model import Boundary, ChannelInterval, Interval
from gateway.model import NS, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from gateway.history.read import Queries
    from gateway.history.work import ManualReading, TotalRow
    from gateway.intervals.grid import Span

KEY = "energy_active_import_total"
LENGTH_NS = 900 * NS
SHANGHAI = "Asia/Shanghai"


def at(text: str, zone: str = SHANGHAI) -> int:
    """Return a local time, such as 2026-08-01T08:00, in nanoseconds since 1970."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * NS


def grid(zone: str = SHANGHAI, **more: int) -> Grid:
    return Grid(zone, 900, **more)


def settings(**more: object) -> IntervalsConfig:
    return IntervalsConfig.model_validate(more)


def boundary(reading: object, time_ns: int) -> Boundary | None:
    return None if reading is None else Boundary(Decimal(str(reading)), time_ns)


def counter(
    start_ns: int, end_ns: int, opening: object, closing: object, *, key: str = KEY, unit: str = "kWh"
) -> ChannelInterval:
    """Return a counter between two readings; a reading that is None is not there."""
    first, last = boundary(opening, start_ns), boundary(closing, end_ns)
    amount = None if first is None or last is None else last.reading - first.reading
    is_reset = amount is not None and amount < 0
    return ChannelInterval(
        key=key,
        unit=unit,
        kind="counter",
        expected=90,
        received=90 if first and last else 45,
        good=90 if first and last else 45,
        gaps={} if first and last else {"meter_off": 45},
        opening=first,
        closing=last,
        delta=None if is_reset else amount,
        how="reset" if is_reset else "missing" if amount is None else "normal",
    )


def interval(
    start_ns: int,
    opening: object,
    closing: object,
    meter: str = "m-1",
    *,
    epoch: int = 0,
    length_ns: int = LENGTH_NS,
    **more: Any,
) -> Interval:
    end_ns = start_ns + length_ns
    only = counter(start_ns, end_ns, opening, closing)
    body: dict[str, Any] = {"channels": (only,), "closed_ns": end_ns, "layouts": ("a",)} | more
    return Interval(meter=meter, epoch=epoch, start_ns=start_ns, end_ns=end_ns, **body)


def steady(
    from_ns: int, to_ns: int, *, lost: Collection[int] = (), meter: str = "m-1", base_ns: int | None = None
) -> list[Interval]:
    """Return a meter that counts 1 in a quarter of an hour since `base_ns`. lost: boundaries without a reading."""
    base_ns = from_ns if base_ns is None else base_ns

    def reading(time_ns: int) -> Decimal | None:
        return None if time_ns in lost else Decimal(1000 + (time_ns - base_ns) // LENGTH_NS)

    return [interval(t, reading(t), reading(t + LENGTH_NS), meter) for t in range(from_ns, to_ns, LENGTH_NS)]


def swap(effective_ns: int, closing: object, opening: object, meter: str = "m-1", **more: Any) -> Event:
    """Return the swap of a meter, told an hour after it; a side that is None is known to nobody."""

    def side(reading: object) -> dict[str, object]:
        row = None if reading is None else {"reading": str(reading), "time_ns": effective_ns, "from": "typed"}
        return {KEY: row}

    detail = {"serial": "S2", "by": "Li", "why": "broken", "effective_ns": effective_ns, "closing": side(closing), "opening": side(opening)}  # fmt: skip
    return Event(effective_ns + 3600 * NS, "meter_swap", meter, detail | more)


class Kept:
    """A history in memory: what `Queries` is asked for sums."""

    def __init__(self, intervals: Iterable[Interval] = (), manual: Iterable[ManualReading] = ()) -> None:
        self.kept, self.entered = list(intervals), list(manual)
        self.summaries: list[TotalRow] = []
        self.told: list[Event] = []

    def events(
        self,
        from_ns: int = 0,
        to_ns: int = 1 << 62,
        kinds: Collection[str] | None = None,
        subjects: Collection[str] | None = None,
    ) -> Iterator[Event]:
        for one in self.told:
            is_wanted = (kinds is None or one.kind in kinds) and (subjects is None or one.subject in subjects)
            if is_wanted and from_ns <= one.time_ns < to_ns:
                yield one

    def intervals(
        self, from_ns: int, to_ns: int, meters: Collection[str] | None = None
    ) -> Iterator[Interval]:
        newest: dict[tuple[int, str, int], Interval] = {}
        for one in sorted(self.kept, key=lambda one: (one.start_ns, one.meter, one.epoch, one.rev)):
            if from_ns <= one.start_ns < to_ns and (meters is None or one.meter in meters):
                newest[one.start_ns, one.meter, one.epoch] = one
        yield from newest.values()

    def manual(self, from_ns: int, to_ns: int, meters: Collection[str] | None = None) -> list[ManualReading]:
        return [
            one
            for one in self.entered
            if from_ns <= one.time_ns < to_ns and (meters is None or one.meter in meters)
        ]

    def totals(self, period: str, from_ns: int, to_ns: int) -> Iterator[TotalRow]:
        newest = {one.start_ns: one for one in sorted(self.summaries, key=lambda one: one.rev)}
        for start_ns, one in sorted(newest.items()):
            if one.period == period and from_ns <= start_ns < to_ns:
                yield one

    def total(self, period: str, start_ns: int) -> TotalRow | None:
        found = [one for one in self.summaries if (one.period, one.start_ns) == (period, start_ns)]
        return max(found, key=lambda one: one.rev, default=None)

    def made(self, make: Callable[[Any], Any], row: Any) -> Any:
        return make(row)

    @property
    def store(self) -> Queries:
        return cast("Queries", self)


def amounts(runs: Mapping[str, Any]) -> dict[str, str | None]:
    """Return key -> amount as text."""
    return {key: None if run.amount is None else f"{run.amount:f}" for key, run in runs.items()}


def hours(span: Span) -> float:
    return (span.end_ns - span.start_ns) / NS / 3600


def seen(*values: object) -> tuple[object, ...]:
    """Return values to be compared with numbers of any type."""
    return values
