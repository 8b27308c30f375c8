"""Channels that come and go are told of in bounded number; what an errand asks for teaches and tells nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from asyncua import ua

from drivers.absences import CHANNELS_MAX, HOLD_S, Tellings
from drivers.opcua.channels import Channels
from gateway.errors import DeviceError
from gateway.layout import Layout
from tests.unit.identified_rig import Notices, poll_of
from tests.unit.modbus.polls import holding, make_poll
from tests.unit.modbus.test_absent import _without
from tests.unit.modbus.test_driver import ManualClock, linked
from tests.unit.test_cjt188_reader import Rig as CjtRig
from tests.unit.test_dlt645_reader import Rig as DltRig

if TYPE_CHECKING:
    from gateway.interfaces import Poll

UNKNOWN, GOOD = ua.StatusCode(ua.UInt32(0x80340000)), ua.StatusCode(ua.UInt32(0))


def errand(poll: Poll) -> Poll:
    """Return the same poll as somebody asks for it once."""
    old = poll.layout
    return replace(poll, layout=Layout(old.meter, 0.0, old.channels, old.slots))


def test_a_channel_that_comes_and_goes_is_told_twice_a_minute_and_in_the_end() -> None:
    notices, tellings = Notices(), Tellings()
    for tick in range(600):  # a minute of changes, ten a second; it begins and ends off and on
        tellings.tell(notices, tick / 10, "m", "c", is_off=tick % 2 == 0, reason="r")
    assert [kind for kind, _, _ in notices] == ["channel_absent", "channel_found"]
    tellings.tell(notices, 61.0, "m", "c", is_off=True, reason="r")
    assert (notices[-1][0], notices[-1][2]["count"]) == ("channel_absent", 599)
    tellings.tell(notices, 62.0, "m", "c", is_off=False, reason="r")
    tellings.tell(notices, 63.0, "m", "c", is_off=True, reason="r")
    tellings.tell(notices, 64.0, "m", "c", is_off=False, reason="r")
    tellings.tell(notices, 65.0, "m", "c", is_off=True, reason="r")
    tellings.flush(notices, 66.0)
    assert len(notices) == 4
    tellings.flush(notices, 61.0 + HOLD_S)
    assert (notices[-1][0], len(notices)) == ("channel_absent", 5)
    tellings.flush(notices, 1e9)
    assert len(notices) == 5


def test_what_is_remembered_of_channels_is_bounded() -> None:
    notices, tellings = Notices(), Tellings()
    for n in range(CHANNELS_MAX + 5):
        tellings.tell(notices, 0.0, "m", f"c{n}", is_off=True)
    assert len(tellings._told) == CHANNELS_MAX


@pytest.mark.parametrize("period_s", [10.0, 0.0])
def test_opcua_states_that_change_with_each_report_are_two_events_a_minute(period_s: float) -> None:
    now = [0.0]
    clock: Any = SimpleNamespace(monotonic=lambda: now[0])
    notices, channels = Notices(), Channels("x", clock)
    poll = poll_of("dlt645-2007", "000012345678", ("frequency",), period_s)
    for n in range(1000):
        now[0] = n * 0.05
        answer = ua.DataValue(ua.Variant(1.0), StatusCode=UNKNOWN if n % 2 == 0 else GOOD)
        channels.judge(notices, poll, 0, answer, has_number=n % 2 == 1)
    now[0] += HOLD_S
    channels.flush(notices)
    expected = ["channel_absent", "channel_found"] if period_s else []
    assert [kind for kind, _, _ in notices] == expected


async def test_cjt188_unit_bytes_that_change_with_each_poll_are_bounded_and_errands_tell_nothing() -> None:
    rig = CjtRig()
    rig.station.unit_bytes[7] = 0x29
    await rig.reader.read(errand(rig.poll))
    assert not rig.notices
    for n in range(20):
        rig.station.unit_bytes[7] = 0x29 if n % 2 == 0 else 0x2C
        await rig.flags()
        rig.clock.passed_s += 1
    told = [kind for kind, _, _ in rig.notices if kind.startswith("channel")]
    assert told == ["channel_absent", "channel_found"]
    rig.clock.passed_s += HOLD_S
    rig.station.unit_bytes[7] = 0x29
    await rig.flags()
    assert rig.notices.of("channel_absent")[1]["count"] == 19


async def test_dlt645_errands_learn_and_tell_nothing() -> None:
    rig = DltRig()
    rig.station.absent.add(0x02800002)
    for _ in range(4):
        await rig.reader.read(errand(rig.poll))
    assert rig.asked().count(0x02800002) == 4
    rig.line.silent = True
    for n in range(3):
        with pytest.raises(DeviceError):
            await rig.reader.read(replace(errand(rig.poll), meter=f"x{n}", address=f"{n:012d}"))
    assert not rig.notices
    assert not rig.reader._meters
    assert not rig.reader._names


async def test_modbus_errands_learn_and_tell_nothing() -> None:
    notices = Notices()
    async with linked(_without({1}), ManualClock()) as (_, link):
        link.notice = notices
        poll = errand(make_poll([holding(0), holding(1), holding(10)]))
        for _ in range(4):
            await link.read(poll)
        assert not notices
        assert link.figures()["channels_off"] == {}
        await link.read(make_poll([holding(0), holding(1), holding(10)]))
        assert [kind for kind, _, _ in notices] == ["channel_absent"]
