"""The one CJ/T 188 meter of a line is asked for its type and address, and nothing but such an answer is taken for one."""

from __future__ import annotations

import pytest

from drivers.cjt188.frame import ANY_TYPE, AddressAsk
from drivers.failures import RequestFailed
from drivers.identifiers import CJT_ADDRESS_DI, CJT_ANY_ADDRESS, CJT_TOLD_BYTES
from gateway.commissioning.scan import Answered, Scan, cjt188_types, proposal, remarks, scan_cjt188
from gateway.control.errands import Question, poll_of
from gateway.control.requests import BadRequest
from gateway.errors import DeviceError
from simulators.dlt645_station import framed, low_first
from tests.unit.station_bus import cjt188_bus, dlt645_bus

ADDRESS = "33780011223344"
START = bytes([0x68, 0x10, *low_first(ADDRESS)])
TOLD = framed(START, 0x83, b"\x81\x0a\x07")
WANTED = (CJT_ADDRESS_DI, 0, CJT_TOLD_BYTES)


def asked(ser: int = 7, meter_type: int = ANY_TYPE, *, swapped: bool = False) -> AddressAsk:
    return AddressAsk(ser, meter_type, swapped=swapped)


@pytest.mark.parametrize(
    ("ask", "request_", "answer", "address"),
    [
        (  # cnblogs cj94 18534598; csdn xuehu96 112055510 with one FE less
            AddressAsk(0, ANY_TYPE),
            "FE FE FE FE 68 AA AA AA AA AA AA AA AA 03 03 81 0A 00 49 16",
            "FE FE FE FE 68 10 18 02 12 20 20 00 00 83 03 81 0A 00 F5 16",
            "00002020120218",
        ),
        (  # a public program for a cold water meter, by its comments
            AddressAsk(0xA7, 0x10, 0, swapped=True),
            "68 10 AA AA AA AA AA AA AA 03 03 0A 81 A7 56 16",
            "FE FE 68 10 89 67 45 23 01 33 78 83 03 0A 81 A7 34 16",
            "78330123456789",
        ),
    ],
)
def test_published_frames(ask: AddressAsk, request_: str, answer: str, address: str) -> None:
    raw = bytes.fromhex(answer)
    assert ask.request == bytes.fromhex(request_)
    found = ask.find(raw)
    assert found is not None
    assert (found.start, found.end) == (found.lead, len(raw))
    told = ask.data(raw[found.start : found.end])
    assert (told[0], told[:0:-1].hex()) == (0x10, address)


@pytest.mark.parametrize("noise", [b"", b"\xfe\xfe", b"\x68\x00", b"\x68" * 9, asked().request])
def test_it_is_found_behind_noise_and_the_echo_of_the_request(noise: bytes) -> None:
    found = asked().find(noise + TOLD)
    assert found is not None
    assert asked().data((noise + TOLD)[found.start : found.end])[:0:-1].hex() == ADDRESS


@pytest.mark.parametrize(
    "answer",
    [
        TOLD[:-1],
        TOLD[:-2] + b"\x00\x16",
        framed(START, 0x81, b"\x81\x0a\x07"),
        framed(START, 0x83, b"\x0a\x81\x07"),
        framed(START, 0x83, b"\x81\x0a\x08"),
        framed(START, 0x83, b"\x81\x0a\x07\x00"),
        framed(bytes([0x68, 0x10, *[0xAA] * 7]), 0x83, b"\x81\x0a\x07"),
        asked().request,
    ],
)
def test_nothing_else_is_an_address(answer: bytes) -> None:
    assert asked().find(answer) is None
    with pytest.raises(RequestFailed):
        asked().data(answer.lstrip(b"\xfe"))


def test_a_type_that_was_asked_for_is_the_only_one_taken() -> None:
    assert asked(meter_type=0x10).find(TOLD) is not None
    assert asked(meter_type=0x20).find(TOLD) is None


@pytest.mark.parametrize("low_first_di", [False, True])
async def test_a_lone_meter_is_found_and_proposed(low_first_di: bool) -> None:
    bus, station = cjt188_bus(variant="hot", address=ADDRESS)
    station.low_first_di = low_first_di
    scan = Scan()
    await scan_cjt188(bus, bus.clock, timeout_s=0.6, scan=scan, told=lambda _: None)
    (one,) = scan.found
    assert (one.protocol, one.address, one.how, one.meter_type) == ("cjt188", ADDRESS, "values", 0x11)
    assert scan.asked == 1 + low_first_di, "found at once, or with the identifier the other way round"
    text = proposal(
        scan, "line", known={}, profiles={ADDRESS: ("cjt188-water",)}, kinds={"cjt188-water": "water"},
        ratios={}, variants={ADDRESS: "hot"},
    )  # fmt: skip
    assert f'address = "{ADDRESS}"' in text
    assert 'variant = "hot"' in text


async def test_the_next_meter_may_want_the_identifier_the_other_way_round() -> None:
    bus, station = cjt188_bus()
    for low_first_di in (False, True, False):
        station.low_first_di = low_first_di
        scan = Scan()
        await scan_cjt188(bus, bus.clock, timeout_s=0.6, scan=scan, told=lambda _: None)
        assert [one.address for one in scan.found] == [ADDRESS]


async def test_a_meter_that_wants_its_own_type_is_found_by_it() -> None:
    bus, station = cjt188_bus("cjt188-heat", "heat")
    station.any_type = False
    scan = Scan()
    await scan_cjt188(bus, bus.clock, timeout_s=0.6, scan=scan, told=lambda _: None)
    assert scan.found == []
    steps = []
    types = (0x10, 0x20)
    await scan_cjt188(
        bus, bus.clock, timeout_s=0.6, scan=scan, meter_types=types, told=lambda _: steps.append(1)
    )
    assert [one.meter_type for one in scan.found] == [0x20]
    assert len(steps) == len(cjt188_types(types))


async def test_a_scan_for_it_can_be_stopped_and_finds_no_electricity_meter() -> None:
    bus, _ = dlt645_bus()
    scan = Scan()
    await scan_cjt188(
        bus, bus.clock, timeout_s=0.6, scan=scan, told=lambda _: None, stopped=lambda: scan.asked >= 1
    )
    assert (scan.found, scan.asked, scan.is_whole) == ([], 1, False)


async def test_several_meters_at_once_are_called_so() -> None:
    scan = Scan([Answered("cjt188", CJT_ANY_ADDRESS, "garbled", "garbled: 68", None)])
    assert proposal(scan, "line", known={}, profiles={}, kinds={}, ratios={}) == ""
    (said,) = remarks(scan, "serial")
    assert "CJ/T 188: most likely several such meters at once" in said


def test_only_the_address_is_asked_of_whoever_is_there() -> None:
    assert poll_of(Question("cjt188", CJT_ANY_ADDRESS, ((0xAA, *WANTED),))).layout.size == CJT_TOLD_BYTES
    for other in ((0x10, 0x901F, 3, 4), (0xAA, CJT_ADDRESS_DI, 0, 3)):
        with pytest.raises(BadRequest, match="nothing else"):
            poll_of(Question("cjt188", CJT_ANY_ADDRESS, (other,)))


async def test_a_number_that_is_none_is_refused_and_hurts_nobody() -> None:
    bus, _ = cjt188_bus()
    with pytest.raises(DeviceError, match="14 digits") as caught:
        await bus.ask(Question("cjt188", "1234", ((0x10, 0x901F, 3, 4),)))
    assert caught.value.reason == "refused"
