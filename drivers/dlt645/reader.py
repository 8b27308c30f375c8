"""DL/T 645 on a line: polls in, samples out, one request for each identifier.

A poll costs at most one timeout: after it the rest of the poll is not asked, and the silent identifier goes to the end
of the next poll. An identifier the meter refuses twice in a row as not there is left alone for a day. What else a meter
tells, its clock and its daily frozen totals, is read after the sample is complete, so it never costs one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from drivers.absences import METERS_MAX, Absences, Tellings
from drivers.dlt645 import own_time
from drivers.dlt645.frame import NO_SUCH_VALUE, AddressAsk, Ask, Refusal
from drivers.failures import InDoubt, LineSteps, NoAnswer, Refused, RequestFailed
from drivers.identifiers import ANY_ADDRESS, DltSettings, DltSource
from drivers.lines.line import HalfDuplexLine
from gateway.errors import DeviceError, LinkDown
from gateway.model import NS, Flag, Sample

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from decimal import Decimal

    from drivers.lines.contract import Line
    from gateway.interfaces import Clock, Notice, Poll

PROTOCOL = "dlt645"
DAY_S = 86_400.0
HOUR_S = 3600.0
AROUND_MIDNIGHT_S = 120.0
"""So close to the meter's midnight date and time, or time and totals, may belong to different days."""
OUTAGE_S = 60.0
POLLS_MAX = 4096
BLOCK_MAX = 196
"""Bytes of the longest block: 200 bytes of data less the identifier. Source: DL/T 645-2007, L <= 200 for reading."""


_LOOK_AT = "the meter's power, address and wiring"


class Frozen(NamedTuple):
    """The last daily frozen total of one channel: exact, canonical unit, with the meter's time of freezing."""

    channel: str
    reading: Decimal
    unit: str
    time_ns: int


@dataclass(slots=True)
class _Meter:
    """What is known of one meter."""

    absences: Absences = field(default_factory=Absences)
    clock_due_s: float = 0.0
    clock_offset_s: float | None = None


class _Reading:
    """One poll: its requests in the order they are asked, and when it last had an answer."""

    __slots__ = ("answered_ns", "asks", "frozen_due_s", "meter", "order", "outage_ns", "settings", "sources")

    def __init__(self, poll: Poll, meter: _Meter) -> None:
        """Raises ValueError on a poll of another protocol."""
        settings = DltSettings() if poll.settings is None else poll.settings
        if poll.protocol != PROTOCOL or not isinstance(poll.address, str):
            raise ValueError(f"{poll.protocol} address {poll.address!r} is none of DL/T 645")
        if not isinstance(settings, DltSettings):
            raise ValueError(f"settings {settings!r} are none of DL/T 645")
        self.sources: list[DltSource] = []
        for source in poll.sources:
            if not isinstance(source, DltSource):
                raise ValueError(f"source {source!r} is none of DL/T 645")
            self.sources.append(source)
        self.meter = meter
        self.settings = settings
        self.asks: list[Ask] = (
            [AddressAsk(settings.preamble)] * len(self.sources)
            if poll.address == ANY_ADDRESS
            else [Ask(poll.address, source.di, source.size, settings.preamble) for source in self.sources]
        )
        self.order = list(range(len(self.asks)))
        self.answered_ns = 0
        self.frozen_due_s: float | None = None
        self.outage_ns = (0, 0)  # in which the frozen totals must lie


class _Outcome:
    """Values and failures of one poll by channel, and why the rest was not asked. lost: the connection went in the midst."""

    __slots__ = ("ended", "failures", "lost", "time_ns", "values")

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}
        self.failures: dict[int, RequestFailed] = {}
        self.ended: RequestFailed | None = None
        self.lost: LinkDown | None = None
        self.time_ns = 0


class Dlt645Reader:
    """DL/T 645 on one line. Implements `Reader`."""

    def __init__(
        self, line: Line, clock: Clock, name: str, notice: Notice, steps: LineSteps | None = None
    ) -> None:
        """name: the link's id. steps: what to do about silence."""
        self._steps = steps or LineSteps(_LOOK_AT)
        self._line, self._clock, self._name, self._notice = line, clock, name, notice
        self._meters: dict[str, _Meter] = {}
        self._tellings = Tellings()
        self._readings: dict[Poll, _Reading] = {}
        self._names: dict[str, str] = {}
        self._counts = dict.fromkeys(("requests", "answers", "timeouts", "refusals", "garbage"), 0)

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the one sample of a poll, channels of failed requests flagged. Raises DeviceError, LinkDown."""
        reading = self._readings.get(poll) or self._prepare(poll)
        outcome = await self._ask_all(poll, reading)
        if poll.layout.period_s:  # not what an errand asks
            self._learn(poll, reading, outcome)
        if not outcome.values:
            raise self._device_error(poll, reading, outcome)
        sample = _sample(poll, outcome)
        if outcome.lost is not None:
            raise LinkDown(str(outcome.lost), samples=[sample])
        if poll.layout.period_s:  # not for what is read at connecting
            await self._read_further(poll, reading, outcome.time_ns)
        return [sample]

    async def frozen(self, poll: Poll) -> list[Frozen]:
        """Return the last daily frozen totals of the poll's channels that have one; none if the meter never froze.

        Raises RequestFailed, LinkDown.
        """
        reading = self._readings.get(poll) or self._prepare(poll)
        places = {i: s.frozen for i, s in enumerate(reading.sources) if s.frozen is not None}
        if not places:
            return []
        _, raw = await self._ask_extra(poll, reading, own_time.FROZEN_TIME, own_time.FROZEN_TIME_SIZE)
        time_s = own_time.frozen_s(raw, reading.settings.utc_offset_min)
        if time_s is None:
            return []
        found, blocks = [], dict[int, bytes]()
        for i, place in places.items():
            if place.di not in blocks:
                _, blocks[place.di] = await self._ask_extra(poll, reading, place.di, BLOCK_MAX, exact=False)
            reading_ = _exact(poll, i, blocks[place.di][place.at : place.at + reading.sources[i].size])
            if reading_ is not None:
                channel = poll.layout.channels[i]
                found.append(Frozen(channel.key, reading_, channel.unit, round(time_s * NS)))
        return found

    def figures(self) -> dict[str, object]:
        """Return what it counts, and what it knows of each meter's clock and missing channels."""
        named = {self._names[address]: meter for address, meter in self._meters.items()}
        return dict(self._counts) | {
            "clock_offset_s": {
                name: m.clock_offset_s for name, m in named.items() if m.clock_offset_s is not None
            },
            "off": {
                name: [_hex(di) for di in m.absences.off()] for name, m in named.items() if m.absences.off()
            },
        }

    def _prepare(self, poll: Poll) -> _Reading:
        address = str(poll.address)
        meter = self._meters.get(address) or _Meter()
        if poll.layout.period_s:
            if len(self._meters) >= METERS_MAX:
                self._meters.clear()
                self._names.clear()
            self._meters[address] = meter
            self._names[address] = poll.meter
        try:
            reading = _Reading(poll, meter)
        except ValueError as error:
            text = f"link {self._name}, meter {poll.meter}: cannot be read: {error}"
            raise DeviceError(text, reason="refused") from None
        if poll.layout.period_s:  # not what an errand asks
            if len(self._readings) >= POLLS_MAX:
                self._readings.clear()
            self._readings[poll] = reading
        return reading

    async def _ask_all(self, poll: Poll, reading: _Reading) -> _Outcome:
        """Ask one identifier after the other; stop when the meter is silent. Raises LinkDown if nothing came before; else it is `lost`."""
        outcome = _Outcome()
        now_s = self._clock.monotonic()
        for i in tuple(reading.order):
            ask = reading.asks[i]
            if poll.layout.period_s and reading.meter.absences.skips(ask.di, now_s):
                outcome.failures[i] = Refused("refused before; asked for again once a day")
                continue
            try:
                outcome.time_ns, frame = await self._ask(poll, ask)
                outcome.values[i] = ask.value(frame, reading.sources[i].size)
                self._counts["answers"] += 1
            except InDoubt as error:  # another identifier's answer cannot be mistaken for the late one
                outcome.failures[i] = error
            except NoAnswer as error:
                self._count(error)
                outcome.failures[i] = outcome.ended = error
                reading.order.remove(i)
                reading.order.append(i)
                break
            except RequestFailed as error:
                self._count(error)
                outcome.failures[i] = error
            except LinkDown as error:
                if not outcome.values:
                    raise
                outcome.lost = error
                break
        return outcome

    async def _ask(self, poll: Poll, ask: Ask) -> tuple[int, bytes]:
        self._counts["requests"] += 1
        return await self._line.ask(ask, poll.timeout_s)

    async def _ask_extra(
        self, poll: Poll, reading: _Reading, di: int, size: int, *, exact: bool = True
    ) -> tuple[int, bytes]:
        """Return the answer's time and the bytes of a value outside the profile. Raises RequestFailed, LinkDown."""
        ask = Ask(str(poll.address), di, size, reading.settings.preamble)
        time_ns, frame = await self._ask(poll, ask)
        return time_ns, ask.value(frame, size if exact else -1)

    def _count(self, error: RequestFailed) -> None:
        self._counts[{"timeout": "timeouts", "exception": "refusals"}.get(error.failure, "garbage")] += 1

    def _learn(self, poll: Poll, reading: _Reading, outcome: _Outcome) -> None:
        """Turn off what the meter has not, on what it has again, and tell each once."""
        now_s = self._clock.monotonic()
        for i in outcome.values:
            if reading.meter.absences.answered(reading.asks[i].di):
                self._tell(poll, reading, i, now_s, is_off=False)
        for i, error in outcome.failures.items():
            absent = isinstance(error, Refusal) and error.code & NO_SUCH_VALUE
            if absent and reading.meter.absences.refused(reading.asks[i].di, now_s):
                detail = {"reason": "no_such_value", "error": str(error)}
                self._tell(poll, reading, i, now_s, is_off=True, **detail)
        self._tellings.flush(self._notice, now_s)

    def _tell(
        self, poll: Poll, reading: _Reading, i: int, now_s: float, *, is_off: bool, **detail: object
    ) -> None:
        key, where = poll.layout.channels[i].key, _hex(reading.asks[i].di)
        self._tellings.tell(self._notice, now_s, poll.meter, key, is_off=is_off, where=where, **detail)

    def _device_error(self, poll: Poll, reading: _Reading, outcome: _Outcome) -> DeviceError:
        i, error = next(iter(outcome.failures.items()))
        others = len(reading.asks) - 1
        some = f"{others} other identifiers" if others > 1 else "another identifier"
        rest = f"; {some} failed or {'were' if others > 1 else 'was'} not asked" if others else ""
        step = f"; {self._steps.silence(self._clock.monotonic())}" if isinstance(error, NoAnswer) else ""
        return DeviceError(
            f"link {self._name}, meter {poll.meter}: {reading.asks[i]}: {error}{step}{rest}",
            reason=error.failure,
            raw=error.raw,
            code=error.code if isinstance(error, Refusal) else None,
        )

    async def _read_further(self, poll: Poll, reading: _Reading, time_ns: int) -> None:
        """Read the meter's clock once a day, and the frozen totals after an outage across the meter's midnight."""
        now_s, wall_s = self._clock.monotonic(), time_ns / NS
        offset_min = reading.settings.utc_offset_min
        if _spans_midnight(reading, wall_s, 3 * poll.layout.period_s):
            since_ns = reading.answered_ns or time_ns - round(own_time.UNKNOWN_S * NS)
            reading.outage_ns = (since_ns if reading.frozen_due_s is None else reading.outage_ns[0], time_ns)
            reading.frozen_due_s = now_s
        reading.answered_ns = time_ns
        if not AROUND_MIDNIGHT_S < (wall_s + 60 * offset_min) % DAY_S < DAY_S - AROUND_MIDNIGHT_S:
            return
        if now_s >= reading.meter.clock_due_s:
            reading.meter.clock_due_s = now_s + await self._told(self._read_clock(poll, reading))
        if reading.frozen_due_s is not None and now_s >= reading.frozen_due_s:
            pause_s = await self._told(self._tell_frozen(poll, reading))
            reading.frozen_due_s = None if pause_s == DAY_S else now_s + pause_s

    async def _told(self, work: Awaitable[None]) -> float:
        """Return how long to leave it: a day when it was done or refused, an hour when the meter did not answer."""
        try:
            await work
        except Refusal:
            return DAY_S
        except RequestFailed:
            return HOUR_S
        except LinkDown:
            return 0.0
        return DAY_S

    async def _read_clock(self, poll: Poll, reading: _Reading) -> None:
        """Compare the clocks at the middle of request and answer; the meter shows whole seconds, half of one on average."""
        _, date = await self._ask_extra(poll, reading, own_time.DATE, own_time.DATE_SIZE)
        asked_ns = self._clock.wall_ns()
        answered_ns, time = await self._ask_extra(poll, reading, own_time.TIME, own_time.TIME_SIZE)
        shown_s = own_time.clock_s(date, time, reading.settings.utc_offset_min)
        if shown_s is None:
            raise RequestFailed(f"clock {date.hex()} {time.hex()} is no time")
        offset_s = round(shown_s + 0.5 - (asked_ns + answered_ns) / 2 / NS, 1)
        reading.meter.clock_offset_s = offset_s
        self._notice("meter_clock", poll.meter, offset_s=offset_s)

    async def _tell_frozen(self, poll: Poll, reading: _Reading) -> None:
        """Tell the totals; a time of freezing that cannot be is no time but a doubt."""
        since_s, until_s = (time_ns / NS for time_ns in reading.outage_ns)
        for total in await self.frozen(poll):
            doubt, is_time = own_time.frozen_doubt(
                total.time_ns / NS, reading.meter.clock_offset_s, since_s, until_s
            )
            self._notice(
                "frozen",
                poll.meter,
                channel=total.channel,
                reading=format(total.reading, "f"),
                unit=total.unit,
                frozen_ns=total.time_ns if is_time else None,
                **({"doubt": doubt} if doubt else {}),
            )


def reader(line: Line, clock: Clock, name: str, notice: Notice) -> Dlt645Reader:
    """Return the reader of DL/T 645 for one line, which adapts timeouts itself."""
    steps = None
    if isinstance(line, HalfDuplexLine):
        stats = line.stats
        is_server = not line.settings.own_gaps
        steps = LineSteps(_LOOK_AT, is_server=is_server, strangers=lambda: stats.discarded["foreign"])
    return Dlt645Reader(line, clock, name, notice, steps)


def _spans_midnight(reading: _Reading, wall_s: float, usual_s: float) -> bool:
    """Return whether a midnight of the meter lies in a time without answers; at the start nobody knows, so it may."""
    before_s, offset_min = reading.answered_ns / NS, reading.settings.utc_offset_min
    return own_time.local_day(before_s, offset_min) != own_time.local_day(
        wall_s, offset_min
    ) and wall_s - before_s > max(OUTAGE_S, usual_s)


def _hex(di: object) -> str:
    return f"{di:08X}"


def _exact(poll: Poll, i: int, value: bytes) -> Decimal | None:
    """Return a value of channel i exactly, in canonical units."""
    layout = poll.layout
    if len(value) != layout.slots[i].size:
        return None
    start = layout.starts[i]
    return layout.exact(bytes(start) + value + bytes(layout.size - start - len(value)), i)


def _sample(poll: Poll, outcome: _Outcome) -> Sample:
    """Return the sample: zero bytes and flags in the channels that were not obtained."""
    flags = poll.layout.no_flags[:]
    raw = bytearray()
    for i, slot in enumerate(poll.layout.slots):
        value = outcome.values.get(i)
        raw += bytes(slot.size) if value is None else value
        if value is None:
            error = outcome.failures.get(i, outcome.ended)
            silent = error is None or error.failure != "exception"
            flags[i] |= int(Flag.MISSING | (Flag.COMMS if silent else Flag.DEVICE))
    return Sample(outcome.time_ns, None, bytes(raw), flags)
