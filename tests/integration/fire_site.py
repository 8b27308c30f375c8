"""A whole gateway in this process: simulated meters, real time, real destinations; and what came to them against what it kept."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import orjson

from gateway import assembly
from gateway.app import Gateway
from gateway.backoff import Backoff
from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.feed import jws, lines
from gateway.feed.entries import Entry
from gateway.feed.recording import Message
from gateway.history.read import ReadOnlyHistory
from simulators.fakes import FakeLink
from tests.integration.listener import Listener, identity
from tests.integration.test_outage_and_kill import journaled
from tests.sim import feed_oracles
from tests.sim import site as simulated
from tests.sim.destination import Came

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.interfaces import Poll
    from gateway.model import Frame, Sample
    from tests.sim.destination import FakeDestination

METERS = 4
PERIOD_S = 0.5
ANNOUNCED = METERS + 3  # messages before the first interval: birth, each meter, events, checkpoint
TOPICS = ["emc/v1/#", "metergate/v1/#"]
INTERVALS = '[intervals]\nlength = "1s"\ngrace = "1s"\n'


class RatioLink(FakeLink):
    """A fake link whose meters hold a ratio too."""

    async def read(self, poll: Poll) -> list[Sample]:
        samples = await super().read(poll)
        if poll.layout.period_s:
            return samples
        return [sample._replace(raw=simulated.CT.to_bytes(2, "big")) for sample in samples]


@asynccontextmanager
async def running(folder: Path, sinks: str) -> AsyncIterator[Gateway]:
    """Yield a gateway that reads four meters twice a second and closes intervals of a second; stop it cleanly."""
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    (folder / "profiles" / "fake-meter.toml").write_text(simulated.profile(3))
    text = simulated.SITE + simulated.LINK.format(id="link-1", port=1502) + sinks + INTERVALS
    for n in range(METERS):
        text += simulated.METER.format(id=f"m-{n + 1:03d}", link="link-1", unit=n + 1, period_s=PERIOD_S)
    site = from_toml(text, folder / "site.toml")
    gateway = Gateway(
        site,
        assembly.library(site),
        SystemClock(),
        links=lambda _config, clock: RatioLink(clock),
        control=False,
        reraise=True,
    )
    stop, built = asyncio.Event(), asyncio.Event()
    life = asyncio.create_task(gateway.run(stop, built.set))
    waiting = asyncio.create_task(built.wait())
    await asyncio.wait([life, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for one in gateway._drained:
        one._backoff = Backoff(0.05, 0.5)  # not 30 s
    try:
        yield gateway
    finally:
        stop.set()
        await life


async def until(holds: Callable[[], bool], what: str, timeout_s: float = 25.0) -> None:
    """Return once something holds that nobody tells by an event."""
    try:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 - nobody gives an event to wait for
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s:g} s: {what}") from None


async def seconds(gateway: Gateway, count: int) -> None:
    """Return once so many further messages have been signed: about one a second."""
    wanted = max(gateway.derivation.history.seq, ANNOUNCED) + count
    await until(lambda: gateway.derivation.history.seq >= wanted, f"message {wanted} is signed")


async def caught_up(gateway: Gateway) -> None:
    """Return once every destination is up and has all but what is newest."""

    def are_up() -> bool:
        sinks = gateway.figures()["sinks"].values()
        return all(s["state"] == "up" and s["backlog"] == 0 and s["pending"] < 30 for s in sinks)

    await until(are_up, "every destination has caught up")


async def listening(port: int, id_: str = "listener") -> Listener:
    """Return who gets everything that is sent to a broker from now on."""
    listener = Listener(port, TOPICS, id_)
    assert await asyncio.to_thread(listener.ready.wait, 10)
    return listener


class Kept:
    """What a gateway that has stopped kept: frames, messages, intervals."""

    def __init__(self, folder: Path) -> None:
        with ReadOnlyHistory(folder / "history.db") as history:
            meta = history.meta()
            self.chain, self.seq = str(meta["chain"]), int(meta["seq"])
            self.entries = {entry.seq: entry for entry in history.entries(1, self.seq + 1, 1 << 40)}
            self.intervals = list(history.intervals(all_revisions=True))
        self.frames: dict[Any, Frame] = journaled(folder)
        assert self.seq > 8
        assert len({meter for meter, *_ in self.frames}) == METERS

    async def check_feed(self, listener: Listener) -> None:
        """Every message came as it was signed, in order, and a verifier finds nothing."""

        def seqs() -> set[int]:
            return {one.entry.seq for one in Seen(listener).came}

        await until(lambda: len(seqs()) >= self.seq, "every message has come")
        seen = cast("FakeDestination", Seen(listener))
        jws_by_seq = {seq: entry.jws for seq, entry in self.entries.items()}
        feed_oracles.everything(seen, jws_by_seq, self.seq, self.chain)
        feed_oracles.complete(seen, self.intervals, self.chain)
        feed_oracles.chain(seen)

    async def check_telemetry(self, listener: Listener) -> None:
        """Every frame came."""

        def came() -> set[Any]:
            suffixes = ("/telemetry", "/telemetry-backfill")
            return {identity(frame) for suffix in suffixes for frame in listener.frames(suffix)}

        await until(lambda: len(came()) >= len(self.frames), "every frame has come")
        assert came() == set(self.frames)

    def check_lines(
        self, stored: list[bytes], refused: Callable[[bytes], bool] = lambda _line: False
    ) -> None:
        """Every line of every message is stored but those the server refuses."""
        wanted: set[bytes] = set()
        for entry in self.entries.values():
            wanted |= set(lines.encode(orjson.loads(jws.parse(entry.jws).payload)).split(b"\n")) - {b""}
        own = {line for line in stored if not line.startswith(b"meter,")}
        assert own == {line for line in wanted if not refused(line)}
        assert len(own) > 10


class Seen:
    """What a listener got of the feed, as the oracles look at it."""

    def __init__(self, listener: Listener) -> None:
        self.came: list[Came] = []
        self.messages: list[Message] = []
        for topic, body in list(listener.messages):
            if not topic.startswith("emc/") or topic.endswith("/state"):
                continue
            payload = orjson.loads(jws.parse(body).payload)
            entry = Entry(int(payload["seq"]), payload["kind"], "", 0, body)
            self.came.append(Came(entry, topic.endswith("/backfill"), 0.0))
            self.messages.append(Message(topic, body, False, 0))
