"""The CJ/T 188 reader on stations without a wire."""

from __future__ import annotations

import pytest

from drivers import profiles
from drivers.cjt188.frame import clock_s
from drivers.cjt188.reader import Cjt188Reader
from gateway.errors import DeviceError
from gateway.interfaces import Poll
from gateway.model import Flag
from simulators.cjt188_station import Cjt188Station
from tests.unit.identified_rig import LIBRARY, NOON_NS, FakeLine, HandClock, Notices, poll_of, site_of

ADDRESS = "00000012345678"
KEYS = ("volume", "status")


class Rig:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.site = site_of("cjt188-water", ADDRESS, "water", NOON_NS)
        self.station = Cjt188Station(self.site, self.site.meters["m"], self.clock)
        self.line = FakeLine(self.station, self.clock)
        self.notices = Notices()
        self.reader = Cjt188Reader(self.line, self.clock, "hall", self.notices)
        self.poll = poll_of("cjt188-water", ADDRESS, KEYS)

    async def flags(self) -> list[int]:
        (sample,) = await self.reader.read(self.poll)
        return list(sample.flags)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_one_request_a_poll_with_a_serial_number_of_its_own(rig: Rig) -> None:
    assert await rig.flags() == await rig.flags() == [0, 0]
    assert len(rig.line.asks) == 2
    assert len({ask.signature for ask in rig.line.asks}) == 2, "so a late answer is never mistaken"


async def test_a_changed_unit_byte_is_never_taken_for_the_old_unit(rig: Rig) -> None:
    await rig.flags()
    rig.station.unit_bytes[7] = 0x29
    assert await rig.flags() == await rig.flags() == [int(Flag.MISSING | Flag.DEVICE), 0]
    (told,) = rig.notices.of("channel_absent")
    assert (told["channels"], told["reason"]) == (["volume"], "unit_changed")
    assert "29 where 2C" in str(told["error"])
    rig.station.unit_bytes[7] = 0x2C
    assert await rig.flags() == [0, 0]
    assert len(rig.notices.of("channel_found")) == 1


async def test_the_unit_byte_is_read_at_connecting_and_makes_the_layout(rig: Rig) -> None:
    profile = LIBRARY.get("cjt188-water")
    small = profiles.ratio_layout(profile, "m")
    assert small is not None
    values = []
    for code in (0x2C, 0x29):
        rig.station.unit_bytes[7] = code
        (sample,) = await rig.reader.read(
            Poll("m", "cjt188", ADDRESS, small[0], small[1], 0.5, profile.settings())
        )
        values.append(profiles.ratio_values(profile, small[0], sample.raw, {}))
    cubic, litres = (profiles.compile(profile, "m", 10.0, KEYS, v)[0] for v in values)
    assert cubic.digest != litres.digest
    assert (cubic.slots[0].coefficient, litres.slots[0].coefficient) == ("0.01", "0.00001")
    assert cubic.ratios["units.volume"] == "44"
    rig.station.unit_bytes[7] = 0x35
    (sample,) = await rig.reader.read(
        Poll("m", "cjt188", ADDRESS, small[0], small[1], 0.5, profile.settings())
    )
    with pytest.raises(DeviceError, match=r"byte 7 of the reply.*is 53.*44 \(m3\)") as error:
        profiles.ratio_values(profile, small[0], sample.raw, {})
    assert error.value.reason == "refused"


async def test_the_identifier_is_tried_in_both_orders_until_the_meter_answers(rig: Rig) -> None:
    rig.station.low_first_di = True
    with pytest.raises(DeviceError) as error:
        await rig.flags()
    assert error.value.reason == "timeout"
    assert await rig.flags() == [0, 0]
    rig.line.silent = True
    for _ in range(2):
        with pytest.raises(DeviceError):
            await rig.flags()
    rig.line.silent = False
    assert await rig.flags() == [0, 0], "once answered, the order stays"


async def test_another_serial_number_is_no_answer_unless_the_profile_says_so(rig: Rig) -> None:
    rig.station.keeps_ser = False
    await rig.flags()  # serial number 0 both ways
    with pytest.raises(DeviceError):
        await rig.flags()
    settings = rig.poll.settings
    loose = type(settings)(0x10, (22,), echoes_ser=False)  # type: ignore[call-arg]
    rig.poll = Poll("m", "cjt188", ADDRESS, rig.poll.layout, rig.poll.sources, 0.5, loose)
    assert await rig.flags() == [0, 0]


async def test_a_reply_of_another_length_is_refused(rig: Rig) -> None:
    settings = type(rig.poll.settings)(0x10, (46,))  # type: ignore[call-arg]
    rig.poll = Poll("m", "cjt188", ADDRESS, rig.poll.layout, rig.poll.sources, 0.5, settings)
    with pytest.raises(DeviceError, match="22 bytes where the profile knows 46") as error:
        await rig.flags()
    assert error.value.reason == "garbage"


async def test_a_refusal_is_an_exception(rig: Rig) -> None:
    rig.station.hear = lambda request: rig.station.refuse(request, 2)  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="control C1") as error:
        await rig.flags()
    assert error.value.reason == "exception"


async def test_the_meters_clock_comes_with_the_values(rig: Rig) -> None:
    rig.station.clock_offset_s = 93.0
    await rig.flags()
    await rig.flags()
    (told,) = rig.notices.of("meter_clock")
    assert told["offset_s"] == pytest.approx(93.0, abs=0.5)


def test_a_lost_clock_is_no_time_and_no_crash() -> None:
    assert clock_s(bytes.fromhex("31012211051520"), 0) == 1_431_381_691.0
    for year_1_and_none in ("00000001010100", "00000001010000", "ffffffffffffff", ""):
        assert clock_s(bytes.fromhex(year_1_and_none), 480) is None
    assert clock_s(bytes.fromhex("59595931129999"), -480) is None
