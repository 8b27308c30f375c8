"""What must hold of intervals and feed whatever happens: each oracle looks at a run and raises AssertionError."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gateway.feed import jws
from gateway.feed.verify import Verifier
from gateway.history.read import ReadOnlyHistory
from gateway.intervals.model import NOT_GOOD
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.feed.entries import Entry
    from gateway.intervals.model import Interval
    from gateway.model import Event
    from tests.sim.destination import FakeDestination
    from tests.sim.plant import Result

Key = tuple[str, int, int, int]  # meter, epoch, start, rev


def hold(result: Result, folder: Path, *, is_whole: bool = True, last_resorts: int = 0) -> None:
    """Every oracle. is_whole: the journal still has every frame that was ever committed, so intervals can be compared with it.

    last_resorts: how many due times may be accounted for without anything that explains them.
    """
    with ReadOnlyHistory(folder / "history.db") as history:
        intervals = list(history.intervals(all_revisions=True))
        meta = history.meta()
        seq, chain_id = int(meta.get("seq", 0)), str(meta["chain"])
        kept = {entry.seq: entry.jws for entry in history.entries(1, seq + 1, 1 << 40)}
        skipped = list(history.events(kinds=("intervals_skipped",)))
        found = history.state("intervals")["expectation"]["last_resorts"]
    assert found <= last_resorts, found
    counts(intervals)
    within_epochs(result, intervals)
    without_holes(intervals, skipped)
    shared(intervals)
    if is_whole:
        received(result, intervals)
        amounts(result, intervals)
    for destination in result.destinations.values():
        everything(destination, kept, seq, chain_id)
        complete(destination, intervals, chain_id)
        chain(destination)


def counts(intervals: list[Interval]) -> None:
    """The gaps of every channel are what was due and is not good; what is unknown is no zero."""
    for one in intervals:
        for channel in one.channels:
            assert sum(channel.gaps.values()) == channel.expected - channel.good, one
            assert 0 <= channel.good <= channel.received <= channel.expected, one
            if channel.opening is None or channel.closing is None:
                assert channel.delta is None, one


def within_epochs(result: Result, intervals: list[Interval]) -> None:
    """No interval of an epoch lies behind the step of the clock that ended it: that time never was."""
    ends = {
        int(str(e.detail["epoch"])) - 1: e.time_ns - round(float(str(e.detail["step_s"])) * NS)
        for e in result.events
        if e.kind == "clock_step"
    }
    for one in intervals:
        assert one.start_ns <= ends.get(one.epoch, one.start_ns), (one, ends)


def without_holes(intervals: list[Interval], skipped: Sequence[Event] = ()) -> None:
    """What follows an interval of a meter in an epoch begins at its end, but for stretches that were told to be skipped."""
    told = {(int(str(e.detail["from_ns"])), int(str(e.detail["to_ns"]))) for e in skipped}
    lines: dict[tuple[str, int], list[Interval]] = defaultdict(list)
    for one in newest(intervals).values():
        lines[one.meter, one.epoch].append(one)
    for line in lines.values():
        line.sort(key=lambda one: one.start_ns)
        for one, after in pairwise(line):
            hole = one.end_ns, after.start_ns
            assert hole[0] == hole[1] or hole in told, (one, after)


def newest(intervals: list[Interval]) -> dict[tuple[str, int, int], Interval]:
    """Return the newest revision of each; revisions rise by one."""
    found: dict[tuple[str, int, int], Interval] = {}
    for one in sorted(intervals, key=lambda each: each.rev):
        key = one.meter, one.epoch, one.start_ns
        assert one.rev == (found[key].rev + 1 if key in found else 0), one
        found[key] = one
    return found


def received(result: Result, intervals: list[Interval]) -> None:
    """What an interval has received is what the journal holds: one for each due time with a frame."""
    slots: dict[tuple[str, int, str], dict[int, bool]] = defaultdict(dict)
    began = {int(str(e.detail["epoch"])): e.time_ns for e in result.events if e.kind == "clock_step"}
    for frame in result.frames:
        period_ns = round(frame.layout.period_s * NS)
        slot = frame.time_ns // period_ns * period_ns
        if slot < began.get(frame.epoch, 0):
            continue  # due before the epoch began
        for channel, flags in zip(frame.layout.channels, frame.flags, strict=True):
            if channel.report:
                own = slots[frame.layout.meter, frame.epoch, channel.key]
                own[slot] = own.get(slot, False) or not flags & NOT_GOOD
    checked = 0
    for (meter, epoch, start_ns), one in newest(intervals).items():
        for told in one.channels:
            own = slots[meter, epoch, told.key]
            there = [good for slot, good in own.items() if start_ns <= slot < one.end_ns]
            assert (told.received, told.good) == (len(there), sum(there)), (one, len(there), sum(there))
            checked += len(there)
    assert checked, "nothing was compared"


def shared(intervals: list[Interval]) -> None:
    """Neighbours share the reading at their boundary."""
    found = newest(intervals)
    for (meter, epoch, _), one in found.items():
        after = found.get((meter, epoch, one.end_ns))
        for channel in one.channels:
            following = after.channel(channel.key) if after else None
            if following is not None and one.rev == 0 and after is not None and after.rev == 0:
                assert channel.closing == following.opening, (one, after)


def amounts(result: Result, intervals: list[Interval]) -> None:
    """A counter's amounts add up to last reading less first, exactly as journaled."""
    readings: dict[tuple[str, int, str], dict[int, Decimal]] = defaultdict(dict)
    for frame in result.frames:
        for i, own in enumerate(frame.layout.channels):
            if own.report and own.kind == "counter" and not frame.flags[i] & NOT_GOOD:
                value = frame.layout.exact(frame.raw, i)
                if value is not None:
                    readings[frame.layout.meter, frame.epoch, own.key][frame.time_ns] = value
    known = 0
    for one in newest(intervals).values():
        for channel in one.channels:
            read = readings[one.meter, one.epoch, channel.key]
            ends = [end for end in (channel.opening, channel.closing) if end is not None]
            assert all(read[end.time_ns] == end.reading for end in ends), one
            if channel.how == "normal":
                assert channel.delta == ends[1].reading - ends[0].reading, one
                known += 1
    assert known, "no amount is known"


def everything(destination: FakeDestination, kept: dict[int, bytes], seq: int, chain_id: str) -> None:
    """Every message of the history's chain came, as it was signed; live ones and late ones in order of seq each."""
    taken = [one for one in destination.came if chain_of(one.entry) == chain_id]
    came = {one.entry.seq: one.entry.jws for one in taken}
    assert came.keys() == set(range(1, seq + 1)), sorted(set(range(1, seq + 1)) - came.keys())[:5]
    assert all(came[number] == body for number, body in kept.items())
    for late in (False, True):
        first: dict[int, None] = dict.fromkeys(one.entry.seq for one in taken if one.late is late)
        assert list(first) == sorted(first), f"late={late}: out of order"


def complete(destination: FakeDestination, intervals: list[Interval], chain_id: str) -> None:
    """The history's chain tells every interval the history holds, every revision, with the same amounts."""
    told: dict[Key, dict[str, Any]] = {}
    for payload in payloads(destination):
        if payload["chain"] != chain_id:
            continue
        for one in payload.get("intervals", []):
            key = one["meter"], one["epoch"], iso_ns(one["t0"]), one["rev"]
            assert told.setdefault(key, one) == one
    wanted = {(one.meter, one.epoch, one.start_ns, one.rev): one for one in intervals}
    assert told.keys() == wanted.keys()
    for key, interval in wanted.items():
        for channel in interval.channels:
            text = told[key]["channels"][channel.key]["delta"]
            assert (None if text is None else Decimal(text)) == channel.delta


def chain(destination: FakeDestination) -> None:
    """Whoever listened from the start finds one whole chain, and nothing to complain of."""
    verifier = Verifier()
    for message in destination.messages:
        verifier.feed(message.topic, message.retain, message.payload)
    report = verifier.report()
    assert report["verified"], report
    assert not [one for one in report["findings"] if one["severity"] != "notice"], report["findings"][:3]


def payloads(destination: FakeDestination) -> list[dict[str, Any]]:
    """Return every message's payload once, chain after chain as they came, each in order of seq."""
    chains: dict[str, dict[int, dict[str, Any]]] = {}
    for one in destination.came:
        payload = payload_of(one.entry)
        chains.setdefault(payload["chain"], {})[one.entry.seq] = payload
    return [by_seq[seq] for by_seq in chains.values() for seq in sorted(by_seq)]


def events(destination: FakeDestination, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind the feed told, in order."""
    told = [event for payload in payloads(destination) for event in payload.get("events", [])]
    return [event for event in told if event["kind"] == kind]


def chain_of(entry: Entry) -> str:
    """Return which chain a message is of."""
    return str(payload_of(entry)["chain"])


def payload_of(entry: Entry) -> dict[str, Any]:
    """Return what a message says."""
    found: dict[str, Any] = json.loads(jws.parse(entry.jws).payload)
    return found


def iso_ns(text: str) -> int:
    """Return a time of a message in nanoseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) * (NS // 1000)


def answered(result: Result, intervals: list[Interval]) -> int:
    """What a meter answered and no interval received is `journal_dropped`, no more and no less; return how many. For runs of one epoch without kills."""
    slots: dict[str, set[int]] = defaultdict(set)
    period_ns = round(result.plan.period_s * NS)
    for link in result.links.values():
        for meter, time_ns in link.shown:
            slots[meter].add(time_ns // period_ns * period_ns)
    total = 0
    for one in newest(intervals).values():
        there = sum(one.start_ns <= slot < one.end_ns for slot in slots[one.meter])
        for channel in one.channels:
            lost = channel.gaps.get("journal_dropped", 0)
            assert there - channel.received == lost, (there, one)
            total += lost
    return total
