"""A line with a port that does what it is told: silence, flushing, echo, late answers, noise, loss."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from drivers.cjt188.frame import Ask as CjtAsk
from drivers.dlt645.frame import AddressAsk
from drivers.dlt645.frame import Ask as DltAsk
from drivers.failures import InDoubt, NoAnswer
from drivers.frames import cjt188_frame, cjt188_head, dlt645_frame, dlt645_head
from drivers.identifiers import CjtSettings
from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.timing import Timing
from drivers.modbus.rtu import RtuAsk
from gateway.clock import SystemClock
from gateway.errors import LinkDown
from tests.unit.lines.fake_port import FakePort, framed, own, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = RtuAsk(1, 3, 7, 1)
TWO = RtuAsk(1, 3, 100, 2)
THREE = RtuAsk(1, 3, 100, 3)
ENERGY = DltAsk("000012345678", 0x00010000, 4)
ADDRESS = AddressAsk()
WATER = CjtAsk("00000012345678", 0x901F, 0, CjtSettings(0x10, (22,)))
OTHER_METER = RtuAsk(2, 3, 5, 2)
TIMEOUT_S = 0.02
FAST = Timing(115_200)


@asynccontextmanager
async def lined(
    timing: Timing = FAST, *, turnaround_s: float = 0.0, echo: bool = False, own_gaps: bool = True
) -> AsyncIterator[tuple[FakePort, HalfDuplexLine]]:
    port = FakePort()
    settings = LineSettings(timing, own_gaps, turnaround_s, 0.01, 10.0, echo)
    line = HalfDuplexLine(port, settings, SystemClock(), "hall-1")
    await line.open()
    try:
        yield port, line
    finally:
        await line.close()


async def values(line: HalfDuplexLine, ask: RtuAsk, timeout_s: float = TIMEOUT_S) -> bytes:
    _, frame = await line.ask(ask, timeout_s)
    return ask.values(frame)


async def gives_up(port: FakePort, line: HalfDuplexLine, ask: RtuAsk) -> None:
    """Ask in vain."""
    script, port.script = port.script, lambda _: None
    with pytest.raises(NoAnswer):
        await line.ask(ask, TIMEOUT_S)
    port.script = script


@pytest.mark.parametrize(
    "pieces",
    [
        lambda r: own(r),
        lambda r: [bytes((byte,)) for byte in own(r)],
        lambda r: b"\x00\xff" + own(r),
        lambda r: framed(9, 3, 2, 0, 1) + own(r),  # another meter's answer (R16)
        lambda r: framed(0, 6, 0, 1, 0, 2) + own(r),  # somebody's broadcast (R16)
        lambda r: own(r)[:-1] + b"\x00" + own(r),  # first with a wrong CRC
        lambda r: own(r)[:4] + own(r),
        lambda r: [own(r)[:3], own(r)[3:] + b"\x00"],
        lambda r: r + own(r),  # an echo nobody configured
    ],
)  # fmt: skip
async def test_the_answer_is_found_among_other_bytes_r16(pieces: object) -> None:
    async with lined() as (port, line):
        port.script = pieces  # type: ignore[assignment]
        for ask in (TWO, THREE, TWO):
            assert await values(line, ask) == b"".join(n.to_bytes(2) for n in range(100, 100 + ask.count))
        assert line.stats.answers == line.stats.requests == 3
        assert line.stats.gap_violations == 0


@pytest.mark.parametrize(("before", "noise"), [(4 * b"\xfe", 0), (b"\x00" + 4 * b"\xfe", 1), (b"", 0)])
@pytest.mark.parametrize(("protocol", "ask"), [("dlt645", ENERGY), ("dlt645", ADDRESS), ("cjt188", WATER)])
async def test_the_wake_up_bytes_of_an_answer_are_no_noise(
    protocol: str, ask: DltAsk | CjtAsk, before: bytes, noise: int
) -> None:
    number = "000012345678" if protocol == "dlt645" else WATER.address
    if ask is WATER:
        answer = cjt188_frame(cjt188_head(0x10, number), 0x81, bytes((0x90, 0x1F, 0)) + bytes(19))
    elif ask is ADDRESS:
        answer = dlt645_frame(dlt645_head(number), 0x93, bytes.fromhex(number)[::-1])
    else:
        answer = dlt645_frame(dlt645_head(number), 0x91, bytes((0, 0, 1, 0)) + bytes(4))
    async with lined() as (port, line):
        port.script = lambda _: before + answer
        assert (await line.ask(ask, TIMEOUT_S))[1] == answer
        assert line.stats.discarded["noise"] == noise


@pytest.mark.parametrize("timing", [Timing(9600), Timing(19_200), Timing(38_400)])
async def test_silence_before_every_request_is_lawful(timing: Timing) -> None:
    async with lined(timing) as (_, line):
        clock = SystemClock()
        for _ in range(5):
            before_s = clock.monotonic()
            await values(line, ONE)
            await values(line, ONE)
            assert clock.monotonic() - before_s >= timing.silence_s + timing.wire_s(8)
        assert line.stats.gap_violations == 0
        assert line.stats.silence_s == pytest.approx(10 * timing.silence_s)


async def test_bytes_that_come_during_the_silence_begin_it_anew() -> None:
    timing = Timing(2400)
    async with lined(timing) as (port, line):
        await values(line, ONE)
        asyncio.get_running_loop().call_later(timing.silence_s / 2, port.come, b"\x55")
        asking = asyncio.ensure_future(line.ask(TWO, TIMEOUT_S))
        await asking
        assert line.stats.gap_violations == 0
        assert line.stats.discarded["stale"] == 1


async def test_turnaround_lies_between_different_meters_only() -> None:
    async with lined(turnaround_s=0.05) as (_, line):
        for ask, extra_s in ((ONE, 0.0), (TWO, 0.0), (OTHER_METER, 0.05), (ONE, 0.05)):
            before_s = line.stats.silence_s
            await values(line, ask)
            assert line.stats.silence_s - before_s == pytest.approx(FAST.silence_s + extra_s)


async def test_behind_a_server_the_server_keeps_the_silence() -> None:
    async with lined(Timing(300), own_gaps=False) as (_, line):
        await values(line, ONE)
        assert line.stats.silence_s == 0


async def test_stale_bytes_are_flushed_before_a_request() -> None:
    async with lined() as (port, line):
        port.come(own(TWO.request))  # nobody asked
        port.script = lambda _: None
        with pytest.raises(NoAnswer, match="no answer within"):
            await line.ask(TWO, TIMEOUT_S)
        assert line.stats.discarded["stale"] == 1


async def test_a_late_answer_is_never_taken_for_the_next() -> None:
    async with lined() as (port, line):
        await gives_up(port, line, TWO)
        same_form = RtuAsk(1, 3, 300, 2)
        with pytest.raises(InDoubt, match="would look the same"):
            await line.ask(same_form, TIMEOUT_S)
        assert len(port.requests) == 1
        # Another form is asked; the late answer comes first and is not taken for it.
        port.script = lambda r: own(TWO.request) + own(r)
        assert await values(line, THREE) == bytes.fromhex("0064 0065 0066")
        assert line.stats.discarded["late"] == 1
        port.script = own
        assert await values(line, same_form) == bytes.fromhex("012C 012D")


async def test_a_late_answer_that_came_in_between_ends_the_doubt() -> None:
    async with lined() as (port, line):
        await gives_up(port, line, TWO)
        port.come(own(TWO.request))
        assert await values(line, TWO) == bytes.fromhex("0064 0065")
        assert dict(line.stats.discarded) == {"late": 1}


async def test_a_late_refusal_is_not_taken_for_an_answer() -> None:
    async with lined() as (port, line):
        await gives_up(port, line, TWO)
        port.script = lambda r: [refuse(TWO.request, 2), own(r)]
        assert await values(line, THREE) == bytes.fromhex("0064 0065 0066")
        assert line.stats.refusals == 0


async def test_one_meters_doubt_holds_up_no_other() -> None:
    async with lined() as (port, line):
        await gives_up(port, line, TWO)
        assert await values(line, OTHER_METER) == bytes.fromhex("0005 0006")


async def test_a_cancelled_request_is_in_doubt_too() -> None:
    async with lined() as (port, line):
        port.script = lambda _: None
        asking = asyncio.ensure_future(line.ask(TWO, 10.0))
        await port.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(InDoubt):
            await line.ask(TWO, TIMEOUT_S)


async def test_an_echo_is_taken_off() -> None:
    async with lined(echo=True) as (port, line):
        port.script = lambda r: [r[:3], r[3:] + own(r)[:2], own(r)[2:]]
        assert await values(line, TWO) == bytes.fromhex("0064 0065")
        assert not line.stats.discarded
        port.script = own  # the adapter was changed: no echo any more
        assert await values(line, THREE) == bytes.fromhex("0064 0065 0066")


async def test_what_came_instead_is_told_with_its_bytes() -> None:
    async with lined() as (port, line):
        spoilt = own(TWO.request)[:-1] + b"\x00"
        port.script = lambda _: spoilt
        with pytest.raises(NoAnswer, match=f"but {len(spoilt)} other bytes") as caught:
            await line.ask(TWO, TIMEOUT_S)
        assert (caught.value.raw, caught.value.discarded) == (spoilt, 1)
        assert spoilt.hex(" ") in str(caught.value)
        assert "an answer with a wrong CRC: check wiring, termination and bias" in str(caught.value)
        assert line.stats.discarded == {"crc": 1}
        port.script = own
        await values(line, OTHER_METER)
        assert line.stats.discarded == {"crc": 1}, "what was told once is not told again when it is flushed"


@pytest.mark.parametrize(
    ("kind", "instead", "cause"),
    [
        ("crc", lambda r: own(r)[:-1] + bytes((own(r)[-1] ^ 1,)), "wrong CRC"),
        ("crc", lambda r: b"\x00" + own(r)[:-2] + b"\x00\x01", "wrong CRC"),
        ("foreign", lambda r: own(bytes((9,)) + r[1:]), "unit 9: a second master, or two meters"),
        ("foreign", lambda r: framed(0, 6, 0, 1, 0, 2), "unit 0"),
        ("foreign", lambda r: framed(1, 4, 2, 0, 1), r"another form \(function 4, 2 bytes"),
        ("noise", lambda _: bytes(range(0x60, 0x70)), "baud rate, parity and stop bits"),
        ("noise", lambda r: own(r)[:5], "stopped after 5 of 9 bytes"),
        ("echo", lambda r: r, "hears what it sends"),
    ],
)  # fmt: skip
async def test_a_bad_wire_is_told_from_wrong_settings_and_from_a_clash(
    kind: str, instead: object, cause: str
) -> None:
    async with lined() as (port, line):
        port.script = instead  # type: ignore[assignment]
        with pytest.raises(NoAnswer, match=cause):
            await line.ask(TWO, TIMEOUT_S)
        assert line.stats.discarded == {kind: 1}


async def test_what_comes_before_an_answer_is_counted_by_kind() -> None:
    async with lined() as (port, line):
        for n, before in enumerate((own(TWO.request)[:-1] + b"\x00", framed(9, 3, 2, 0, 1), b"\xfe\xff")):
            pieces = [before, own(TWO.request)]
            port.script = lambda _, pieces=pieces: pieces  # type: ignore[misc]
            await values(line, TWO)
            assert line.stats.discarded == dict.fromkeys(("crc", "foreign", "noise")[: n + 1], 1)


async def test_after_opening_everybody_has_the_full_time_until_one_answers() -> None:
    async with lined() as (port, line):
        for _ in range(20):
            await values(line, TWO, 1.0)
        await line.open()
        port.script = lambda _: None
        with pytest.raises(NoAnswer, match=r"no answer within 0\.08 s"):
            await line.ask(TWO, 0.08)


async def test_a_port_that_hangs_up_unseen_is_found_out_before_and_after_a_request() -> None:
    """uvloop does not tell of a hang-up: the line looks itself."""
    async with lined() as (port, line):
        port.script = lambda _: setattr(port, "lost", "hung up")
        with pytest.raises(LinkDown, match="hung up"):
            await line.ask(TWO, TIMEOUT_S)
        with pytest.raises(LinkDown, match="hung up"):
            await line.ask(OTHER_METER, TIMEOUT_S)
        assert len(port.requests) == 1


async def test_two_bytes_of_an_adapter_turning_round_are_silence() -> None:
    async with lined() as (port, line):
        port.script = lambda _: b"\x00\xff"
        with pytest.raises(NoAnswer) as caught:
            await line.ask(TWO, TIMEOUT_S)
        assert caught.value.discarded == 0


async def test_an_answer_that_began_in_time_is_waited_for() -> None:
    async with lined() as (port, line):
        loop = asyncio.get_running_loop()
        answer = own(TWO.request)
        port.script = lambda _: None
        asking = asyncio.ensure_future(line.ask(TWO, 0.03))
        await port.asked.wait()
        port.come(answer[:1])
        for n, byte in enumerate(answer[1:]):
            loop.call_later(0.008 + 0.008 * n, port.come, bytes((byte,)))
        _, frame = await asking
        assert frame == answer


async def test_a_babbling_line_ends_at_its_deadline_and_keeps_little() -> None:
    async with lined() as (port, line):
        loop = asyncio.get_running_loop()
        babbling: list[asyncio.TimerHandle] = []

        def babble() -> None:
            port.come(b"\x55" * 100)
            babbling[:] = [loop.call_later(0.001, babble)]

        def begin(_: bytes) -> None:
            babbling.append(loop.call_later(0.001, babble))

        port.script = begin
        with pytest.raises(NoAnswer, match="other bytes"):
            await line.ask(TWO, TIMEOUT_S)
        babbling[0].cancel()
        assert len(line._received) <= 2048


async def test_an_unplugged_port_is_told_at_once_and_may_be_opened_again() -> None:
    async with lined() as (port, line):
        port.script = lambda _: None
        asking = asyncio.ensure_future(line.ask(TWO, 10.0))
        await port.asked.wait()
        port.unplug()
        with pytest.raises(LinkDown, match="link hall-1, fake: the port is gone"):
            await asking
        with pytest.raises(LinkDown):
            await line.ask(THREE, TIMEOUT_S)
        await line.open()
        port.script = own
        assert await values(line, THREE) == bytes.fromhex("0064 0065 0066")
        assert line.stats.connects == 2


async def test_timeouts_follow_the_meter_and_go_back_when_it_is_silent_r17() -> None:
    async with lined() as (port, line):
        clock = SystemClock()
        for _ in range(5):
            await values(line, ONE, 5.0)
        before_s = clock.monotonic()
        port.script = lambda _: None
        with pytest.raises(NoAnswer, match=r"no answer within 0\.0\d+ s"):
            await line.ask(ONE, 5.0)
        assert clock.monotonic() - before_s < 1.0
        trip = line.trips.of(ONE.meter)
        assert line.trips.timeout_s(trip, 5.0) == 5.0
        assert trip.timeouts == 1


async def test_figures_are_plain() -> None:
    async with lined() as (port, line):
        await values(line, ONE)
        await gives_up(port, line, TWO)
        figures = line.figures()
        assert (figures["requests"], figures["answers"], figures["timeouts"], figures["in_doubt"]) == (
            2,
            1,
            1,
            1,
        )
        assert figures["gap_violations"] == 0
        assert list(figures["meters"]) == ["modbus 1"]  # type: ignore[call-overload]


async def test_nobody_talks_on_a_line_that_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.lines.line.RESTLESS_S", 0.05)
    async with lined(Timing(300)) as (port, line):
        loop = asyncio.get_running_loop()

        def babble() -> None:
            port.come(b"\x55")
            babbling[0] = loop.call_later(0.01, babble)

        babbling = [loop.call_soon(babble)]
        with pytest.raises(NoAnswer, match="not silent for"):
            await line.ask(TWO, TIMEOUT_S)
        babbling[0].cancel()
        assert not port.requests
