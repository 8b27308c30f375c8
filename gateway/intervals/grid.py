"""When intervals, days, months, shifts and tariff periods begin and end: on the site's local clock. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from gateway.model import MS_NS, NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOLERANCE_MAX_NS = 60 * NS  # Source: the platforms allow ±1 min at a day's boundary (docs/specs/intervals.md)
TOLERANCE_PART = 10
_QUARTER_S = 900
_QUARTER_NS = _QUARTER_S * NS


class Span(NamedTuple):
    """Half-open: start_ns <= time < end_ns."""

    start_ns: int
    end_ns: int


def _next_day(midnight: datetime, steps: int) -> datetime:
    return midnight + timedelta(days=steps)


def _next_month(midnight: datetime, steps: int) -> datetime:
    """Return the same day of the month before (-1) or after (1)."""
    months = midnight.year * 12 + midnight.month - 1 + steps
    return midnight.replace(year=months // 12, month=months % 12 + 1)


def cut_by_changes(zone: str, length_s: int) -> bool:
    """Return whether a zone's changes of the clock (2020 to 2049) end intervals of this length before their time."""
    own, days = ZoneInfo(zone), range(18_262, 29_220, 7)  # no change is undone within a week
    noons = (datetime.fromtimestamp((day * 24 + 12) * 3600, own).utcoffset() for day in days)
    offsets = {0 if offset is None else round(offset.total_seconds()) % length_s for offset in noons}
    return len(offsets) > 1


class Grid:
    """The site's grid of intervals and longer periods."""

    def __init__(self, zone: str, length_s: int, *, day_start_s: int = 0, month_day: int = 1) -> None:
        """zone: IANA name. length_s: divides an hour. day_start_s: seconds after midnight. month_day: 1 to 28."""
        self.zone = zone
        self._zone = ZoneInfo(zone)
        self.length_ns = length_s * NS
        self.tolerance_ns = min(TOLERANCE_MAX_NS, self.length_ns // TOLERANCE_PART)
        self.day_start_s, self.month_day = day_start_s, month_day
        self._offset_ns = lru_cache(64)(self._offset_of_quarter)

    def _offset_of_quarter(self, quarter: int) -> int:
        """Return the zone's offset in a quarter of an hour since 1970: no zone changes its own within one."""
        stamp = datetime.fromtimestamp(quarter * _QUARTER_S, UTC).astimezone(self._zone)
        offset = stamp.utcoffset()
        assert offset is not None
        return round(offset.total_seconds()) * NS

    def _offset(self, time_ns: int) -> int:
        return self._offset_ns(time_ns // _QUARTER_NS)

    def _cell(self, time_ns: int, length_ns: int) -> Span:
        """Return the stretch between two multiples of `length_ns` on the local clock.

        A change of the clock that shifts these multiples (Lord Howe Island: by half an hour) ends a stretch and begins one.
        """
        offset_ns = self._offset(time_ns)
        start_ns = (time_ns + offset_ns) // length_ns * length_ns - offset_ns
        end_ns = start_ns + length_ns
        if (offset_ns - self._offset(start_ns)) % length_ns:
            start_ns = time_ns // _QUARTER_NS * _QUARTER_NS
            while (offset_ns - self._offset(start_ns - 1)) % length_ns == 0:
                start_ns -= _QUARTER_NS
        if (offset_ns - self._offset(end_ns - 1)) % length_ns:
            end_ns = (time_ns // _QUARTER_NS + 1) * _QUARTER_NS
            while (offset_ns - self._offset(end_ns)) % length_ns == 0:
                end_ns += _QUARTER_NS
        return Span(start_ns, end_ns)

    def interval(self, time_ns: int) -> Span:
        """Return the interval a time lies in: `length_ns` long, shorter only where a change of the clock cuts it."""
        return self._cell(time_ns, self.length_ns)

    def start_of(self, time_ns: int) -> int:
        """Return the start of the interval a time lies in."""
        quarter = time_ns // _QUARTER_NS
        offset_ns = self._offset_ns(quarter)
        start_ns = (time_ns + offset_ns) // self.length_ns * self.length_ns - offset_ns
        if start_ns // _QUARTER_NS == quarter:  # no change of the clock in between: the hot path
            return start_ns
        return self._cell(time_ns, self.length_ns).start_ns

    def starts(self, from_ns: int, to_ns: int) -> Iterator[int]:
        """Yield the starts of the intervals that begin in [from_ns, to_ns)."""
        start_ns, end_ns = self.interval(from_ns)
        if start_ns < from_ns:
            start_ns = end_ns
        while start_ns < to_ns:
            yield start_ns
            start_ns = self.interval(start_ns).end_ns

    def hour(self, time_ns: int) -> Span:
        """Return the local hour a time lies in; shorter where the clock is changed by a part of an hour."""
        return self._cell(time_ns, 3600 * NS)

    def day(self, time_ns: int) -> Span:
        """Return the day a time lies in, from `day_start` to the next; 23 or 25 hours long where the clock is changed."""
        local = datetime.fromtimestamp(time_ns // NS, self._zone).replace(tzinfo=None)
        shifted = local - timedelta(seconds=self.day_start_s)
        return self._around(time_ns, datetime(shifted.year, shifted.month, shifted.day), _next_day)  # noqa: DTZ001

    def month(self, time_ns: int) -> Span:
        """Return the month a time lies in, from `month_day` at `day_start` to the next."""
        local = datetime.fromtimestamp(time_ns // NS, self._zone).replace(tzinfo=None)
        shifted = local - timedelta(days=self.month_day - 1, seconds=self.day_start_s)
        first = datetime(shifted.year, shifted.month, self.month_day)  # noqa: DTZ001 - local, made aware in _at
        return self._around(time_ns, first, _next_month)

    def _around(self, time_ns: int, midnight: datetime, step: Callable[[datetime, int], datetime]) -> Span:
        """Return the period around a time. midnight: names the one the clock's face suggests.

        Where the clock is changed over a beginning, the face shows the day before again, or the day too early.
        """
        while time_ns < self._at(midnight):
            midnight = step(midnight, -1)
        while time_ns >= self._at(step(midnight, 1)):
            midnight = step(midnight, 1)
        return Span(self._at(midnight), self._at(step(midnight, 1)))

    def _at(self, midnight: datetime) -> int:
        """Return when a day that is named by its midnight begins; a time shown twice is meant as shown first."""
        local = midnight + timedelta(seconds=self.day_start_s)
        return round(local.replace(tzinfo=self._zone).timestamp()) * NS

    def clock(self, day: Span, seconds: int) -> int:
        """Return the moment the local clock shows `seconds` after midnight, first at or after the start of a day."""
        local = datetime.fromtimestamp(day.start_ns // NS, self._zone)
        midnight = local.replace(hour=0, minute=0, second=0, tzinfo=None)
        moment = (midnight + timedelta(seconds=seconds)).replace(tzinfo=self._zone)
        found_ns = round(moment.timestamp()) * NS
        if found_ns >= day.start_ns:
            return found_ns
        moment = (midnight + timedelta(days=1, seconds=seconds)).replace(tzinfo=self._zone)
        return round(moment.timestamp()) * NS

    def clock_before(self, end_ns: int, seconds: int) -> int:
        """Return the last moment before `end_ns` at which the local clock shows `seconds` after midnight."""
        local = datetime.fromtimestamp(end_ns // NS, self._zone)
        midnight = local.replace(hour=0, minute=0, second=0, tzinfo=None)
        while True:
            moment = (midnight + timedelta(seconds=seconds)).replace(tzinfo=self._zone)
            found_ns = round(moment.timestamp()) * NS
            if found_ns < end_ns:
                return found_ns
            midnight -= timedelta(days=1)

    def local_month(self, time_ns: int) -> int:
        """Return the calendar month, 1 to 12, the local clock shows."""
        return datetime.fromtimestamp(time_ns // NS, self._zone).month

    def second_of_day(self, time_ns: int) -> int:
        """Return what the local clock shows, seconds after midnight."""
        local = datetime.fromtimestamp(time_ns // NS, self._zone)
        return local.hour * 3600 + local.minute * 60 + local.second

    def iso(self, time_ns: int) -> str:
        """Return a time as ISO 8601 with milliseconds and the zone's offset then."""
        whole, rest = divmod(time_ns, NS)
        local = datetime.fromtimestamp(whole, self._zone).isoformat()
        return f"{local[:19]}.{rest // MS_NS:03d}{local[19:]}"
