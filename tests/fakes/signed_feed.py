"""A gateway's feed without a gateway: valid signed messages of every kind, in order, through the contract's models.

recording(path, 100)                    # a recording of 100 messages with a real key
feed = Feed(); feed.birth(); feed.intervals(); feed.event("meter_swap", "m-1")    # message by message
list(stream(100))                       # as `recording`, in memory
"""

from __future__ import annotations

import hashlib
from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.feed import contract
from gateway.feed.chain import Place, Sealer
from gateway.feed.keys import Key
from gateway.feed.recording import Message, Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gateway.feed.contract_values import Model
    from gateway.feed.entries import Entry

GATEWAY, REGION, ENTERPRISE = "plant-1", "440300", "91440300MA5FAKE00X"
PREFIX = "emc/v1"
CHAIN = "c0ffee0000000001"
CONFIG = 64 * "c"
ZONE = ZoneInfo("Asia/Shanghai")
BEGIN = datetime(2026, 8, 1, tzinfo=ZONE)
INTERVAL = timedelta(minutes=15)
MS = timedelta(milliseconds=1)
GRACE = timedelta(seconds=30)
METERS = ("m-1", "m-2", "m-3")
CHANNELS = ("energy_active_import", "energy_active_export", "energy_reactive_import")
ENTRIES_MAX = 10_000  # sealed last
EPOCH_START = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


def key_of(seed: str = "one", gateway: str = GATEWAY) -> Key:
    """Return a real key that is the same for the same seed."""
    return Key.of(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest()), gateway)


def text(time: datetime) -> str:
    """Return a time as messages carry it."""
    return time.isoformat(timespec="milliseconds")


def wire(message: Model) -> dict[str, Any]:
    """Return a part of a message as plain JSON values."""
    return message.model_dump(mode="json")


class Feed:
    """Seals messages one after another; `now` moves on by an interval with each `intervals`."""

    def __init__(
        self,
        key: Key | None = None,
        *,
        gateway: str = GATEWAY,
        chain: str = CHAIN,
        meters: Iterable[str] = METERS,
        channels: Iterable[str] = CHANNELS,
        begin: datetime = BEGIN,
    ) -> None:
        self.gateway, self.meters, self.channels = gateway, tuple(meters), tuple(channels)
        self.now = begin
        self.sealer = Sealer(
            key or key_of(gateway=gateway),
            gateway=gateway,
            region=REGION,
            enterprise=ENTERPRISE,
            place=Place(chain),
        )
        self.entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)

    @property
    def key(self) -> Key:
        return self.sealer.key

    def topic(self, kind: contract.Kind, subject: str = "") -> str:
        return f"{PREFIX}/{REGION}/{ENTERPRISE}/{self.gateway}/{contract.topic(kind, subject)}"

    @property
    def backfill(self) -> str:
        return f"{PREFIX}/{REGION}/{ENTERPRISE}/{self.gateway}/backfill"

    def seal(self, kind: contract.Kind, body: dict[str, Any], subject: str = "", **more: Any) -> Message:
        """Return the next message, on its topic. more: `late` (on backfill), `retain` (default: as live: not)."""
        time_ns = (self.now - EPOCH_START) // MS * 1_000_000
        clock = wire(contract.Clock(synchronised=True, offset_ms=0.4, max_error_ms=12.5))
        entry = self.sealer.seal(
            kind, subject, body, time_ns=time_ns, issued=text(self.now), clock=clock, config=CONFIG
        )
        self.entries.append(entry)
        topic = self.backfill if more.get("late") else self.topic(kind, subject)
        return Message(topic, entry.jws, bool(more.get("retain")), time_ns // 1_000_000)

    def state(self, *, online: bool = True) -> Message:
        at, seq = text(self.now), str(self.sealer.seq)
        body = contract.State(gateway=self.gateway, online=online, at=at, chain=self.sealer.chain, seq=seq)
        topic = f"{PREFIX}/{REGION}/{ENTERPRISE}/{self.gateway}/state"
        return Message(topic, orjson.dumps(wire(body)), True, (self.now - EPOCH_START) // MS)

    def birth(self, **more: Any) -> Message:
        meters = [contract.BirthMeter(id=meter, digest=self._digest(meter)) for meter in self.meters]
        cadence = contract.Cadence(interval_s=900, grace_s=30.0, day_start="00:00", month_day=1)
        body = {
            "software": "metergate 0.1.0",
            "timezone": ZONE.key,
            "key": self.key.body,
            "cadence": wire(cadence),
            "meters": [wire(meter) for meter in meters],
            "aggregates": [],
        }
        return self.seal("birth", body, **more)

    def _digest(self, meter: str) -> str:
        return hashlib.sha256(orjson.dumps(self._about(meter))).hexdigest()

    def _about(self, meter: str) -> dict[str, Any]:
        channels = [
            contract.ChannelInfo(
                key=key, quantity="active_energy", unit="kWh", ucum="kW.h", kind="counter", period_s=60.0
            )
            for key in self.channels
        ]
        return wire(
            contract.About(id=meter, name=f"Meter {meter}", energy_kind="electricity", channels=channels)
        )

    def meter(self, meter: str, **more: Any) -> Message:
        return self.seal("meter", {"about": self._about(meter)}, meter, **more)

    def interval(self, meter: str, t0: datetime, rev: int = 0, cause: str = "") -> dict[str, Any]:
        """Return one meter's interval; the same arguments give the same amounts."""
        nth = int((t0 - BEGIN) / INTERVAL)
        t1 = t0 + INTERVAL
        channels = {}
        for place, key in enumerate(self.channels):
            opening = Decimal(1000 * (place + 1)) + Decimal(nth) * Decimal("12.400")
            amount = Decimal("12.400") + rev
            channels[key] = contract.ChannelBody(
                unit="kWh",
                kind="counter",
                expected=15,
                received=14,
                good=14,
                gaps={"timeout": 1},
                opening=contract.Boundary(value=f"{opening:f}", at=text(t0 + 12 * MS)),
                closing=contract.Boundary(value=f"{opening + amount:f}", at=text(t1 + 12 * MS)),
                delta=f"{amount:f}",
                how="normal",
            )
        body = contract.IntervalBody.model_validate(
            {"meter": meter, "t0": text(t0), "t1": text(t1), "epoch": 0, "rev": rev, "cause": cause}
            | {"channels": channels}
        )
        return wire(body)

    def intervals(self, **more: Any) -> Message:
        """Return the closed interval of every meter, and move on to its end."""
        t0, self.now = self.now, self.now + INTERVAL
        return self.values([self.interval(meter, t0) for meter in self.meters], **more)

    def values(self, intervals: list[dict[str, Any]], **more: Any) -> Message:
        return self.seal("data", {"intervals": intervals, "aggregates": [], "readings": []}, **more)

    def event(
        self, kind: str, subject: str = "", detail: dict[str, Any] | None = None, **more: Any
    ) -> Message:
        body = contract.EventBody(at=text(self.now), kind=kind, subject=subject, detail=detail or {})
        return self.seal("event", {"events": [wire(body)]}, **more)

    def summary(self, **more: Any) -> Message:
        """Return the summary of the hour before now."""
        share = {
            "due": 12,
            "known": 12,
            "expected": 180,
            "received": 168,
            "good": 168,
            "gaps": {"timeout": 12},
        }
        site = contract.CompletenessBody.model_validate({"meter": None, "percent": "100.00", **share})
        body = {
            "period": "hour",
            "t0": text(self.now - timedelta(hours=1)),
            "t1": text(self.now),
            "rev": 0,
            "site": wire(site),
            "meters": [wire(site.model_copy(update={"meter": meter})) for meter in self.meters],
            "totals": [],
            "aggregates": [],
            "consistency": None,
            "part": 1,
            "parts": 1,
        }
        return self.seal("summary", body, **more)

    def checkpoint(self, **more: Any) -> Message:
        body = {"covers": str(self.sealer.seq), "head": self.sealer.head}
        return self.seal("checkpoint", body, **more)

    def rotate(self, new: Key, *, signed_by: Key | None = None, **more: Any) -> list[Message]:
        """Return the event that announces a key, signed by the old one (or `signed_by`), and the birth after it."""
        if signed_by is not None:
            self.sealer.key = signed_by
        told = self.event("key_rotated", self.gateway, {"key": new.body, "why": "yearly", "by": "li"}, **more)
        self.sealer.key = new
        return [told, self.birth(**more)]


def stream(messages: int, feed: Feed | None = None) -> Iterator[Message]:
    """Yield `messages` signed messages as a subscriber that was there from the first on gets them, and a state before them.

    Births, then intervals; an event after every 10th, a summary every hour, a checkpoint every day.
    """
    feed = feed or Feed()
    yield feed.state()
    yield from islice(_endless(feed), messages)


def _endless(feed: Feed) -> Iterator[Message]:
    yield feed.birth()
    for meter in feed.meters:
        yield feed.meter(meter)
    yield feed.event("chain_begins", feed.gateway, {"reason": "first_start"})
    nth = 0
    while True:
        nth += 1
        yield feed.intervals()
        if not nth % 10:
            yield feed.event("link_up", "line-1", {"after_s": 12.5})
        if not nth % 4:
            yield feed.summary()
        if not nth % 96:
            yield feed.checkpoint()


def recording(path: Path, messages: int, feed: Feed | None = None) -> Feed:
    """Write a valid recording of that many signed messages; return the feed, which can go on."""
    feed = feed or Feed()
    write(path, stream(messages, feed))
    return feed


def write(path: Path, messages: Iterable[Message]) -> None:
    """Write messages as a recording, as they are."""
    with Writer(path) as file:
        for message in messages:
            file.write(message)
