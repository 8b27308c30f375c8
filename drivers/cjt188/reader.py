"""CJ/T 188 on a line: polls in, samples out, one request a poll, since one identifier answers with everything.

A value whose unit byte is not the one read at connecting is flagged and not taken: kWh and MWh differ by a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers.absences import METERS_MAX, RETRY_S, Tellings
from drivers.cjt188.frame import CLOCK_BYTES, AddressAsk, Ask, clock_s
from drivers.failures import InDoubt, LineSteps, NoAnswer, RequestFailed
from drivers.identifiers import CJT_ANY_ADDRESS, CjtSettings, CjtSource
from drivers.lines.line import HalfDuplexLine
from gateway.errors import DeviceError
from gateway.model import NS, Flag, Sample

if TYPE_CHECKING:
    from drivers.lines.contract import Line
    from gateway.interfaces import Clock, Notice, Poll

PROTOCOL = "cjt188"
SERIAL_NUMBERS = 256

_ABSENT = int(Flag.MISSING | Flag.DEVICE)

_LOOK_AT = "the meter's power, address, type (variant) and wiring"


@dataclass(slots=True)
class _Meter:
    """What is known of one meter. swapped: the identifier goes low byte first; settled: the meter has answered so."""

    name: str
    ser: int = 0
    swapped: bool = False
    settled: bool = False
    clock_due_s: float = 0.0
    clock_offset_s: float | None = None
    off: set[str] = field(default_factory=set)


class Cjt188Reader:
    """CJ/T 188 on one line. Implements `Reader`."""

    def __init__(
        self, line: Line, clock: Clock, name: str, notice: Notice, steps: LineSteps | None = None
    ) -> None:
        """name: the link's id. steps: what to do about silence."""
        self._steps = steps or LineSteps(_LOOK_AT)
        self._line, self._clock, self._name, self._notice = line, clock, name, notice
        self._meters: dict[str, _Meter] = {}
        self._tellings = Tellings()
        self._counts = dict.fromkeys(("requests", "answers", "timeouts", "refusals", "garbage"), 0)

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the one sample of a poll, with what the reply lacks flagged. Raises DeviceError, LinkDown."""
        settings, sources = self._checked(poll)
        address = str(poll.address)
        meter = self._meters.get(address)
        if meter is None:
            if len(self._meters) >= METERS_MAX:
                self._meters.clear()
            meter = self._meters[address] = _Meter(poll.meter)
        ask = self._ask_of(poll, address, sources[0].di, meter, settings)
        meter.ser = (meter.ser + 1) % SERIAL_NUMBERS
        self._counts["requests"] += 1
        try:
            asked_ns = self._clock.wall_ns()
            time_ns, frame = await self._line.ask(ask, poll.timeout_s)
            data = ask.data(frame)
            if len(data) not in settings.lengths:
                known = " or ".join(map(str, settings.lengths))
                text = f"a data field of {len(data)} bytes where the profile knows {known}"
                raise RequestFailed(text, raw=frame)
        except RequestFailed as error:
            self._counts[_COUNTED[error.failure]] += 1
            if not meter.settled and not isinstance(error, InDoubt):
                meter.swapped = not meter.swapped
            raise self._device_error(poll, ask, error) from None
        self._counts["answers"] += 1
        meter.settled = address != CJT_ANY_ADDRESS  # that may be another meter every time
        if poll.layout.period_s:  # not for what an errand asks
            self._tellings.flush(self._notice, self._clock.monotonic())
            meter.name = poll.meter
            self._compare_clock(meter, settings, data, (asked_ns + time_ns) / 2 / NS)
        return [self._sample(poll, sources, meter, time_ns, data)]

    def figures(self) -> dict[str, object]:
        """Return what it counts, and what it knows of each meter's clock and doubtful units."""
        meters = self._meters.values()
        return dict(self._counts) | {
            "clock_offset_s": {m.name: m.clock_offset_s for m in meters if m.clock_offset_s is not None},
            "off": {m.name: sorted(m.off) for m in meters if m.off},
        }

    def _checked(self, poll: Poll) -> tuple[CjtSettings, list[CjtSource]]:
        sources = [source for source in poll.sources if isinstance(source, CjtSource)]
        fits = (
            poll.protocol == PROTOCOL and isinstance(poll.address, str) and len(sources) == len(poll.sources)
        )
        if not fits or not isinstance(poll.settings, CjtSettings) or len({s.di for s in sources}) != 1:
            text = f"link {self._name}, meter {poll.meter}: a poll that is not one of CJ/T 188"
            raise DeviceError(text, reason="refused")
        return poll.settings, sources

    def _ask_of(self, poll: Poll, address: str, di: int, meter: _Meter, settings: CjtSettings) -> Ask:
        """Return the request of a poll. Raises DeviceError."""
        if address == CJT_ANY_ADDRESS:
            return AddressAsk(meter.ser, settings.meter_type, settings.preamble, swapped=meter.swapped)
        try:
            return Ask(address, di, meter.ser, settings, swapped=meter.swapped)
        except ValueError as error:
            text = f"link {self._name}, meter {poll.meter}: cannot be read: {error}"
            raise DeviceError(text, reason="refused") from None

    def _device_error(self, poll: Poll, ask: Ask, error: RequestFailed) -> DeviceError:
        step = f"; {self._steps.silence(self._clock.monotonic())}" if isinstance(error, NoAnswer) else ""
        text = f"link {self._name}, meter {poll.meter}: {ask}: {error}{step}"
        return DeviceError(text, reason=error.failure, raw=error.raw)

    def _sample(
        self, poll: Poll, sources: list[CjtSource], meter: _Meter, time_ns: int, data: bytes
    ) -> Sample:
        flags = poll.layout.no_flags[:]
        raw = bytearray()
        for i, source in enumerate(sources):
            value = data[source.at : source.at + source.size]
            there = len(value) == source.size and self._unit_holds(poll, i, source, meter, data)
            raw += value if there else bytes(source.size)
            flags[i] |= 0 if there else _ABSENT
        return Sample(time_ns, None, bytes(raw), flags)

    def _unit_holds(self, poll: Poll, i: int, source: CjtSource, meter: _Meter, data: bytes) -> bool:
        """Return whether the value still has the unit its layout was compiled for; told once when it changes."""
        if source.unit_at < 0:
            return True
        found = data[source.unit_at] if source.unit_at < len(data) else 0xFF
        key = poll.layout.channels[i].key
        is_off = found != source.unit_code
        if poll.layout.period_s and is_off != (key in meter.off):
            (meter.off.add if is_off else meter.off.discard)(key)
            error = f"unit byte {found:02X} where {source.unit_code:02X} was read at connecting"
            detail = {"reason": "unit_changed", "error": error} if is_off else {}
            self._tellings.tell(
                self._notice, self._clock.monotonic(), poll.meter, key,
                is_off=is_off, where=f"byte {source.unit_at}", **detail,
            )  # fmt: skip
        return not is_off

    def _compare_clock(self, meter: _Meter, settings: CjtSettings, data: bytes, now_s: float) -> None:
        """Tell the offset of the meter's clock, first and then once a day; the time comes with the values."""
        if settings.clock_at < 0 or self._clock.monotonic() < meter.clock_due_s:
            return
        meter.clock_due_s = self._clock.monotonic() + RETRY_S
        shown_s = clock_s(data[settings.clock_at : settings.clock_at + CLOCK_BYTES], settings.utc_offset_min)
        if shown_s is not None:
            meter.clock_offset_s = round(shown_s + 0.5 - now_s, 1)
            self._notice("meter_clock", meter.name, offset_s=meter.clock_offset_s)


_COUNTED = {"timeout": "timeouts", "exception": "refusals", "garbage": "garbage"}


def reader(line: Line, clock: Clock, name: str, notice: Notice) -> Cjt188Reader:
    """Return the reader of CJ/T 188 for one line, which adapts timeouts itself."""
    steps = None
    if isinstance(line, HalfDuplexLine):
        stats = line.stats
        is_server = not line.settings.own_gaps
        steps = LineSteps(_LOOK_AT, is_server=is_server, strangers=lambda: stats.discarded["foreign"])
    return Cjt188Reader(line, clock, name, notice, steps)
