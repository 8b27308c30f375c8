"""Fakes for simulation tests under virtual time: a link and a sink without sockets, scripted to misbehave.

Times of troubles are monotonic seconds of the clock (0 = start of the virtual loop). Every fake remembers
what it did, so a test can compare what the gateway delivered with what the simulated meters showed.
"""

from __future__ import annotations

import asyncio
import math
import struct
from array import array
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal

from gateway.clock import sleep_for
from gateway.errors import DeviceError, LinkDown, SinkUnavailable
from gateway.interfaces import Poll, unnoticed
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Refusal, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.interfaces import Clock, Notice
    from gateway.model import Batch, Frame

LinkTrouble = Literal["dead", "slow", "garbage", "exception", "down", "hang", "deaf", "shut"]
SinkTrouble = Literal["away", "slow", "doubtful"]
Identity = tuple[str, int, int]

_MS_NS = 1_000_000
_COUNTS = 2**32


@dataclass(frozen=True, slots=True)
class Trouble:
    """One scripted fault. who: the meter it hits, "" = all of the link (or the sink itself).

    start_s, end_s: monotonic seconds, half-open. delay_s: how slow `slow` is. share: of the reads, 0..1.
    hang: a read never ends unless it is cancelled; deaf: not even then, for delay_s; shut: neither does closing.
    """

    kind: LinkTrouble | SinkTrouble
    start_s: float = 0.0
    end_s: float = math.inf
    who: str = ""
    delay_s: float = 0.0
    share: float = 1.0

    def hits(self, who: str, now_s: float, rng: Random) -> bool:
        """Return whether it applies to `who` at `now_s`; `rng` decides where share is below 1."""
        if self.who not in {"", who} or not self.start_s <= now_s < self.end_s:
            return False
        return self.share >= 1 or rng.random() < self.share


class FakeLink:
    """A link whose meters answer after a seeded latency, with the truth of every answer kept in `truth`.

    truth: (meter, time_ns) -> values in canonical units, channel order. open_count, read_count, failures:
    what the gateway did. Only one read at a time is allowed, since one task owns a link.
    """

    def __init__(
        self,
        clock: Clock,
        troubles: Iterable[Trouble] = (),
        *,
        seed: int = 1,
        latency_s: tuple[float, float] = (0.002, 0.020),
        protocols: frozenset[str] = frozenset(),
    ) -> None:
        """latency_s: shortest and longest time to an answer. protocols: those it reads, empty: any."""
        self._clock = clock
        self.troubles = list(troubles)
        self._rng = Random(seed)
        self._latency_s = latency_s
        self._protocols = protocols
        self._open = False
        self._busy = False
        self.notice: Notice = unnoticed
        self.truth: dict[tuple[str, int], tuple[float, ...]] = {}
        self.open_count = 0
        self.read_count: Counter[str] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()

    async def open(self) -> None:
        """Connect. Raises LinkDown during a `down` trouble."""
        self.open_count += 1
        await sleep_for(self._clock, self._rng.uniform(*self._latency_s))
        if self._find("", {"down"}):
            raise LinkDown("fake link: connection refused")
        self._open = True

    async def close(self) -> None:
        """Disconnect; may be called twice. Hangs during a `shut` trouble."""
        if self._find("", {"shut"}):
            await asyncio.Event().wait()
        self._open = False

    def figures(self) -> dict[str, object]:
        """Return how often each meter was read."""
        return {"reads": self.read_count.total()}

    async def read(self, poll: Poll) -> list[Sample]:
        """Return one sample of what the meter shows when its answer is complete.

        Raises DeviceError or LinkDown as scripted; RuntimeError if the caller breaks the contract.
        """
        if not self._open:
            raise RuntimeError(f"read of {poll.meter} on a link that is not open")
        if self._busy:
            raise RuntimeError(
                f"read of {poll.meter} while another read is under way: two owners of one link"
            )
        if self._protocols and poll.protocol not in self._protocols:
            raise DeviceError(f"{poll.meter}: {poll.protocol} on a link that reads others", reason="refused")
        self._busy = True
        try:
            return [await self._answer(poll)]
        finally:
            self._busy = False

    async def _answer(self, poll: Poll) -> Sample:
        self.read_count[poll.meter] += 1
        trouble = self._find(poll.meter, {"down", "dead", "slow", "garbage", "exception", "hang", "deaf"})
        kind = trouble.kind if trouble else ""
        latency_s = self._rng.uniform(*self._latency_s)
        if kind == "down":
            self._open = False
            raise LinkDown("fake link: connection reset")
        if trouble and kind in {"hang", "deaf"}:
            await self._hang(trouble)
        if trouble and kind == "slow":
            latency_s += trouble.delay_s
        if kind == "dead" or latency_s >= poll.timeout_s:
            await sleep_for(self._clock, poll.timeout_s)
            raise self._failed(poll, "timeout")
        await sleep_for(self._clock, latency_s)
        if self._find("", {"down"}):
            self._open = False
            raise LinkDown("fake link: connection reset")
        if kind in {"garbage", "exception"}:
            raise self._failed(poll, kind)
        time_ns = self._clock.wall_ns() // _MS_NS * _MS_NS
        return Sample(time_ns, None, self._shown(poll, time_ns), poll.layout.no_flags[:])

    def _shown(self, poll: Poll, time_ns: int) -> bytes:
        """Return what the meter shows now, and keep it as the truth."""
        raw, self.truth[poll.meter, time_ns] = show(poll.layout, self._clock.monotonic())
        return raw

    async def _hang(self, trouble: Trouble) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if trouble.kind == "deaf":
                await sleep_for(self._clock, trouble.delay_s)

    def _failed(self, poll: Poll, reason: str) -> DeviceError:
        self.failures[poll.meter, reason] += 1
        raw = self._rng.randbytes(9) if reason == "garbage" else b""
        return DeviceError(f"{poll.meter}: {reason}", reason=reason, raw=raw)

    def _find(self, meter: str, kinds: set[str]) -> Trouble | None:
        now_s = self._clock.monotonic()
        for trouble in self.troubles:
            if trouble.kind in kinds and trouble.hits(meter, now_s, self._rng):
                return trouble
        return None


def show(layout: Layout, now_s: float) -> tuple[bytes, tuple[float, ...]]:
    """Return the raw bytes and the values a fake meter shows at `now_s`: float32 gauges, u32 counters.

    Encodes by itself, so it can catch a decoder that is wrong. Every meter and channel has its own curve.
    """
    raw = bytearray()
    values: list[float] = []
    for i, (channel, slot) in enumerate(zip(layout.channels, layout.slots, strict=True)):
        rng = Random(f"{layout.meter}/{i}")
        part = slot.parts[0]
        scale = float(slot.coefficient)
        if channel.kind == "counter":
            start = rng.randrange(_COUNTS - 40_000, _COUNTS) if i % 2 else rng.randrange(100_000)
            count = (start + int(now_s * rng.uniform(5, 50))) % _COUNTS
            big = count.to_bytes(4, "big")
            values.append(count * scale)
        else:
            level = rng.uniform(10, 1000)
            gauge = level * (1 + 0.2 * math.sin(now_s / rng.uniform(20, 600) + i))
            big = struct.pack(">f", gauge)
            values.append(struct.unpack(">f", big)[0] * scale)
        raw += big if part.order == "ABCD" else big[2:] + big[:2]
    return bytes(raw), tuple(values)


def fake_layout(meter: str, n_channels: int, period_s: float) -> Layout:
    """Return a layout of `n_channels`: every third a u32 counter x 0.1, the others float32, half word-swapped."""
    channels: list[Channel] = []
    slots: list[Slot] = []
    for i in range(n_channels):
        if i % 3 == 2:
            channels.append(
                Channel(
                    f"counter_{i}",
                    "energy_active_import",
                    "kWh",
                    "counter",
                    modulus="429496729.6",
                    report=True,
                )
            )
            slots.append(Slot((Part("u32"),), coefficient="0.1"))
        else:
            channels.append(Channel(f"gauge_{i}", "power_active", "W", "gauge", low=-1e6, high=1e6))
            slots.append(
                Slot((Part("f32", "CDAB" if i % 2 else "ABCD"),), coefficient="1000" if i % 4 else "1")
            )
    return Layout(meter, period_s, tuple(channels), tuple(slots), profile="fake@0")


def fake_site(
    n_meters: int, n_channels: int, period_s: float, n_links: int = 1, *, timeout_s: float = 0.5
) -> dict[str, tuple[Poll, ...]]:
    """Return link id -> its polls; meters `m-001` … are dealt to links `link-1` … in turn."""
    polls: dict[str, list[Poll]] = {f"link-{n + 1}": [] for n in range(n_links)}
    for n in range(n_meters):
        layout = fake_layout(f"m-{n + 1:03d}", n_channels, period_s)
        poll = Poll(layout.meter, "fake", n // n_links + 1, layout, ("fake",) * n_channels, timeout_s)
        polls[f"link-{n % n_links + 1}"].append(poll)
    return {link: tuple(of_link) for link, of_link in polls.items()}


@dataclass(slots=True)
class Delivery:
    """One acknowledged frame as the destination holds it. backfill: it came late, after an outage."""

    identity: Identity
    values: tuple[float, ...]
    flags: tuple[int, ...]
    backfill: bool
    at_s: float


@dataclass(slots=True)
class FakeSink:
    """A destination that keeps every acknowledged frame, repeats included, in the order it took them.

    troubles: `away` (open and write refuse), `slow` (delay_s a write), `doubtful` (takes the batch, then raises:
    a lost acknowledgement). refuse: returns the reason a frame is refused for good, or "".
    """

    id: str
    clock: Clock
    troubles: list[Trouble] = field(default_factory=list)
    refuse: Callable[[Frame], str] = lambda _frame: ""
    seed: int = 1
    deliveries: list[Delivery] = field(default_factory=list)
    refused: list[tuple[Identity, str]] = field(default_factory=list)
    open_count: int = 0
    write_count: int = 0
    _open: bool = False
    _rng: Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the sink's own chance."""
        self._rng = Random(self.seed)

    async def open(self) -> None:
        """Connect. Raises SinkUnavailable while away."""
        self.open_count += 1
        await sleep_for(self.clock, 0.01)
        if self._find("away"):
            raise SinkUnavailable(f"{self.id}: away")
        self._open = True

    async def close(self) -> None:
        """Disconnect; may be called twice."""
        self._open = False

    async def write(self, batch: Batch) -> list[Refusal]:
        """Return the refused frames; the others are kept. Raises SinkUnavailable as scripted."""
        if not self._open:
            raise RuntimeError(f"write to {self.id}, which is not open")
        if not batch.frames:
            raise RuntimeError(f"an empty batch for {self.id}")
        self.write_count += 1
        slow = self._find("slow")
        await sleep_for(self.clock, 0.002 + (slow.delay_s if slow else 0.0))
        if self._find("away"):
            self._open = False
            raise SinkUnavailable(f"{self.id}: away")
        refusals = self._take(batch)
        if self._find("doubtful"):
            self._open = False
            raise SinkUnavailable(f"{self.id}: connection lost before the acknowledgement")
        return refusals

    def _take(self, batch: Batch) -> list[Refusal]:
        refusals: list[Refusal] = []
        for index, frame in enumerate(batch.frames):
            identity = (frame.layout.meter, frame.epoch, frame.time_ns)
            reason = self.refuse(frame)
            if reason:
                refusals.append(Refusal(index, reason))
                self.refused.append((identity, reason))
                continue
            self.deliveries.append(
                Delivery(
                    identity, tuple(frame.values), tuple(frame.flags), batch.backfill, self.clock.monotonic()
                )
            )
        return refusals

    def _find(self, kind: SinkTrouble) -> Trouble | None:
        now_s = self.clock.monotonic()
        for trouble in self.troubles:
            if trouble.kind == kind and trouble.hits("", now_s, self._rng):
                return trouble
        return None

    def identities(self) -> list[Identity]:
        """Return the identity of every kept frame, in order of arrival, repeats included."""
        return [delivery.identity for delivery in self.deliveries]

    def first_times(self, meter: str, *, backfill: bool = False) -> Sequence[tuple[int, int]]:
        """Return (epoch, time_ns) of a meter's first occurrences within live or within backfill, in order."""
        seen: set[Identity] = set()
        times: list[tuple[int, int]] = []
        for delivery in self.deliveries:
            if delivery.identity in seen:
                continue
            seen.add(delivery.identity)
            if delivery.identity[0] == meter and delivery.backfill == backfill:
                times.append(delivery.identity[1:])
        return times


def raw_flags(values: Iterable[int]) -> array[int]:
    """Return flags as a sample carries them."""
    return array("H", values)
