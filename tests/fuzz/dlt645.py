"""Malformed DL/T 645-2007 answers through `Dlt645Reader`, its codec and the real `HalfDuplexLine`.

Reference: DL/T 645-2007 part 5 as docs/decisions/0015-own-dlt645-codec.md quotes it: 68 A0..A5 68 C L DATA CS 16, data raised by
33H, CS the sum of all bytes before it. Whatever is whole by that rule, from this meter, with control 91H and the identifier
asked for (or D1H and one error byte), anywhere in the bytes that came since the request, is a lawful answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.dlt645.reader import Dlt645Reader
from drivers.identifiers import DltSource
from gateway.errors import DeviceError
from gateway.model import Flag
from simulators.virtual import VirtualClock
from tests.fuzz.line_rig import WALL_NS, FuzzPort, leaked, opened
from tests.fuzz.mutations import content, mutated
from tests.fuzz.verdict import Content, Verdict
from tests.unit.identified_rig import Notices, poll_of

if TYPE_CHECKING:
    from random import Random

    from gateway.interfaces import Poll

ADDRESSES = ("000000000001", "123456789012", "681668166816", "333333333333", "999999999999", "112233445566")
_KEYS = (
    ("voltage_ln_l1",),
    ("energy_active_import_total",),
    ("power_active_total",),
    ("voltage_ln_l1", "energy_active_import_total"),
    ("power_factor_total", "energy_active_import_peak", "frequency"),
)
_SIZES = {0x04000101: 4, 0x04000102: 3}  # the meter's date and time, which the reader asks for by itself
_RAISED = bytes((n + 0x33) % 256 for n in range(256))


def head_of(address: str) -> bytes:
    """Return 68 A0..A5 68, lowest digits first."""
    return b"\x68" + bytes(int(address[i : i + 2], 16) for i in (10, 8, 6, 4, 2, 0)) + b"\x68"


def framed(head: bytes, control: int, data: bytes) -> bytes:
    """Return a frame with its sum and end."""
    body = head + bytes((control, len(data))) + data.translate(_RAISED)
    return body + bytes((sum(body) % 256, 0x16))


def lawful(received: bytes, head: bytes, di: int, size: int) -> set[Content]:
    """Return everything that is said to this request in these bytes, wherever it begins."""
    found: set[Content] = set()
    start = received.find(head)
    while start >= 0:
        rest = received[start:]
        end = 10 + rest[9] if len(rest) > 9 else len(rest)
        if len(rest) >= end + 2 and rest[end + 1] == 0x16 and sum(rest[:end]) % 256 == rest[end]:
            data = bytes((byte - 0x33) % 256 for byte in rest[10:end])
            if rest[8] == 0x91 and data[:4] == di.to_bytes(4, "little") and len(data) == 4 + size:
                found.add(("values", data[4:]))
            if rest[8] == 0xD1 and len(data) == 1:
                found.add(("refusal", data))
        start = received.find(head, start + 1)
    return found


class Dlt645:
    """Implements `Codec`."""

    name = "dlt645"

    def __init__(self) -> None:
        self._polls = [
            poll_of("dlt645-2007", address, keys, period_s)
            for address in ADDRESSES
            for keys in _KEYS
            for period_s in (0.0, 0.0, 10.0)  # with a period the meter's clock is read too
        ]

    async def case(self, rng: Random) -> Verdict:
        """Read one poll; one of its answers is malformed, the others are right."""
        poll = rng.choice(self._polls)
        sources = [source for source in poll.sources if isinstance(source, DltSource)]
        head = head_of(str(poll.address))
        asks = len(sources) + (2 if poll.layout.period_s else 0)
        target = int(rng.random() * asks)
        raws: dict[int, bytes] = {}
        trues: dict[int, Content] = {}

        def answer(n: int, request: bytes) -> bytes:
            di = int.from_bytes(bytes((byte - 0x33) % 256 for byte in request[-6:-2]), "little")
            size = next((source.size for source in sources if source.di == di), _SIZES.get(di, 4))
            frame, trues[n] = self._right(rng, head, di, size)
            if n == target:
                frame = mutated(rng, frame, self._near(rng, head, di, size, request))
            raws[n] = frame
            return frame

        port = FuzzPort(rng, answer)
        line = await opened(rng, port)
        notices = Notices()
        reader = Dlt645Reader(line, VirtualClock(WALL_NS), "fuzz", notices)
        accepted = await self._said(reader, poll, len(sources))
        await line.close()
        return self._verdict(
            port, poll, sources, accepted, (min(target, len(port.requests) - 1), raws, trues)
        )

    def _verdict(
        self,
        port: FuzzPort,
        poll: Poll,
        sources: list[DltSource],
        accepted: list[Content | None],
        played: tuple[int, dict[int, bytes], dict[int, Content]],
    ) -> Verdict:
        target, raws, trues = played
        head = head_of(str(poll.address))
        asked = min(len(sources), len(port.requests))
        found = [lawful(port.received(n), head, sources[n].di, sources[n].size) for n in range(asked)]
        asides = [(accepted[n], found[n] if n < asked else ()) for n in range(len(sources)) if n != target]
        if target >= len(sources):  # the meter's clock: no value of a channel, only crashes and leaks count
            return Verdict(raws[target], None, None, (), asides, leaked())
        return Verdict(
            port.received(target), accepted[target], trues[target], found[target], asides, leaked()
        )

    async def _said(self, reader: Dlt645Reader, poll: Poll, channels: int) -> list[Content | None]:
        """Return what each channel was answered."""
        try:
            (sample,) = await reader.read(poll)
        except DeviceError as error:
            none: list[Content | None] = [None] * channels
            if error.code is not None:
                none[0] = ("refusal", bytes((error.code,)))
            return none
        out: list[Content | None] = []
        for i, start in enumerate(poll.layout.starts):
            value = sample.raw[start : start + poll.layout.slots[i].size]
            out.append(None if sample.flags[i] & Flag.MISSING else ("values", value))
        return out

    def _right(self, rng: Random, head: bytes, di: int, size: int) -> tuple[bytes, Content]:
        preamble = b"\xfe" * int(rng.random() * 5)
        if rng.random() < 0.08:
            code = bytes((rng.choice((1, 2, 4, 0x80, 0)),))
            return preamble + framed(head, 0xD1, code), ("refusal", code)
        value = content(rng, size)
        return preamble + framed(head, 0x91, di.to_bytes(4, "little") + value), ("values", value)

    def _near(self, rng: Random, head: bytes, di: int, size: int, request: bytes) -> list[bytes]:
        """Return frames that are whole, and of another meter, identifier, control or length; the request is one."""
        wanted, value = di.to_bytes(4, "little"), content(rng, size)
        stranger = head_of(rng.choice(ADDRESSES))
        quoted = framed(head, 0x91, wanted + value)
        near = [
            request,
            framed(head, 0x91, (di ^ 1 << int(rng.random() * 32)).to_bytes(4, "little") + value),
            framed(head, 0x91, wanted + value + b"\x00"),
            framed(head, 0x91, wanted + value[:-1]),
            framed(head, 0x91, wanted),
            framed(head, 0x91, b""),
            framed(head, 0xB1, wanted + value),
            framed(head, 0x11, wanted),
            framed(head, 0xD1, b"\x02\x00"),
            framed(head, 0xD1, b""),
            framed(head, 0x91, b"\x00\x00\x00\x00" + quoted[:200]),
        ]
        if stranger != head:
            near += [framed(stranger, 0x91, wanted + value), framed(stranger, 0xD1, b"\x02")]
        return near


def codec() -> Dlt645:
    """Return the codec under test."""
    return Dlt645()
