"""What an engineer is told to do about meters of a line that do not answer: wiring and settings, or a second master."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers.cjt188.reader import reader as cjt188_reader
from drivers.dlt645.reader import reader as dlt645_reader
from drivers.failures import RECENT_S, LineSteps
from drivers.identifiers import CjtSettings, CjtSource, DltSource
from drivers.lines.line import HalfDuplexLine, LineSettings
from drivers.lines.timing import Timing
from drivers.modbus.line import line_reader
from drivers.registers import RegisterSource
from gateway.clock import SystemClock
from gateway.errors import DeviceError
from gateway.interfaces import Poll, unnoticed
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel
from tests.unit.lines.fake_port import FakePort, framed, own

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from drivers.lines.contract import Reader

LAYOUT = Layout("m", 0.0, (Channel("raw_0", "code", "1", "gauge"),), (Slot((Part("u8"), Part("u8"))),))
ASKED: dict[str, tuple[Callable[..., Reader], int | str, Hashable, Hashable]] = {
    "modbus": (line_reader, 1, (RegisterSource(3, 0, 1),), None),
    "dlt645": (dlt645_reader, "000012345678", DltSource(0x00010000, 2), None),
    "cjt188": (cjt188_reader, "00000012345678", CjtSource(0x901F, 0, 2), CjtSettings(0x10, (22,))),
}


async def told(protocol: str, script: Callable[[bytes], bytes | None], *, is_server: bool) -> str:
    """Return the error of one poll on a line whose port behaves as scripted."""
    make, address, source, settings = ASKED[protocol]
    clock, port = SystemClock(), FakePort(script)
    timing = Timing(115_200, "N", 1)
    line = HalfDuplexLine(port, LineSettings(timing, own_gaps=not is_server), clock, "hall")
    await line.open()
    try:
        reader = make(line, clock, "hall", unnoticed)
        with pytest.raises(DeviceError) as caught:
            await reader.read(Poll("m", protocol, address, LAYOUT, (source,), 0.02, settings))
    finally:
        await line.close()
    return str(caught.value)


@pytest.mark.parametrize("protocol", ASKED)
async def test_silence_on_a_line_names_baud_rate_and_parity(protocol: str) -> None:
    text = await told(protocol, lambda _: None, is_server=False)
    assert "power, " in text
    assert "baud rate and parity of the line, or raise timeout" in text
    assert "master" not in text


@pytest.mark.parametrize("protocol", ASKED)
async def test_silence_behind_a_device_server_may_be_a_second_master(protocol: str) -> None:
    text = await told(protocol, lambda _: None, is_server=True)
    assert "baud rate and parity of the device server, that nobody else uses it (one master only)" in text


@pytest.mark.parametrize("is_server", [True, False])
async def test_frames_nobody_asked_for_name_the_second_master_first(is_server: bool) -> None:
    text = await told("modbus", lambda request: own(bytes((9,)) + request[1:]), is_server=is_server)
    first, _, rest = text.partition("; else check")
    assert "frames came that nobody here asked for: look for a second master" in first
    assert ("another connection to the device server" in first) == is_server
    assert "baud rate" in rest


async def test_a_bad_wire_is_no_second_master() -> None:
    text = await told("modbus", lambda request: framed(*request[:2], 2, 0, 1)[:-1] + b"\x00", is_server=True)
    assert "wrong CRC" in text
    assert "nobody here asked for" not in text


def test_strangers_heard_long_ago_are_no_sign_any_more() -> None:
    count = 1
    steps = LineSteps("the meter", strangers=lambda: count)
    assert "second master" in steps.silence(0.0)
    assert "second master" in steps.silence(RECENT_S)
    assert (
        steps.silence(RECENT_S + 1) == "check the meter, baud rate and parity of the line, or raise timeout"
    )
    count += 1
    assert "second master" in steps.second_master(RECENT_S + 2)
