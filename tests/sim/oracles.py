"""What must hold whatever happens: each oracle looks at a run and raises AssertionError."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from gateway.model import Flag
from gateway.polling.trial import METER_PAUSE_MAX_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sim.plant import Result

Identity = tuple[str, int, int]
WAITING_BYTES_MAX = 2_000_000
TAIL_BYTES_MAX = 17 << 20
NO_VALUE = int(Flag.MISSING | Flag.COMMS | Flag.DEVICE | Flag.SENTINEL)


def conservation(result: Result) -> None:
    """Every reading journaled is delivered, refused, pending or counted as missed, for each sink; none is lost else."""
    assert result.journaled + result.unstored + result.uncommitted == result.recorded
    if not result.dropped:
        assert len(result.frames) * result.plan.channels == result.journaled
    for id_, account in result.accounts.items():
        told = account.delivered + account.refused + account.missed + account.pending
        assert told == result.journaled, f"{id_}: {account} of {result.journaled}"
        sink = result.sinks[id_]
        kept = {delivery.identity for delivery in sink.deliveries} | {
            identity for identity, _ in sink.refused
        }
        if account.missed == account.pending == result.dropped == 0:
            journaled = {(frame.layout.meter, frame.epoch, frame.time_ns) for frame in result.frames}
            assert journaled <= kept, f"{id_}: {len(journaled - kept)} frames never arrived"
        readings = len(kept) * result.plan.channels
        assert readings >= account.delivered + account.refused, f"{id_}: acknowledged more than it holds"


def identity(result: Result) -> None:
    """No two frames share (meter, epoch, time_ns); what arrives twice is the same twice."""
    counts = Counter((frame.layout.meter, frame.epoch, frame.time_ns) for frame in result.frames)
    assert all(count == 1 for count in counts.values()), counts.most_common(3)
    for sink in result.sinks.values():
        seen: dict[Identity, tuple[str, str]] = {}
        for delivery in sink.deliveries:
            told = (repr(delivery.values), repr(delivery.flags))  # repr: NaN equals NaN
            assert seen.setdefault(delivery.identity, told) == told, delivery.identity


def order(result: Result) -> None:
    """A meter's frames are journaled in rising (epoch, time); so are first occurrences within live and within backfill.

    Within backfill that holds for each life of the gateway; ranges never interleave.
    """
    journaled: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for frame in result.frames:
        journaled[frame.layout.meter].append((frame.epoch, frame.time_ns))
    for meter, times in journaled.items():
        assert rising(times), f"{meter}: journaled out of order"
    for id_, sink in result.sinks.items():
        for meter in chain.from_iterable(result.meters.values()):
            for late in (False, True):
                assert rising(sink.first_times(meter, backfill=late)), f"{id_}: {meter} out of order"


def rising(times: Iterable[tuple[int, int]]) -> bool:
    """Return whether each is later than the one before."""
    times = list(times)
    return all(a < b for a, b in pairwise(times))


def truth(result: Result) -> None:
    """Every unflagged value delivered is what the fake meter showed at that moment; a doubt never changes one."""
    shown: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for link in result.links.values():
        shown |= link.shown
    checked = unknown = 0
    for sink in result.sinks.values():
        for delivery in sink.deliveries:
            meter, _, time_ns = delivery.identity
            answers = shown.get((meter, time_ns))
            if answers is None:  # the gateway made the time unique after a small step back
                unknown += 1
                continue
            told = [(i, value) for i, value in enumerate(delivery.values) if not delivery.flags[i] & NO_VALUE]
            checked += len(told)
            assert any(
                all(abs(value - answer[i]) <= 1e-9 * abs(answer[i]) for i, value in told)
                for answer in answers
            ), (delivery.identity, told[:3], answers)
    assert checked, "nothing was compared"
    steps = sum(act.kind == "step" for act in result.plan.acts)
    at_most = steps * sum(map(len, result.meters.values())) * len(result.sinks)
    assert unknown <= at_most, f"{unknown} frames have times at which no meter was read"


def bounded(result: Result) -> None:
    """What waits in memory stays within its bounds all the time."""
    for figures in result.figures:
        assert figures.waiting_bytes <= WAITING_BYTES_MAX, figures
        assert figures.tail_bytes <= TAIL_BYTES_MAX, figures


def liveness(result: Result) -> None:
    """After the last fault everything is delivered, and every meter of the site is read again."""
    last = result.figures[-1]
    limit = 2 * result.plan.meters * result.plan.channels
    for id_, pending in last.pending.items():
        assert pending <= limit, f"{id_}: {pending} readings still pending at {last.at_s} s"
    for id_, link in result.links.items():
        newest = dict(link.reads)
        for meter in result.meters[id_]:
            quiet_s = result.plan.until_s - newest.get(meter, -math.inf)
            assert quiet_s <= METER_PAUSE_MAX_S + 2 * result.plan.period_s, (
                f"{meter}: not read for {quiet_s} s"
            )


def quiet_logs(result: Result) -> None:
    """A link, meter or sink that goes down is told once, and once that it is back."""
    pairs = (
        ("link down", "link up", "link"),
        ("meter off", "meter answers again", "meter"),
        ("channels off", "channels answer again", "meter"),
        ("sink down; readings wait in the journal", "sink up", "sink"),
    )
    for down, up, who in pairs:
        states: dict[str, bool] = {}
        for entry in result.logs:
            if entry["event"] == "gateway runs":  # a new life tells again what is up and what is down
                states.clear()
            if entry["event"] not in {down, up}:
                continue
            is_up = entry["event"] == up
            name = entry[who]
            assert states.get(name) is not is_up, f"{name}: {entry['event']} twice in a row"
            states[name] = is_up


def rate(result: Result, *, except_meters: Iterable[str]) -> None:
    """In a run without restarts, links down or clock steps every other meter is polled whenever it is due."""
    due = int((result.plan.until_s - 1) // result.plan.period_s)
    for id_, link in result.links.items():
        polls = Counter(meter for meter, at_s in link.reads if at_s < result.plan.until_s - 1)
        for meter in set(result.meters[id_]) - set(except_meters):
            assert polls[meter] == due, f"{meter}: polled {polls[meter]} of {due} times"


def isolation(
    result: Result, calm: Result, *, except_links: Iterable[str] = (), except_meters: Iterable[str] = ()
) -> None:
    """Links without trouble poll at bit-identical times as in a calm run."""
    skipped = set(except_meters)
    for id_, link in result.links.items():
        if id_ in set(except_links):
            continue
        here = [read for read in link.reads if read[0] not in skipped]
        there = [read for read in calm.links[id_].reads if read[0] not in skipped]
        assert here == there, f"{id_}: poll times differ"


ALWAYS = (conservation, identity, order, truth, bounded, liveness, quiet_logs)


def hold(result: Result) -> None:
    """Ask every oracle that needs no second run."""
    for oracle in ALWAYS:
        oracle(result)
