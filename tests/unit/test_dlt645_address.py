"""The one DL/T 645 meter of a line is asked for its address, and nothing but such an answer is taken for one."""

from __future__ import annotations

import pytest

from drivers.dlt645.frame import AddressAsk
from drivers.dlt645.reader import Dlt645Reader
from drivers.failures import RequestFailed
from gateway.control.errands import Question, ask, poll_of
from gateway.control.requests import BadRequest
from simulators.dlt645_station import Dlt645Station, framed, low_first
from tests.unit.identified_rig import NOON_NS, FakeLine, HandClock, Notices, site_of

ADDRESS = "000012345678"
ANYBODY = "AAAAAAAAAAAA"
START = bytes([0x68, *low_first(ADDRESS), 0x68])
OWN = bytes((byte + 0x33) % 256 for byte in START[1:7])
TOLD = framed(START, 0x93, OWN)


def test_the_request_is_that_of_the_standard() -> None:
    assert AddressAsk(preamble=0).request.hex(" ") == "68 aa aa aa aa aa aa 68 13 00 df 16"


async def test_a_lone_meter_tells_its_address() -> None:
    clock = HandClock(NOON_NS)
    site = site_of("dlt645-2007", ADDRESS, "electricity", NOON_NS)
    line = FakeLine(Dlt645Station(site, site.meters["m"], clock), clock)
    reader = Dlt645Reader(line, clock, "hall", Notices())
    poll = poll_of(Question("dlt645", ANYBODY, ("address",)))
    answer = await ask(reader, poll, clock)  # type: ignore[arg-type]  # reads as a link does
    assert answer.raw[::-1].hex() == ADDRESS


@pytest.mark.parametrize("noise", [b"", b"\xfe\xfe", b"\x68\x00", b"\x68" * 9, AddressAsk().request])
def test_it_is_found_behind_noise_and_the_echo_of_the_request(noise: bytes) -> None:
    asked = AddressAsk()
    found = asked.find(noise + TOLD)
    assert found is not None
    assert not found.refusal
    assert asked.value((noise + TOLD)[found.start : found.end], 6)[::-1].hex() == ADDRESS


@pytest.mark.parametrize(
    "answer",
    [
        TOLD[:-1],
        TOLD[:-2] + b"\x00\x16",
        framed(START, 0x91, OWN),
        framed(START, 0x93, OWN[:5]),
        AddressAsk().request,
    ],
)
def test_nothing_else_is_an_address(answer: bytes) -> None:
    assert AddressAsk().find(answer) is None


def test_another_size_is_refused() -> None:
    with pytest.raises(RequestFailed):
        AddressAsk().value(TOLD.lstrip(b"\xfe"), 4)


@pytest.mark.parametrize(("address", "source"), [(ANYBODY, (0x00010000, 4)), (ADDRESS, "address")])
def test_only_the_address_is_asked_of_whoever_is_there(address: str, source: tuple[int, int] | str) -> None:
    with pytest.raises(BadRequest, match="nothing else"):
        poll_of(Question("dlt645", address, (source,)))


def test_raw_reads_of_meters_that_are_asked_by_identifier() -> None:
    poll = poll_of(Question("dlt645", ADDRESS, ((0x00010000, 4),), ("bcd_le4",)))
    assert poll.layout.size == 4
    poll = poll_of(Question("cjt188", "00001234567890", ((0x10, 0x901F, 3, 4),)))
    assert poll.layout.size == 4
    with pytest.raises(BadRequest, match="does not fit"):
        poll_of(Question("dlt645", ADDRESS, ((0x00010000, 4),), ("bcd_le2",)))
