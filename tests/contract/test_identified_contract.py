"""DL/T 645 and CJ/T 188 on one simulated line: every channel of every profile, by the gateway's own path."""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from gateway import assembly
from gateway.clock import SystemClock
from gateway.config.site_file import load
from gateway.model import NS
from gateway.quantity import QUANTITIES
from gateway.targets import SiteDirectory
from simulators.dlt645_station import Items
from simulators.measures import convert, to_si
from simulators.plan import LinkPlan, MeterPlan, Plan
from simulators.run import serve
from simulators.site import Site, profile_folders, profile_text
from simulators.site_file import site_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.interfaces import Clock, Poll
    from gateway.model import Sample

BAUD = 115_200
DAY_NS = 86_400 * NS
NOON_NS = 4 * 3600 * NS  # of a day of UTC: noon on the meters' clocks, which keep UTC+8
PROFILES = ("dlt645-2007", "cjt188-water", "cjt188-heat", "cjt188-gas")
MODELS = {"gas": "gas", "water": "water", "heat": "heat", "electricity": "electricity"}
PARAMETERS = {"power_kw": 20.0, "flow_m3_h": 30.0}
Decoded = tuple["Poll", "Sample", dict[str, tuple[float, int, str]]]


class NoonClock(SystemClock):
    """The machine's clock set to noon of its meters: around midnight no meter's clock is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.shift_ns = NOON_NS - super().wall_ns() % DAY_NS

    def wall_ns(self) -> int:
        return super().wall_ns() + self.shift_ns


def _meters() -> Iterator[MeterPlan]:
    number = 0
    for name in PROFILES:
        profile = profile_text(name, profile_folders())
        digits = 12 if profile["protocol"] == "dlt645" else 14
        for variant in ("", *profile.get("variants", {})):
            number += 1
            keys = [
                k for k, c in profile["channels"].items() if not c.get("variants") or variant in c["variants"]
            ]
            yield MeterPlan(
                id=f"m{number}",
                link="hall",
                model=MODELS[profile["medium"]],
                profile=name,
                address=f"{number * 11_111_111:0{digits}d}",
                channels=tuple(keys),
                parameters=PARAMETERS,
                ratios=dict.fromkeys(profile.get("ratios", {}), "2"),
                variant=variant,
            )


def _shown(plan: Plan) -> Plan:
    """Return the plan with a value of its own for each channel, negative where the format has a sign."""
    site = Site(plan, SystemClock().wall_ns())
    meters = []
    for meter in plan.meters:
        items = site.meters[meter.id].map
        assert isinstance(items, Items)
        shows = {}
        for i, item in enumerate(items.registers):
            low, high = QUANTITIES[item.quantity].low, QUANTITIES[item.quantity].high
            count = 1000 + 137 * i if item.digits else 44
            value = Fraction(count) * item.scale * (-1 if item.signed and i % 2 and low is None else 1)
            canonical = convert(value, item.unit, QUANTITIES[item.quantity].unit)
            if high is not None and canonical > high:
                value = Fraction(9, 10) if high <= 1 else Fraction(50)
            shows[item.key] = to_si(value, item.unit)
        meters.append(replace(meter, shows=shows))
    return replace(plan, meters=tuple(meters))


async def _read(
    path: Path, notices: list[tuple[str, str, Mapping[str, object]]], clock: Clock
) -> list[Decoded]:
    """Return each meter polled once: what was asked, what came, and channel -> (value, flags, unit)."""
    site = load(path)
    directory = SiteDirectory("g", "s", "", assembly.meter_infos(site))
    targets = assembly.targets(site, assembly.library(site), directory, clock)
    link = assembly.link(site.link("hall"), clock)
    link.notice = lambda kind, subject, /, **detail: notices.append((kind, subject, detail))
    await link.open()
    found: list[Decoded] = []
    try:
        for target in targets["hall"]:
            poll = await target.poll(link)
            (sample,) = await link.read(poll)
            flags = array("H", sample.flags)
            values = poll.layout.decode(sample.raw, flags)
            rows = zip(poll.layout.channels, values, flags, strict=True)
            found.append((poll, sample, {c.key: (v, f, c.unit) for c, v, f in rows}))
    finally:
        await link.close()
    return found


@pytest.mark.parametrize("kind", ["serial", "tcp-serial"])
async def test_every_channel_of_every_profile_is_read_back(kind: str, tmp_path: Path) -> None:
    link = LinkPlan("hall", kind, baud=BAUD)
    plan = _shown(Plan("line", 1, (link,), tuple(_meters()), refresh_s=3600.0))
    clock = NoonClock()
    running = await serve(plan, clock)
    notices: list[tuple[str, str, Mapping[str, object]]] = []
    try:
        path = tmp_path / "site.toml"
        path.write_text(site_toml(plan, running.ports), encoding="utf-8")
        read = await _read(path, notices, clock)
    finally:
        await running.stop()
    assert {poll.meter for poll, _, _ in read} == {meter.id for meter in plan.meters}
    wrong = []
    for poll, _, channels in read:
        for key, (value, flags, unit) in channels.items():
            own, own_unit = running.site.meters[poll.meter].shown(
                key, running.site.seconds(running.site.start_ns)
            )
            truth = float(convert(own, own_unit, unit))
            if flags or value != pytest.approx(truth, rel=1e-9, abs=1e-9):
                wrong.append(f"{poll.meter} {key}: read {value} (flags {flags}), shown {truth} {unit}")
    assert not wrong, "\n".join(wrong)
    offsets = {meter: detail["offset_s"] for event, meter, detail in notices if event == "meter_clock"}
    assert set(offsets) == {meter.id for meter in plan.meters}
    assert all(abs(float(str(offset))) < 1.5 for offset in offsets.values()), offsets


async def test_modbus_and_dlt645_share_a_line(tmp_path: Path) -> None:
    """A line may carry both: each reader finds its own answers and leaves the other's alone."""
    link = LinkPlan("hall", "tcp-serial", baud=BAUD)
    own = next(_meters())
    other = MeterPlan(
        "sdm", "hall", "electricity", profile="eastron-sdm630", unit=7, parameters=PARAMETERS,
        channels=("voltage_ln_l1", "power_active_total"),
    )  # fmt: skip
    plan = Plan("line", 1, (link,), (other, replace(own, channels=("voltage_ln_l1",))), refresh_s=3600.0)
    running = await serve(plan)
    try:
        path = tmp_path / "site.toml"
        path.write_text(site_toml(plan, running.ports), encoding="utf-8")
        read = {poll.meter: channels for poll, _, channels in await _read(path, [], SystemClock())}
    finally:
        await running.stop()
    for meter, channels in read.items():
        for key, (value, flags, unit) in channels.items():
            truth = running.site.truth(meter, key, running.site.start_ns, unit)
            assert flags == 0, (meter, key)
            assert value == pytest.approx(truth, rel=1e-6), (meter, key)
    assert set(read) == {"sdm", own.id}
