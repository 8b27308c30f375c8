"""Targets: what is read from which meter, and ratios that live in the meter."""

from __future__ import annotations

import struct
from array import array
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import structlog

from drivers.profiles import Library, shipped_dir
from gateway import assembly
from gateway.config.site_file import from_toml
from gateway.errors import DeviceError
from gateway.interfaces import unnoticed
from gateway.model import Flag, Sample
from gateway.targets import RATIO_AGE_MAX_S, SiteDirectory
from simulators.virtual import VirtualClock, run

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Notice, Poll
    from gateway.polling.target import Target

SITE = """
[gateway]
id = "plant-1"
[site]
timezone = "Asia/Shanghai"
[[links]]
id = "hall-a"
kind = "modbus-tcp"
host = "127.0.0.1"
[[meters]]
id = "feeder-1"
link = "hall-a"
unit = 1
profile = "chint-dtsu666"
energy_kind = "electricity"
period = "1s"
channels = ["voltage_ln_l1", "power_active_total", "energy_active_import_total"]
{more}
"""
SLOWER = '[meters.override.energy_active_import_total]\nperiod = "1min"\n'


class RatioLink:
    """A link whose meter answers the ratio registers: CT, PT in tenths."""

    def __init__(self, ct: int, pt: int) -> None:
        self.ct, self.pt, self.reads, self.refuses, self.silent = ct, pt, 0, False, False
        self.notice: Notice = unnoticed

    def figures(self) -> dict[str, object]:
        return {}

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, poll: Poll) -> list[Sample]:
        assert poll.layout.period_s == 0, "only ratios are read here"
        self.reads += 1
        if self.silent:
            raise DeviceError("no answer", reason="timeout")
        flags = array("H", [Flag.MISSING | Flag.DEVICE if self.refuses else 0, 0])
        return [Sample(0, None, struct.pack(">HH", 0 if self.refuses else self.ct, self.pt), flags)]


def targets(tmp_path: Path, more: str = "") -> tuple[list[Target], SiteDirectory, VirtualClock]:
    site = from_toml(SITE.format(more=more), tmp_path / "site.toml")
    clock = VirtualClock(1_700_000_000_000_000_000)
    directory = SiteDirectory("plant-1", "0", site.digest, assembly.meter_infos(site))
    library = Library([shipped_dir()])
    return assembly.targets(site, library, directory, clock)["hall-a"], directory, clock


def coefficients(poll: Poll) -> list[Decimal]:
    return [Decimal(slot.coefficient) for slot in poll.layout.slots]


def test_one_target_for_each_period_the_meters_own_first(tmp_path: Path) -> None:
    found, _, _ = targets(tmp_path, SLOWER)
    assert [(target.meter, target.period_s) for target in found] == [("feeder-1", 1.0), ("feeder-1", 60.0)]


def test_ratios_of_the_meter_are_in_the_layout_and_read_once(tmp_path: Path) -> None:
    async def main() -> None:
        link = RatioLink(ct=40, pt=10)
        fast, slow = targets(tmp_path, SLOWER)[0]
        poll = await fast.poll(link)
        assert [c.key for c in poll.layout.channels] == ["voltage_ln_l1", "power_active_total"]
        assert coefficients(poll) == [Decimal("0.1"), Decimal("0.1") * 40 / 1000]  # V; W to kW
        assert coefficients(await slow.poll(link)) == [40]
        assert poll.layout.ratios == {"ct": "40", "pt": "1"}
        assert poll.layout.energy_kind == "electricity"
        assert await fast.poll(link) is poll
        assert link.reads == 1, "both periods of a meter share its ratios"

    run(main())


def test_a_changed_ratio_is_a_new_layout_and_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        (target,), directory, clock = targets(tmp_path)
        told: list[object] = []
        directory.replaced = lambda layout, _: told.append(layout.ratios)
        link = RatioLink(ct=40, pt=10)
        first = await target.poll(link)
        link.ct = 60
        assert await target.poll(link) is first, "within the hour nobody asks again"
        await clock.sleep_until(clock.monotonic() + RATIO_AGE_MAX_S + 1)
        second = await target.poll(link)
        assert second.layout.digest != first.layout.digest
        assert told == [{"ct": "60", "pt": "1"}]
        assert directory.layouts() == [second.layout]
        target.reconnected()
        third = await target.poll(link)
        assert link.reads == 3
        assert third is second, "the same ratios are the same layout"
        assert len(told) == 1

    run(main())


def test_a_configured_ratio_wins_over_the_register_which_is_kept_as_evidence(tmp_path: Path) -> None:
    async def main() -> None:
        (target,), _, _ = targets(tmp_path, "ratios = { ct = 80 }")
        poll = await target.poll(RatioLink(ct=40, pt=10))
        assert poll.layout.ratios["ct"] == "80"
        assert poll.layout.ratios["ct.register"] == "40"
        assert coefficients(poll)[1] == Decimal("0.1") * 80 / 1000

    run(main())


@pytest.mark.parametrize(("ct", "refuses"), [(0, False), (40, True)])
def test_a_meter_that_does_not_tell_its_ratio_gives_no_values(tmp_path: Path, ct: int, refuses: bool) -> None:
    async def main() -> None:
        (target,), directory, _ = targets(tmp_path)
        link = RatioLink(ct=ct, pt=10)
        link.refuses = refuses
        with pytest.raises(DeviceError, match="ct"):
            await target.poll(link)
        assert directory.layouts() == []
        link.ct, link.refuses = 40, False
        assert (await target.poll(link)).layout.ratios["ct"] == "40"

    run(main())


def test_a_configured_ratio_needs_no_register(tmp_path: Path) -> None:
    async def main() -> None:
        (target,), _, _ = targets(tmp_path, "ratios = { ct = 80 }")
        link = RatioLink(ct=40, pt=10)
        link.refuses = True
        poll = await target.poll(link)
        assert poll.layout.ratios == {"ct": "80", "pt": "1"}, "zeros nobody sent are no evidence"
        (target,), _, _ = targets(tmp_path, "ratios = { ct = 80, pt = 10 }")
        link.silent = True
        assert (await target.poll(link)).layout.ratios == {"ct": "80", "pt": "10"}
        (target,), _, _ = targets(tmp_path, "ratios = { pt = 10 }")
        link.silent = False
        with pytest.raises(DeviceError, match=r"put ratios.ct into the site file"):
            await target.poll(link)

    run(main())


@pytest.mark.parametrize("fault", ["refuses", "silent", "ct"])
def test_a_ratio_that_cannot_be_read_again_stays_and_is_told_once(tmp_path: Path, fault: str) -> None:
    async def main() -> None:
        (target,), _, clock = targets(tmp_path)
        link = RatioLink(ct=40, pt=10)
        first = await target.poll(link)
        setattr(link, fault, 0 if fault == "ct" else True)
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                await clock.sleep_until(clock.monotonic() + RATIO_AGE_MAX_S + 1)
                assert await target.poll(link) is first
        assert link.reads == 4
        assert [entry["event"] for entry in logs] == ["ratios cannot be read again; those in force stay"]
        assert logs[0]["meter"] == "feeder-1"

    run(main())
