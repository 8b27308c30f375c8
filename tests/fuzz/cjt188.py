"""Malformed CJ/T 188 answers through `Cjt188Reader`, its codec and the real `HalfDuplexLine`.

Reference: CJ/T 188-2004 part 6 as docs/decisions/0015-own-dlt645-codec.md quotes it: 68 T A0..A6 C L DATA CS 16, CS the sum of
all bytes before it. Whatever is whole by that rule, from this meter and type, with control 81H, the identifier asked for in
either byte order and the request's serial number (or C1H), anywhere in the bytes that came since the request, is lawful.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.cjt188.reader import Cjt188Reader
from drivers.identifiers import CjtSettings, CjtSource
from gateway.errors import DeviceError
from simulators.virtual import VirtualClock
from tests.fuzz.line_rig import WALL_NS, FuzzPort, leaked, opened
from tests.fuzz.mutations import content, mutated
from tests.fuzz.verdict import Content, Verdict
from tests.unit.identified_rig import LIBRARY, Notices, poll_of

if TYPE_CHECKING:
    from random import Random

    from gateway.interfaces import Poll

ADDRESSES = ("00000012345678", "16681668166816", "99999999999999", "10203040506070")
PROFILES = ("cjt188-water", "cjt188-heat", "cjt188-gas")
_CLOCKS = (
    "00000001010100", "59595931129999", "00000001010000", "31012211051520", "00000029020020", "ffffffffffffff",
)  # fmt: skip


def head_of(meter_type: int, address: str) -> bytes:
    """Return 68 T A0..A6, lowest digits first."""
    return bytes((0x68, meter_type)) + bytes(int(address[i : i + 2], 16) for i in range(12, -1, -2))


def framed(head: bytes, control: int, data: bytes) -> bytes:
    """Return a frame with its sum and end."""
    body = head + bytes((control, len(data))) + data
    return body + bytes((sum(body) % 256, 0x16))


def fields(received: bytes, head: bytes, request: bytes, settings: CjtSettings) -> set[Content]:
    """Return the data field of everything that is said to this request in these bytes, wherever it begins."""
    found: set[Content] = set()
    high, low, ser = request[-5], request[-4], request[-3]
    start = received.find(head)
    while start >= 0:
        rest = received[start:]
        end = 11 + rest[10] if len(rest) > 10 else len(rest)
        if len(rest) >= end + 2 and rest[end + 1] == 0x16 and sum(rest[:end]) % 256 == rest[end]:
            data = rest[11:end]
            ours = data[:2] in (bytes((high, low)), bytes((low, high))) and len(data) in settings.lengths
            if rest[9] == 0x81 and ours and (data[2] == ser or not settings.echoes_ser):
                found.add(("values", data))
            if rest[9] == 0xC1:
                found.add(("refusal",))
        start = received.find(head, start + 1)
    return found


def shown(field: Content, sources: list[CjtSource]) -> Content:
    """Return what each channel shows of a data field: None where it is too short or has another unit."""
    data = field[1] if field[0] == "values" else b""
    if not isinstance(data, bytes) or not data:
        return field
    values = []
    for source in sources:
        value = data[source.at : source.at + source.size]
        unit = data[source.unit_at : source.unit_at + 1] if source.unit_at >= 0 else b""
        same = source.unit_at < 0 or unit == bytes((source.unit_code,))
        values.append(value if len(value) == source.size and same else None)
    return ("values", *values)


class Cjt188:
    """Implements `Codec`."""

    name = "cjt188"

    def __init__(self) -> None:
        self._polls = [
            poll_of(profile, address, tuple(LIBRARY.get(profile).keys())[:n])
            for profile in PROFILES
            for address in ADDRESSES
            for n in (1, 3, 20)
        ]

    async def case(self, rng: Random) -> Verdict:
        """Read one poll; in a quarter of the cases after one that was given up, whose answer then comes late."""
        poll = rng.choice(self._polls)
        settings = poll.settings
        assert isinstance(settings, CjtSettings)
        sources = [source for source in poll.sources if isinstance(source, CjtSource)]
        head = head_of(settings.meter_type, str(poll.address))
        late = rng.random() < 0.25
        silent: list[bytes] = []
        trues: list[Content] = []

        def answer(n: int, request: bytes) -> bytes:
            frame, true = self._right(rng, poll, sources, settings, request)
            if late and n == 0:
                silent.append(frame)
                return b""
            trues.append(true)
            return mutated(rng, frame, silent * 6 + self._near(rng, head, settings, request))

        port = FuzzPort(rng, answer)
        line = await opened(rng, port)
        reader = Cjt188Reader(line, VirtualClock(WALL_NS), "fuzz", Notices())
        if late and await self._said(reader, poll) is not None:
            raise AssertionError("answered without an answer")
        accepted = await self._said(reader, poll)
        await line.close()
        if not trues:  # in doubt: not sent
            return Verdict(b"", accepted, None, (), leaked=leaked())
        received = port.received(len(port.requests) - 1)
        found = fields(received, head, port.requests[-1], settings)
        return Verdict(
            received,
            accepted,
            shown(trues[0], sources),
            {shown(field, sources) for field in found},
            leaked=leaked(),
        )

    async def _said(self, reader: Cjt188Reader, poll: Poll) -> Content | None:
        try:
            (sample,) = await reader.read(poll)
        except DeviceError as error:
            return ("refusal",) if error.reason == "exception" else None
        values = []
        for i, start in enumerate(poll.layout.starts):
            value = sample.raw[start : start + poll.layout.slots[i].size]
            values.append(None if sample.flags[i] else value)
        return ("values", *values)

    def _right(
        self, rng: Random, poll: Poll, sources: list[CjtSource], settings: CjtSettings, request: bytes
    ) -> tuple[bytes, Content]:
        head = head_of(settings.meter_type, str(poll.address))
        preamble = b"\xfe" * int(rng.random() * 5)
        if rng.random() < 0.08:
            return preamble + framed(head, 0xC1, rng.randbytes(int(rng.random() * 4))), ("refusal",)
        data = bytearray(request[-5:-2] + content(rng, rng.choice(settings.lengths) - 3))
        for source in sources:
            if 0 <= source.unit_at < len(data) and rng.random() < 0.95:
                data[source.unit_at] = source.unit_code
        if settings.clock_at >= 0 and rng.random() < 0.5:
            data[settings.clock_at : settings.clock_at + 7] = bytes.fromhex(rng.choice(_CLOCKS))
        return preamble + framed(head, 0x81, bytes(data)), ("values", bytes(data))

    def _near(self, rng: Random, head: bytes, settings: CjtSettings, request: bytes) -> list[bytes]:
        """Return frames that are whole, and of another meter, type, identifier, serial number, control or length."""
        di, ser = request[-5:-3], request[-3]
        body = content(rng, settings.lengths[0] - 3)
        asked = di + bytes((ser,))
        stranger = head[:-1] + bytes((head[-1] ^ 0x11,))
        other_type = head[:1] + bytes((head[1] ^ 0x01,)) + head[2:]
        return [
            request,
            framed(stranger, 0x81, asked + body),
            framed(other_type, 0x81, asked + body),
            framed(head, 0x81, bytes((di[0], di[1] ^ 1, ser)) + body),
            framed(head, 0x81, di + bytes(((ser + 1) % 256,)) + body),
            framed(head, 0x81, asked + body + b"\x00"),
            framed(head, 0x81, asked + body[:-1]),
            framed(head, 0x81, asked),
            framed(head, 0x81, di),
            framed(head, 0x81, b""),
            framed(head, 0x01, asked),
            framed(stranger, 0xC1, b"\x01"),
        ]


def codec() -> Cjt188:
    """Return the codec under test."""
    return Cjt188()
