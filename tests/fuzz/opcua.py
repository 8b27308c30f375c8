"""Malformed OPC UA answers: chunks through the guard, values through the slot, whole answers through `OpcUaLink.read`.

asyncua decodes; what it refuses is refused, whatever it raises there must be among what the driver expects. Reference: OPC UA
Part 6, 5.2.2 (built-in types), 6.7.2 and 7.1.2 (chunks). Nothing here has a check sum (security None).
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.client.ua_client import UaClientState
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from drivers.opcua import slot
from drivers.opcua.driver import OpcUaLink
from drivers.opcua.faults import GARBLED
from drivers.opcua.guard import Guard
from gateway.errors import DeviceError, LinkDown
from simulators.virtual import VirtualClock
from tests.contract.opcua_server import poll_of
from tests.fuzz import opcua_bytes as wire
from tests.fuzz.line_rig import WALL_NS, leaked
from tests.fuzz.modbus_tcp import FakeTransport
from tests.fuzz.mutations import mutated, pieces
from tests.fuzz.verdict import Content, Verdict

if TYPE_CHECKING:
    from random import Random

SLOT = struct.Struct(">c8sIq")


class _Inner(asyncio.Protocol):
    def __init__(self) -> None:
        self.got = b""

    def data_received(self, data: bytes) -> None:
        self.got += data


class _Peer(FakeTransport):
    """Answers each request with bytes in pieces; closes the connection when the guard or asyncua wants it closed."""

    def __init__(self, rng: Random, answers: list[bytes], *, hangs_up: bool) -> None:
        super().__init__()
        self._rng, self._answers, self._hangs_up = rng, answers, hangs_up
        self.guard: Guard
        self.over = False

    def write(self, data: Any) -> None:
        loop, delay_s = asyncio.get_running_loop(), 0.01
        for piece in pieces(self._rng, self._answers.pop(0)):
            loop.call_later(delay_s, self._come, piece)
            delay_s += 0.01
        if self._hangs_up and not self._answers:
            loop.call_later(delay_s, self.end)

    def _come(self, raw: bytes) -> None:
        if not self.over:
            self.guard.data_received(raw)
            if self.aborted:
                self.end()

    def end(self) -> None:
        if not self.over:
            self.over = True
            self.guard.connection_lost(None)


class OpcUa:
    """Implements `Codec`."""

    name = "opcua"

    def __init__(self) -> None:
        self._polls = [
            poll_of(*(f"ns=2;i={n}" for n in range(count)), timeout_s=0.5) for count in (1, 1, 2, 3)
        ]
        clock = VirtualClock(WALL_NS)
        self._link = OpcUaLink("opc.tcp://127.0.0.1:4840", timeout_s=0.5, clock=clock, name="fuzz")
        self._client, guarded = self._link._new_client()
        self._make = guarded._make  # asyncua's own protocol, below the guard

    async def case(self, rng: Random) -> Verdict:
        draw = rng.random()
        if draw < 0.35:
            return self._chunks(rng)
        return self._value(rng) if draw < 0.7 else await self._answer(rng)

    def _chunks(self, rng: Random) -> Verdict:
        """Feed chunks to the guard; it must pass on exactly the whole ones, and stop at the first that cannot be right."""
        right = [wire.any_chunk(rng) for _ in range(rng.choice((1, 1, 2, 4)))]
        if rng.random() < 0.02:
            right += [wire.chunk(b"MSG", b"C", b"")] * rng.choice((254, 255, 256, 300))
        stream = b"".join(right)
        raw = mutated(rng, stream, [wire.any_chunk(rng), wire.huge(rng), wire.any_chunk(rng)])
        inner, transport = _Inner(), FakeTransport()
        guard = Guard(inner)
        guard.connection_made(transport)
        for piece in pieces(rng, raw):
            guard.data_received(piece)
        guard.connection_lost(None)
        ends, fault = wire.whole(raw)
        lawful = {("values", raw[:end]) for end in ends} if fault else {("values", raw[: ends[-1]])}
        if transport.aborted != fault or bool(guard.fault) != fault:
            lawful = set()
        accepted: Content = ("values", inner.got)
        return Verdict(raw, accepted if inner.got or not lawful else None, ("values", stream), lawful)

    def _value(self, rng: Random) -> Verdict:
        """Decode one value as asyncua does and pack it as the driver does."""
        right = wire.any_value(rng)
        raw = mutated(rng, right, [wire.any_value(rng), wire.any_value(rng)])
        try:
            answer = struct_from_binary(ua.DataValue, Buffer(raw))
        except GARBLED:
            return Verdict(raw, None, None, ())
        status = 0 if answer.StatusCode is None else answer.StatusCode.value
        variant = answer.Value or ua.Variant()
        packed = slot.pack(
            variant.VariantType, variant.Value, status, slot.nanoseconds(answer.SourceTimestamp)
        )
        slot.judge(packed, status, 0, 1)
        slot.overflowed(status)
        if packed[:1] == slot.NONE:
            return Verdict(raw, None, None, ())
        lawful = wire.number(raw)
        accepted = ("values", *SLOT.unpack(wire.quiet(packed)))
        return Verdict(raw, accepted, wire.number(right), {lawful} if lawful else ())

    async def _answer(self, rng: Random) -> Verdict:
        """Read through the link on a connection whose server answers a Read badly, now and then after a late one."""
        poll = rng.choice(self._polls)
        count = len(poll.sources)
        late = [wire.read_response(rng, 1, count)] if rng.random() < 0.2 else []
        number = 1 + len(late)
        right = wire.read_response(rng, number, count)
        near = [wire.read_response(rng, number, n) for n in (0, count + 1)]
        near += [wire.read_response(rng, number + 1, count), wire.fault(number, rng), wire.any_chunk(rng)]
        raw = mutated(rng, right, near + 4 * late)
        peer = _Peer(rng, [b""] * len(late) + [raw], hangs_up=rng.random() < 0.5)
        inner = self._make()
        peer.guard = Guard(inner)
        peer.guard.connection_made(peer)
        self._client.uaclient._set_state(UaClientState.CONNECTED)
        self._link._client, self._link._lost = self._client, False
        if late and await self._said(poll) is not None:
            raise AssertionError("answered without an answer")
        accepted = await self._said(poll)
        peer.end()
        await asyncio.sleep(0.1)
        body = wire.body_of(raw, number)
        lawful = {("values", wire.slots_of(right, count))} if right in raw else set()
        if accepted is not None and wire.said_in(body, accepted[1]):
            lawful.add(accepted)
        return Verdict(raw, accepted, ("values", wire.slots_of(right, count)), lawful, leaked=leaked())

    async def _said(self, poll: Any) -> tuple[str, bytes] | None:
        try:
            (sample,) = await self._link.read(poll)
        except (DeviceError, LinkDown):
            return None
        if sample.raw.count(b"\0" * 13) and all(
            sample.raw[i : i + 1] == slot.NONE for i in range(0, len(sample.raw), SLOT.size)
        ):
            return None
        return ("values", sample.raw)


def codec() -> OpcUa:
    """Return the codec under test."""
    return OpcUa()
