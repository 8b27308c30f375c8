"""The DL/T 645 reader on stations without a wire."""

from __future__ import annotations

from decimal import Decimal

import pytest

from drivers.dlt645.own_time import clock_s, frozen_s
from drivers.dlt645.reader import Dlt645Reader, Frozen
from gateway.errors import DeviceError, LinkDown
from gateway.interfaces import Poll
from gateway.model import Flag
from simulators.dlt645_station import Dlt645Station
from tests.unit.identified_rig import NOON_NS, FakeLine, HandClock, Notices, poll_of, site_of

ADDRESS = "000012345678"
KEYS = ("energy_active_import_total", "voltage_ln_l1", "frequency")
ENERGY, VOLTAGE, FREQUENCY = 0x00010000, 0x02010100, 0x02800002
DAY_S = 86_400.0


class Rig:
    def __init__(self, wall_ns: int = NOON_NS) -> None:
        self.clock = HandClock(wall_ns)
        self.site = site_of("dlt645-2007", ADDRESS, "electricity", wall_ns)
        self.station = Dlt645Station(self.site, self.site.meters["m"], self.clock)
        self.line = FakeLine(self.station, self.clock)
        self.notices = Notices()
        self.reader = Dlt645Reader(self.line, self.clock, "hall", self.notices)
        self.poll = poll_of("dlt645-2007", ADDRESS, KEYS)

    async def flags(self) -> list[int]:
        (sample,) = await self.reader.read(self.poll)
        return list(sample.flags)

    def asked(self) -> list[int]:
        asked = [ask.signature for ask in self.line.asks]
        self.line.asks.clear()
        return asked  # type: ignore[return-value]


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_one_request_for_each_identifier(rig: Rig) -> None:
    (sample,) = await rig.reader.read(rig.poll)
    assert rig.asked()[:3] == [ENERGY, VOLTAGE, FREQUENCY]
    shown, _ = rig.site.meters["m"].shown("energy_active_import_total", rig.site.seconds(NOON_NS))
    assert rig.poll.layout.exact(sample.raw, 0) == Decimal(shown.numerator) / Decimal(shown.denominator)
    assert list(sample.flags) == [0, 0, 0]
    assert sample.time_ns == NOON_NS


async def test_one_timeout_ends_the_poll_and_the_silent_identifier_goes_last(rig: Rig) -> None:
    await rig.flags()
    rig.asked()
    rig.line.deaf_to = VOLTAGE
    missing = int(Flag.MISSING | Flag.COMMS)
    assert await rig.flags() == [0, missing, missing]
    assert rig.asked() == [ENERGY, VOLTAGE]
    assert await rig.flags() == [0, missing, 0]
    assert rig.asked() == [ENERGY, FREQUENCY, VOLTAGE]


async def test_a_dead_meter_costs_one_timeout(rig: Rig) -> None:
    rig.line.silent = True
    with pytest.raises(DeviceError, match=r"hall, meter m: identifier 00010000.*power, address") as error:
        await rig.flags()
    assert error.value.reason == "timeout"
    assert rig.asked() == [ENERGY]


async def test_an_identifier_the_meter_has_not_is_left_alone_for_a_day(rig: Rig) -> None:
    rig.station.absent.add(VOLTAGE)
    lacking = int(Flag.MISSING | Flag.DEVICE)
    for _ in range(3):
        assert await rig.flags() == [0, lacking, 0]
    assert rig.asked().count(VOLTAGE) == 2, "once more, because a refusal does not say what it refuses"
    (told,) = rig.notices.of("channel_absent")
    assert told["channels"] == ["voltage_ln_l1"]
    assert (told["reason"], told["where"]) == ("no_such_value", "02010100")
    assert "无请求数据" in str(told["error"])
    rig.clock.passed_s += DAY_S + 1
    assert await rig.flags() == [0, lacking, 0]
    assert VOLTAGE in rig.asked()
    assert len(rig.notices.of("channel_absent")) == 1, "told once"
    rig.station.absent.clear()
    rig.clock.passed_s += DAY_S + 1
    assert await rig.flags() == [0, 0, 0]
    assert rig.notices.of("channel_found") == [{"channels": ["voltage_ln_l1"], "where": "02010100"}]


async def test_a_meter_that_refuses_everything_is_told_by_its_error_byte(rig: Rig) -> None:
    rig.station.absent |= {ENERGY, VOLTAGE, FREQUENCY}
    with pytest.raises(DeviceError, match="no such value") as error:
        await rig.flags()
    assert (error.value.reason, error.value.code) == ("exception", 2)


async def test_the_meters_clock_is_told_at_first_and_then_daily(rig: Rig) -> None:
    rig.station.clock_offset_s = -754.0
    await rig.flags()
    await rig.flags()
    (told,) = rig.notices.of("meter_clock")
    assert told["offset_s"] == pytest.approx(-754.0, abs=0.5)
    assert rig.reader.figures()["clock_offset_s"] == {"m": told["offset_s"]}
    rig.clock.passed_s += DAY_S
    await rig.flags()
    assert len(rig.notices.of("meter_clock")) == 2


async def test_no_clock_is_compared_around_the_meters_midnight() -> None:
    rig = Rig(NOON_NS + 12 * 3600 * 10**9 - 60 * 10**9)
    await rig.flags()
    assert not rig.notices.of("meter_clock")
    rig.clock.passed_s += 600
    await rig.flags()
    assert len(rig.notices.of("meter_clock")) == 1


async def test_frozen_totals_close_the_midnight_of_an_outage(rig: Rig) -> None:
    """Requirement: a midnight no reading was taken around is closed with what the meter itself froze (日冻结)."""
    await rig.flags()
    rig.clock.passed_s += 10
    await rig.flags()
    first = len(rig.notices.of("frozen"))
    rig.line.silent = True
    rig.clock.passed_s += 14 * 3600  # past midnight
    with pytest.raises(DeviceError):
        await rig.flags()
    rig.line.silent = False
    await rig.flags()
    await rig.flags()
    told = rig.notices.of("frozen")[first:]
    assert len(told) == 1
    midnight_ns = NOON_NS + 12 * 3600 * 10**9
    assert told[0]["frozen_ns"] == midnight_ns
    shown, unit = rig.site.meters["m"].shown("energy_active_import_total", rig.site.seconds(midnight_ns))
    assert Decimal(str(told[0]["reading"])) == Decimal(shown.numerator) / Decimal(shown.denominator)
    assert (told[0]["channel"], unit) == ("energy_active_import_total", "kWh")


@pytest.mark.parametrize(("offset_s", "believed"), [(3600.0, True), (20 * 365 * DAY_S, True), (0.0, False)])
async def test_a_time_of_freezing_is_told_only_if_it_lies_in_the_outage(
    rig: Rig, offset_s: float, believed: bool
) -> None:
    """The meter's clock may be wrong by years: corrected it fits; but a time that does not fit is no fact."""
    await rig.flags()
    told = rig.notices.of("frozen")
    rig.line.silent = True
    rig.clock.passed_s += 14 * 3600
    with pytest.raises(DeviceError):
        await rig.flags()
    rig.line.silent = False
    (reading,) = rig.reader._readings.values()
    reading.meter.clock_offset_s = offset_s
    reading.meter.clock_due_s = rig.clock.passed_s + DAY_S
    midnight_s = NOON_NS / 1e9 + 12 * 3600
    shown_s = midnight_s + (offset_s or 80 * 365 * DAY_S)

    async def frozen(poll: Poll) -> list[Frozen]:
        return [Frozen("energy_active_import_total", Decimal(5), "kWh", round(shown_s) * 10**9)]

    rig.reader.frozen = frozen  # type: ignore[method-assign]
    await rig.flags()
    (event,) = rig.notices.of("frozen")[len(told) :]
    assert event["frozen_ns"] == (round(shown_s) * 10**9 if believed else None)
    assert ("doubt" in event) is not believed
    assert believed or "froze this at 2106-" in str(event["doubt"])


async def test_no_frozen_totals_without_an_outage(rig: Rig) -> None:
    await rig.flags()
    before = len(rig.notices.of("frozen"))
    for _ in range(14 * 3600 // 30):
        rig.clock.passed_s += 30
        await rig.flags()
    assert len(rig.notices.of("frozen")) == before


async def test_a_line_that_is_lost_keeps_what_was_read(rig: Rig) -> None:
    rig.line.down = True
    with pytest.raises(LinkDown):
        await rig.flags()


async def test_a_poll_of_another_protocol_is_refused(rig: Rig) -> None:
    poll = Poll("m", "modbus", 1, rig.poll.layout, rig.poll.sources, 1.0)
    with pytest.raises(DeviceError) as error:
        await rig.reader.read(poll)
    assert error.value.reason == "refused"


def test_times_that_are_none() -> None:
    assert clock_s(bytes.fromhex("05290526"), bytes.fromhex("000012"), 480) == NOON_NS / 1e9
    assert clock_s(bytes.fromhex("0529ff26"), bytes.fromhex("000012"), 480) is None
    assert clock_s(bytes.fromhex("05321326"), bytes.fromhex("000012"), 480) is None
    assert frozen_s(bytes(5), 480) is None, "never frozen"
    assert frozen_s(bytes.fromhex("0000290526"), 480) == NOON_NS / 1e9 - 12 * 3600
