"""Malformed Modbus RTU answers through `RtuAsk.find` and the real `HalfDuplexLine`.

Reference: MODBUS over Serial Line V1.02, 2.5.1, 6.2.2: unit, function, byte count or exception code, CRC-16 low byte first.
Whatever has all of that right, anywhere in the bytes that came since the request, is a lawful answer.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from drivers.failures import InDoubt, NoAnswer
from drivers.modbus.pdu import ExceptionAnswer
from drivers.modbus.rtu import RtuAsk
from tests.fuzz.line_rig import TIMEOUT_S, FuzzPort, leaked, opened
from tests.fuzz.modbus_tcp import size_of
from tests.fuzz.mutations import content, mutated
from tests.fuzz.verdict import Content, Verdict

if TYPE_CHECKING:
    from drivers.lines.line import HalfDuplexLine


def _halves() -> tuple[int, ...]:
    """Return the CRC of each half byte, another way than the driver's: polynomial A001h (V1.02, 6.2.2)."""
    table = []
    for n in range(16):
        crc = n
        for _ in range(4):
            crc = crc >> 1 ^ 0xA001 * (crc & 1)
        table.append(crc)
    return tuple(table)


_HALVES = _halves()
_ASKS = 300


def check_bytes(body: bytes) -> bytes:
    """Return the CRC as the wire carries it."""
    crc = 0xFFFF
    for byte in body:
        crc = crc >> 4 ^ _HALVES[(crc ^ byte) & 15]
        crc = crc >> 4 ^ _HALVES[(crc ^ byte >> 4) & 15]
    return bytes((crc & 0xFF, crc >> 8))


def framed(*parts: bytes | int) -> bytes:
    """Return a frame with its check bytes."""
    body = b"".join(bytes((part,)) if isinstance(part, int) else part for part in parts)
    return body + check_bytes(body)


def lawful(received: bytes, ask: RtuAsk) -> set[Content]:
    """Return everything that is said to this request in these bytes, wherever it begins."""
    size = size_of(ask.function, ask.count)
    found: set[Content] = set()
    start = received.find(ask.unit)
    while start >= 0:
        head = received[start + 1 : start + 3]
        length = 0
        if head == bytes((ask.function, size)):
            length = 5 + size
        elif head[:1] == bytes((ask.function + 128,)):
            length = 5
        frame = received[start : start + length]
        if length and len(frame) == length and check_bytes(frame[:-2]) == frame[-2:]:
            found.add(("refusal", frame[2:3]) if frame[1] > 127 else ("values", frame[3:-2]))
        start = received.find(ask.unit, start + 1)
    return found


class ModbusRtu:
    """Implements `Codec`."""

    name = "modbus-rtu"

    def __init__(self) -> None:
        rng = Random(2)
        self._asks = []
        for _ in range(_ASKS):
            function = rng.choice((1, 2, 3, 3, 3, 4))
            count = rng.choice((1, 2, 2, 4, 10, rng.randrange(1, 126)))
            self._asks.append(RtuAsk(rng.randrange(1, 248), function, rng.randrange(60_000), count))

    async def case(self, rng: Random) -> Verdict:
        """Ask once; in a quarter of the cases after a request that was given up, whose answer then comes late."""
        ask = rng.choice(self._asks)
        frame, true = self._right(rng, ask)
        earlier: RtuAsk | None = None
        late: Content | None = None
        others = self._near(rng, ask)
        if rng.random() < 0.25:
            count = ask.count if rng.random() < 0.3 else ask.count % 125 + 1
            earlier = RtuAsk(ask.unit, ask.function, (ask.address + 300) % 60_000, count)
            late_frame, late = self._right(rng, earlier)
            others += [late_frame] * 6
        stale = (
            rng.choice(others) if rng.random() < 0.1 else b""
        )  # from before the request: nobody waits for it
        if earlier is not None and lawful(stale, earlier):
            others = [
                other for other in others if other != late_frame
            ]  # its answer has come, as far as anybody can tell
        broken = mutated(
            rng, frame, [other for other in others if other != stale]
        )  # nothing comes late twice
        port = FuzzPort(rng, lambda n, _: b"" if earlier and n == 0 else broken)
        line = await opened(rng, port)
        if earlier is not None:
            await self._silent(line, earlier)
        if stale:
            port.come(stale)
        accepted = await self._said(line, ask)
        received = port.received(len(port.requests) - 1)
        await line.close()
        if earlier and len(port.requests) == 1 and accepted is not None:
            received = b""  # it was not sent, so nothing answers it
        said = lawful(received, ask)
        if (
            earlier is not None
            and late is not None
            and late != true
            and not lawful(received, earlier) - {late}
        ):
            said.discard(
                late
            )  # that was said to another request; unless another frame passed for its answer before
        return Verdict(received or broken, accepted, true, said, leaked=leaked())

    async def _silent(self, line: HalfDuplexLine, ask: RtuAsk) -> None:
        try:
            await line.ask(ask, TIMEOUT_S)
        except NoAnswer:
            return
        raise AssertionError("answered without an answer")

    async def _said(self, line: HalfDuplexLine, ask: RtuAsk) -> Content | None:
        try:
            _, frame = await line.ask(ask, TIMEOUT_S)
            return ("values", ask.values(frame))
        except ExceptionAnswer as error:
            return ("refusal", bytes((error.code,)))
        except InDoubt:
            return None
        except NoAnswer as error:
            ask.why(error.raw)
            return None

    def _right(self, rng: Random, ask: RtuAsk) -> tuple[bytes, Content]:
        if rng.random() < 0.1:
            code = bytes((rng.choice((1, 2, 3, 4, 6, 10, 11, 0, 255)),))
            return framed(ask.unit, ask.function | 0x80, code), ("refusal", code)
        values = content(rng, size_of(ask.function, ask.count))
        return framed(ask.unit, ask.function, len(values), values), ("values", values)

    def _near(self, rng: Random, ask: RtuAsk) -> list[bytes]:
        """Return frames that are whole, and of another unit, function or length; the request itself is one of them."""
        size = size_of(ask.function, ask.count)
        values, other = rng.randbytes(size), ask.function % 4 + 1
        quoted = framed(ask.unit, ask.function, size, values)
        return [
            ask.request,
            framed(ask.unit % 247 + 1, ask.function, size, values),
            framed(ask.unit, other, size, values),
            framed(ask.unit, ask.function, (size + 2) % 251, rng.randbytes((size + 2) % 251)),
            framed(ask.unit, ask.function, size, values[:-1]),
            framed(ask.unit % 247 + 1, ask.function | 0x80, 2),
            framed(ask.unit, other | 0x80, 2),
            framed(0, 6, values[:1] * 4),
            framed(ask.unit % 247 + 1, 3, min(250, len(quoted)), quoted[:250]),
        ]


def codec() -> ModbusRtu:
    """Return the codec under test."""
    return ModbusRtu()
