"""A closed interval made anew: from frames read by another rule, or from itself and a swap declared late. Pure.

What was due, and why what is missing is missing, nobody can find out any more; it stays. What the frames that are there say is
taken off by the rule of the time and put back by the corrected one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from gateway.intervals.amounts import between, lies_between, split_of
from gateway.intervals.making import tally_of
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.intervals.amounts import Split
    from gateway.intervals.collecting import Candidate
    from gateway.intervals.model import Boundary, Cause, ChannelInterval, Interval, Reason
    from gateway.intervals.recollecting import Collected, Key
    from gateway.model import Event

DECLARED = ("meter_swap", "ratio_change")


class IncompleteError(Exception):
    """The journal no longer holds all that an interval was made of."""


def declared(events: Iterable[Event]) -> list[Event]:
    """Return the swaps and changed ratios of a meter that hold, without those that were undone; events: in order of time."""
    found: list[Event] = []
    for event in events:
        undone = event.detail.get("undoes")
        if isinstance(undone, dict):
            gone = undone.get("effective_ns")
            found = [e for e in found if e.kind != event.kind or e.detail.get("effective_ns") != gone]
        elif isinstance(event.detail.get("effective_ns"), int):
            found.append(event)
    return found


def effective_ns(event: Event) -> int:
    """Return from when on a swap or changed ratio of `declared` holds."""
    return cast("int", event.detail["effective_ns"])


def splits_of(events: Iterable[Event], epochs: Mapping[int, int]) -> list[Split]:
    """Return what is declared. epochs: effective_ns -> epoch; what is not in it is left out."""
    found = []
    for event in events:
        at_ns = effective_ns(event)
        if at_ns in epochs:
            found.append(split_of(event, epochs[at_ns], at_ns))
    return found


def distrusted(event: Event, spans: Sequence[tuple[int, int]], keys: frozenset[str]) -> Event:
    """Return a swap without the sides that were read by a rule found wrong: of channels `keys`, in `spans`, and not typed."""
    detail: dict[str, Any] = dict(event.detail)
    for side in ("closing", "opening"):
        rows = detail.get(side)
        if isinstance(rows, dict):
            detail[side] = {
                key: None if key in keys and _is_read(row, spans) else row for key, row in rows.items()
            }
    return replace(event, detail=detail)


def _is_read(row: object, spans: Sequence[tuple[int, int]]) -> bool:
    if not isinstance(row, dict) or row.get("from") == "typed":
        return False
    at_ns = row.get("time_ns")
    return isinstance(at_ns, int) and any(from_ns <= at_ns < to_ns for from_ns, to_ns in spans)


class Remaker:
    """Makes intervals of one meter anew out of frames collected by the rule of the time (`old`) and the corrected one (`new`)."""

    def __init__(
        self,
        old: Collected,
        new: Collected,
        touched: tuple[set[Key], set[Key]],
        splits: Sequence[Split],
        length_ns: int,
    ) -> None:
        """touched: intervals, and boundaries, near which a frame is read in another way."""
        self._old, self._new, self._splits, self._length_ns = old, new, splits, length_ns
        self._cells, self._edges = touched

    def is_touched(self, one: Interval) -> bool:
        """Return whether there may be something to correct."""
        key = one.epoch, one.start_ns
        return key in self._cells or key in self._edges or (one.epoch, one.end_ns) in self._edges

    def remake(self, one: Interval, before: Sequence[Interval], now_ns: int) -> Interval | None:
        """Return the next revision of an interval, None if nothing has changed.

        one: the newest revision. before: all there are, oldest first. Raises IncompleteError.
        """
        channels = tuple(self._channel(one, channel, before) for channel in one.channels)
        if channels == one.channels:
            return None
        layouts = one.layouts
        key = one.epoch, one.start_ns
        if key in self._cells:
            cells = sorted(self._new.periods(one.meter, key).items())
            layouts = tuple(dict.fromkeys(digest for _, cell in cells for digest in cell.layouts))
        return replace(
            one, channels=channels, rev=one.rev + 1, cause="replay", closed_ns=now_ns, layouts=layouts
        )

    def _channel(
        self, one: Interval, channel: ChannelInterval, before: Sequence[Interval]
    ) -> ChannelInterval:
        key = one.epoch, one.start_ns
        was = self._old.cells(one.meter, key, channel.key)
        if sum(self._old.there[cell] for cell in was) < channel.received:
            raise IncompleteError
        if key in self._cells and self._new.cells(one.meter, key, channel.key):
            channel = self._counted(one, channel, _base(channel, before))
        return self._bounded(one, channel) if channel.kind == "counter" else channel

    def _counted(self, one: Interval, channel: ChannelInterval, base: ChannelInterval) -> ChannelInterval:
        """Return it with what its frames say of it: flags, gaps, mean."""
        key = one.epoch, one.start_ns
        missing = Counter(base.gaps)
        missing.subtract(_bad(self._old, one, channel.key))
        if min(missing.values(), default=0) < 0 or missing.total() != channel.expected - channel.received:
            raise IncompleteError
        gaps = missing + _bad(self._new, one, channel.key)
        good = channel.expected - gaps.total()
        if good < 0:
            raise IncompleteError
        cells = self._new.cells(one.meter, key, channel.key)
        flags = 0
        for cell in cells:
            flags |= cell.flags.get(channel.key, 0)
        more: dict[str, Any] = {}
        if channel.kind == "gauge":
            tally = tally_of(channel.key, cells)
            if cells:
                more = {"mean": tally.mean(), "low": tally.low, "high": tally.high}
        unit = self._new.facts[channel.key].unit
        return replace(channel, unit=unit, good=good, flags=flags, gaps=dict(sorted(gaps.items())), **more)

    def _bounded(self, one: Interval, channel: ChannelInterval) -> ChannelInterval:
        """Return it with its boundary readings, and the amount between them if one is another."""
        first, last = (one.epoch, one.start_ns), (one.epoch, one.end_ns)
        if not {first, last} & self._edges or channel.key not in self._new.facts:
            return channel
        opening, began = self._end(first, channel.key, channel.opening)
        closing, ended = self._end(last, channel.key, channel.closing)
        fact = self._new.facts[channel.key]
        modulus = None if fact.modulus is None else Decimal(fact.modulus)
        alike = began is None or ended is None or Decimal(began.scale) == Decimal(ended.scale)
        splits = [split for split in self._splits if split.epoch == one.epoch]
        amount = between(channel.key, opening, closing, splits, modulus, same_scale=alike)
        return replace(channel, opening=opening, closing=closing, delta=amount.delta, how=amount.how)

    def _end(self, key: Key, channel: str, was: Boundary | None) -> tuple[Boundary | None, Candidate | None]:
        """Return the reading at a boundary and what it is made of."""
        found = self._new.edges.get(key, {}).get(channel)
        if key not in self._edges:
            return was, found
        if (
            was is not None
            and was.source == "meter"
            and was.time_ns not in self._new.times.get(key, frozenset())
        ):
            raise IncompleteError
        boundary = None if found is None else found.boundary()
        if boundary is None and was is not None and was.source != "meter":
            return was, None
        return boundary, found


def _base(channel: ChannelInterval, before: Sequence[Interval]) -> ChannelInterval:
    """Return the channel as frames made it by the rule of the time: the oldest revision that had received as much."""
    for one in before:
        own = one.channel(channel.key)
        if own is not None and (own.expected, own.received) == (channel.expected, channel.received):
            return own
    return channel


def _bad(collected: Collected, one: Interval, key: str) -> Counter[Reason]:
    found: Counter[Reason] = Counter()
    for period_s, cell in sorted(collected.periods(one.meter, (one.epoch, one.start_ns)).items()):
        period_ns = max(round(period_s * NS), 1)
        due = range(-(-one.start_ns // period_ns) * period_ns, one.end_ns, period_ns)
        for reason, number in cell.bad_of(key, due):
            found[reason] += number
    return found


def by_splits(
    one: Interval,
    before: Sequence[Interval],
    splits: Sequence[Split],
    at: tuple[int, int],
    moduli: Mapping[str, str | None],
) -> Interval | None:
    """Return the next revision of an interval, made of itself and what is declared by now; None if nothing has changed.

    at: epoch and effective time of what was declared, or undone. before: its revisions, oldest first. moduli: of counters.
    """
    epoch, at_ns = at
    if one.epoch != epoch:
        return None
    own = [split for split in splits if split.epoch == epoch]
    channels = tuple(_split(channel, before, own, at_ns, moduli) for channel in one.channels)
    swaps = [split.effective_ns for split in own if split.kind == "meter_swap"]
    swapped = any(one.start_ns <= swap_ns < one.end_ns for swap_ns in swaps)
    if channels == one.channels and swapped == one.swapped:
        return None
    return replace(one, channels=channels, swapped=swapped, rev=one.rev + 1)


def _split(
    channel: ChannelInterval,
    before: Sequence[Interval],
    splits: Sequence[Split],
    at_ns: int,
    moduli: Mapping[str, str | None],
) -> ChannelInterval:
    opening, closing = channel.opening, channel.closing
    if channel.kind != "counter" or opening is None or closing is None:
        return channel
    if not opening.time_ns < at_ns <= closing.time_ns:
        return channel
    if not any(lies_between(split, opening, closing) for split in splits):
        for one in before:  # as it was before anything was declared
            own = one.channel(channel.key)
            if own and (own.opening, own.closing) == (opening, closing) and own.how != "swap":
                return replace(channel, delta=own.delta, how=own.how)
    text = moduli.get(channel.key)
    amount = between(channel.key, opening, closing, splits, None if text is None else Decimal(text))
    return replace(channel, delta=amount.delta, how=amount.how)


def with_cause(one: Interval, cause: Cause, now_ns: int) -> Interval:
    """Return a revision with why and when it was made."""
    return replace(one, cause=cause, closed_ns=now_ns)
