"""Malformed Modbus TCP answers through the real `Stream`.

Reference: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 and Application Protocol V1.1b3, 4.1, 6.1-6.4: frames
follow each other without a gap, each as long as its header says; protocol 0; an answer repeats transaction, unit and
function. There is no check sum: a disturbed value in a frame that fits is lawful.
"""

from __future__ import annotations

import asyncio
import struct
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from drivers.failures import NoAnswer, RequestFailed
from drivers.modbus.framing import Ask, tcp_ask
from drivers.modbus.pdu import ExceptionAnswer
from drivers.modbus.stats import LinkStats
from drivers.modbus.stream import Stream
from gateway.errors import LinkDown
from tests.fuzz.line_rig import leaked
from tests.fuzz.mutations import content, mutated, pieces
from tests.fuzz.verdict import Content, Verdict

if TYPE_CHECKING:
    from drivers.modbus.stream import Answer

TIMEOUT_S = 1.0
_ASKS = 300


class _Socket:
    def setsockopt(self, *_: int) -> None:
        return


class FakeTransport(asyncio.Transport):
    """Keeps what is written; `abort` tells the protocol only when `lose` is called, as a loop would do later."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.aborted = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket() if name == "socket" else default

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


class _Asked(NamedTuple):
    ask: Ask
    transaction: int
    future: asyncio.Future[Answer]


def size_of(function: int, count: int) -> int:
    """Return the byte count of the right answer. Source: V1.1b3, 6.1-6.4."""
    return -(-count // 8) if function < 3 else 2 * count


def framed(transaction: int, unit: int, pdu: bytes, protocol: int = 0, length: int | None = None) -> bytes:
    """Return a frame as the header of the guide says."""
    return struct.pack(">HHHB", transaction, protocol, 1 + len(pdu) if length is None else length, unit) + pdu


def lawful(received: bytes, ask: Ask, transaction: int) -> set[Content]:
    """Return what the first frame of this transaction says, if it answers this request in every field."""
    at = 0
    while at + 8 <= len(received):
        number, protocol, length, unit = struct.unpack_from(">HHHB", received, at)
        end = at + 6 + length
        if protocol or not 3 <= length <= 254 or end > len(received):
            break
        pdu = received[at + 7 : end]
        if number == transaction:
            if unit != ask.unit:
                return set()
            if (
                pdu[0] == ask.function
                and len(pdu) == 2 + pdu[1]
                and pdu[1] == size_of(ask.function, ask.count)
            ):
                return {("values", pdu[2:])}
            return {("refusal", pdu[1:])} if pdu[0] == ask.function + 128 and len(pdu) == 2 else set()
        at = end
    return set()


def said(future: asyncio.Future[Answer]) -> Content | None:
    """Return what a request was answered, None if it was not. Raises whatever is no ordinary failure."""
    if future.cancelled():
        return None
    try:
        return ("values", future.result()[1])
    except ExceptionAnswer as error:
        return ("refusal", bytes((error.code,)))
    except (RequestFailed, LinkDown):
        return None


class ModbusTcp:
    """Implements `Codec`."""

    name = "modbus-tcp"

    def __init__(self) -> None:
        rng = Random(1)
        self._asks = []
        for _ in range(_ASKS):
            function = rng.choice((1, 2, 3, 3, 3, 4))
            count = rng.choice((1, 2, 2, 4, 10, rng.randrange(1, 126)))
            self._asks.append(tcp_ask(rng.randrange(256), function, rng.randrange(65_000), count))

    async def case(self, rng: Random) -> Verdict:
        transport = FakeTransport()
        last = rng.choice((0, 1, 65_534, 65_535, int(rng.random() * 65_536)))
        stream = Stream(LinkStats(), lambda: 0, lambda *_: None, last_transaction=last)
        stream.connection_made(transport)
        asked = []
        late = rng.random()
        if late < 0.25:
            asked.append(self._ask(rng, stream))
            await self._give_up(stream, asked[0], expire=late < 0.05)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            asked.append(self._ask(rng, stream))
        return await self._answered(rng, stream, transport, asked)

    def _ask(self, rng: Random, stream: Stream) -> _Asked:
        ask = rng.choice(self._asks)
        future = stream.request(ask, TIMEOUT_S)
        return _Asked(ask, stream.transaction, future)

    async def _give_up(self, stream: Stream, asked: _Asked, *, expire: bool) -> None:
        if not expire:
            asked.future.cancel()
            return
        try:
            await asked.future
        except NoAnswer:
            return
        raise AssertionError("answered without an answer")

    async def _answered(
        self, rng: Random, stream: Stream, transport: FakeTransport, asked: list[_Asked]
    ) -> Verdict:
        target = asked[-1]
        answers = {one.transaction: self._right(rng, one) for one in asked}
        others = [frame for number, (frame, _) in answers.items() if number != target.transaction]
        others += self._near(rng, target)
        frame, true = answers[target.transaction]
        parts = [frame for number, (frame, _) in answers.items() if number != target.transaction]
        parts.append(mutated(rng, frame, others))
        rng.shuffle(parts)
        raw = b"".join(parts)
        for piece in pieces(rng, raw):
            if stream.lost is not None:
                break  # aborted: the loop hands over nothing any more
            self._deliver(stream, piece)
        await self._end(rng, stream, [one.future for one in asked])
        asides = [(said(one.future), lawful(raw, one.ask, one.transaction)) for one in asked[:-1]]
        left = sum(not one.future.done() for one in asked) + (stream._timer is not None)
        left += leaked()
        return Verdict(
            raw, said(target.future), true, lawful(raw, target.ask, target.transaction), asides, left
        )

    def _deliver(self, stream: Stream, raw: bytes) -> None:
        while raw and stream.lost is None:
            buffer = stream.get_buffer(-1)
            size = min(len(raw), len(buffer))
            if not size:
                raise AssertionError("no room in the buffer")
            buffer[:size] = raw[:size]
            stream.buffer_updated(size)
            raw = raw[size:]

    async def _end(self, rng: Random, stream: Stream, futures: list[asyncio.Future[Answer]]) -> None:
        """Let the time run out, or the peer close the connection."""
        if rng.random() < 0.1 and any(not future.done() for future in futures):
            await asyncio.wait(futures)
        stream.connection_lost(None)

    def _right(self, rng: Random, asked: _Asked) -> tuple[bytes, Content]:
        ask = asked.ask
        if rng.random() < 0.1:
            code = bytes((rng.choice((1, 2, 3, 4, 6, 10, 11, 0, 255)),))
            return framed(asked.transaction, ask.unit, bytes((ask.function | 0x80,)) + code), (
                "refusal",
                code,
            )
        values = content(rng, size_of(ask.function, ask.count))
        pdu = bytes((ask.function, len(values))) + values
        return framed(asked.transaction, ask.unit, pdu), ("values", values)

    def _near(self, rng: Random, asked: _Asked) -> list[bytes]:
        """Return frames that are whole, and wrong in one field each."""
        ask, number = asked.ask, asked.transaction
        size = size_of(ask.function, ask.count)
        values = rng.randbytes(size)
        pdu = bytes((ask.function, size)) + values
        other = ask.function % 4 + 1
        return [
            framed(number ^ 1 << int(rng.random() * 16), ask.unit, pdu),
            framed(0, ask.unit, pdu),
            framed(number, (ask.unit + 1) % 256, pdu),
            framed(number, ask.unit, bytes((other,)) + pdu[1:]),
            framed(number, ask.unit, bytes((ask.function, size)) + values[:-1]),
            framed(number, ask.unit, bytes((ask.function, (size + 2) % 256)) + values),
            framed(number, ask.unit, pdu, protocol=1),
            framed(number, ask.unit, pdu, length=len(pdu)),
            framed(number, ask.unit, pdu, length=int(rng.random() * 65_536)),
            framed(number, ask.unit, bytes((other | 0x80, 2))),
            framed(number, ask.unit, bytes((ask.function | 0x80, 2, 0))),
        ]


def codec() -> ModbusTcp:
    """Return the codec under test."""
    return ModbusTcp()
