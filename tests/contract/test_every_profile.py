"""Every profile that is shipped, on the wire: served by a simulated meter, read back by the gateway's own path.

Each channel of a meter shows a value of its own, so that two registers, units or ratios taken for one another are
seen. Where several channels are one register (a counter that counts volume or mass as configured) or a variant lies
elsewhere, the profile is served as several meters.
"""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from gateway import assembly
from gateway.clock import SystemClock
from gateway.config.site_file import load
from gateway.model import Channel, Flag
from gateway.quantity import QUANTITIES
from gateway.quantity import UNITS as CANONICAL
from gateway.targets import SiteDirectory
from simulators.encode import read_profile
from simulators.inputs import with_inputs
from simulators.measures import convert, to_si
from simulators.modbus_server import ModbusHost
from simulators.plan import LinkPlan, MeterPlan, Plan
from simulators.site import Site, profile_folders, profile_text
from simulators.site_file import site_toml
from tests.contract.test_identified_contract import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from simulators.encode import Register, RegisterMap

NAMES = sorted(path.stem for folder in profile_folders() for path in folder.glob("*.toml"))
BY_PROTOCOL: dict[str, list[str]] = {}
for _name in NAMES:
    BY_PROTOCOL.setdefault(profile_text(_name, profile_folders())["protocol"], []).append(_name)
BY_IDENTIFIER = {
    "dlt645",
    "cjt188",
}  # tests/contract/test_identified_contract.py serves and reads all of these
METERS_PER_LINK = 60
GOLDEN_RATIO = 0.6180339887  # its multiples spread evenly
EXACT = 1e-9  # float64 against exact: the registers themselves are compared without loss
PARAMETERS = {"power_kw": 20.0, "flow_m3_h": 30.0, "flow_t_h": 6.0}
MODEL_OF = {"gas_analysis": "air", "liquid": "water", "any": "electricity"}
ENERGY_KIND = "other"
OWN_METER = """
schema = 1
id = "own-meter"
maker = "none"
model = "made up for a test"
medium = "water"
protocol = "modbus"
confidence = "one-source"
sources = ["made up"]
no_probe = "made up"
[read]
function = 3
[units.volume]
address = 70
function = 4
type = "u16"
map = { 5 = "L", 9 = "m3" }
[channels.volume]
quantity = "volume"
address = 2
type = "u32"
unit = "units.volume"
[[golden]]
name = "made up"
constructed = true
blocks = [{ function = 3, address = 2, hex = "000003e8" }, { function = 4, address = 70, hex = "0005" }]
expect = { volume = "1" }
"""


def menu(profile: Mapping[str, Any]) -> dict[str, str]:
    """Return channel -> unit where the device's menu decides: the canonical one."""
    return {
        key: CANONICAL[QUANTITIES[channel["quantity"]].dimension][0]
        for key, channel in profile["channels"].items()
        if channel["unit"] == "configured"
    }


def meters_of(name: str) -> Iterator[MeterPlan]:
    """Yield simulated meters that together have every channel of a profile in every variant."""
    plain = profile_text(name, profile_folders())
    inputs = {
        key: wired(i, c["input"]) for i, (key, c) in enumerate(plain["channels"].items()) if "input" in c
    }
    profile = with_inputs(plain, inputs)
    ratios = {
        ratio: "10" if rule.get("as") == "exp10" else "2" for ratio, rule in profile.get("ratios", {}).items()
    }
    for v, variant in enumerate(("", *profile.get("variants", {}))):
        left = [
            key for key, c in profile["channels"].items() if not c.get("variants") or variant in c["variants"]
        ]
        for n in range(len(left)):
            if not left:
                break
            units = {key: unit for key, unit in menu(profile).items() if key in left}
            plan = MeterPlan(
                id=f"m{NAMES.index(name)}-{v}-{n}",
                link="line",
                model=MODEL_OF.get(profile["medium"], profile["medium"]),
                name=name,
                profile=name,
                energy_kind=ENERGY_KIND,
                channels=tuple(left),
                parameters=PARAMETERS,
                ratios=ratios,
                units=units,
                inputs=inputs,
                variant=variant,
            )
            registers = read_profile(
                profile, ratios=ratios, units=units, variant=variant, channels=plan.channels
            )
            served = [register.key for register in registers.registers if register.key in left]
            assert served, f"{name}: {left} cannot be served"
            yield shown(replace(plan, channels=tuple(served)), registers, profile)
            left = [key for key in left if key not in served]


def wired(i: int, kind: str) -> dict[str, Any]:
    """Return an input of an I/O module of its own: register, byte order, constant or range."""
    place = {"address": 10 * i, "function": 3 + i % 2, "order": ("ABCD", "CDAB", "BADC", "DCBA")[i % 4]}
    if kind == "pulses":
        return place | {
            "type": ("u16", "u32", "s32")[i % 3],
            "pulses_per_unit": f"{16 + i}0",
            "base": f"{i}234.5",
        }
    return place | {"type": ("u16", "s16", "f32")[i % 3], "range": [f"{i}", "80.5"], "raw": ["400", "2000"]}


def shown(plan: MeterPlan, registers: RegisterMap, profile: Mapping[str, Any]) -> MeterPlan:
    """Return the plan of a meter whose channels each show a value of their own, and with what its menu says."""
    statuses = registers.statuses
    gates = {c["valid_when"]["channel"] for c in profile["channels"].values() if "valid_when" in c}
    values = {
        register.key: statuses[register.key]
        if register.key in gates and register.key in statuses
        else own_value(i, register, profile["channels"][register.key])
        for i, register in enumerate(registers.registers)
    }
    references = {
        key: "20 °C, 101.325 kPa"
        for key in plan.channels
        if profile["channels"][key].get("reference") == "configured"
    }
    units = {key: unit for key, unit in plan.units.items() if key in plan.channels}
    return replace(plan, shows=values, references=references, units=units)


def own_value(i: int, register: Register, channel: Mapping[str, Any]) -> float:
    """Return a value (SI) unlike that of any other channel, within what the register holds and what is plausible."""
    quantity = QUANTITIES[register.quantity]
    low, high = channel.get("low", quantity.low), channel.get("high", quantity.high)
    share = (i + 1) * GOLDEN_RATIO % 1
    if register.pieces[0].type == "bit":
        return float(i % 2)
    number = Fraction(round(25 + 200 * share) if register.pieces[0].type.startswith("u8") else 1000 + 7 * i)
    if register.pieces[-1].type.startswith("f"):
        number += Fraction(i % 8, 8)
    value = number * register.pieces[0].weight * register.scale + register.offset
    canonical = convert(value, register.unit, quantity.unit)
    if (low is None or canonical >= low) and (high is None or canonical <= high):
        return to_si(value, register.unit)
    low, high = (0.0 if low is None else low), (1.0 if high is None else high)
    return to_si(Fraction(low + (high - low) * (0.2 + 0.6 * share)), quantity.unit)


def plausible(channel: Channel, value: float) -> bool:
    """Return whether a value is within the limits of its channel."""
    return not (channel.low is not None and value < channel.low) and not (
        channel.high is not None and value > channel.high
    )


async def read_all(
    plan: Plan, ports: Mapping[str, int], tmp_path: Path
) -> dict[str, dict[str, tuple[float, int, str]]]:
    """Return meter -> channel -> (value, flags, unit), each meter polled once as the gateway does it."""
    path = tmp_path / "site.toml"
    patient = site_toml(plan, ports).replace('timeout = "1s"', 'timeout = "15s"')  # not what is tested here
    path.write_text(patient, encoding="utf-8")
    site = load(path)
    clock = SystemClock()
    library = assembly.library(site)
    directory = SiteDirectory("g", "s", "", assembly.meter_infos(site))
    targets = assembly.targets(site, library, directory, clock)
    found: dict[str, dict[str, tuple[float, int, str]]] = {}

    async def read_link(link_id: str) -> None:
        link = assembly.link(site.link(link_id), clock)
        await link.open()
        try:
            for target in targets[link_id]:
                poll = await target.poll(link)
                (sample,) = await link.read(poll)
                flags = array("H", sample.flags)
                values = poll.layout.decode(sample.raw, flags)
                for channel, value, absent in zip(poll.layout.channels, values, flags, strict=True):
                    doubts = absent | (0 if absent or plausible(channel, value) else Flag.RANGE)
                    found.setdefault(poll.meter, {})[channel.key] = (value, doubts, channel.unit)
        finally:
            await link.close()

    await asyncio.gather(*(read_link(link.id) for link in site.links))
    return found


async def modbus(
    meters: list[MeterPlan], tmp_path: Path, dirs: tuple[Path, ...] = ()
) -> tuple[Site, dict[str, dict[str, tuple[float, int, str]]], int]:
    """Return the simulated site, what was read of it over Modbus TCP, and when (wall ns)."""
    placed = [
        replace(meter, link=f"l{i // METERS_PER_LINK}", unit=i % METERS_PER_LINK + 1)
        for i, meter in enumerate(meters)
    ]
    links = tuple(LinkPlan(name, "modbus-tcp") for name in dict.fromkeys(m.link for m in placed))
    plan = Plan("every profile", 1, links, tuple(placed), profile_dirs=dirs)
    clock = SystemClock()
    now_ns = clock.wall_ns()
    site = Site(plan, now_ns)
    hosts = {
        link.id: ModbusHost(site, [m for m in site.meters.values() if m.plan.link == link.id], clock)
        for link in links
    }
    ports = {name: await host.start() for name, host in hosts.items()}
    try:
        return site, await read_all(plan, ports, tmp_path), now_ns
    finally:
        for host in hosts.values():
            await host.stop()


SERVED = {"modbus": modbus}


@pytest.mark.parametrize("protocol", sorted(BY_PROTOCOL.keys() - BY_IDENTIFIER))
async def test_what_a_meter_shows_is_what_the_gateway_reads(protocol: str, tmp_path: Path) -> None:
    assert protocol in SERVED, f"no simulated meter speaks {protocol}: {BY_PROTOCOL[protocol]}"
    meters = [meter for name in BY_PROTOCOL[protocol] for meter in meters_of(name)]
    site, read, now_ns = await SERVED[protocol](meters, tmp_path)
    wrong = []
    for meter in meters:
        for key in meter.channels:
            value, flags, unit = read[meter.id][key]
            own, own_unit = site.meters[meter.id].shown(key, site.seconds(now_ns))
            truth = float(convert(own, own_unit, unit))
            if flags or value != pytest.approx(truth, rel=EXACT, abs=EXACT):
                wrong.append(
                    f"{meter.name}/{meter.variant} {key}: read {value} (flags {flags}), shown {truth} {unit}"
                )
    assert not wrong, "\n".join(wrong)


def test_every_channel_of_every_variant_is_served() -> None:
    for name in BY_PROTOCOL["modbus"]:
        profile = profile_text(name, profile_folders())
        served = [(meter.variant, key) for meter in meters_of(name) for key in meter.channels]
        for variant in ("", *profile.get("variants", {})):
            there = {
                k for k, c in profile["channels"].items() if not c.get("variants") or variant in c["variants"]
            }
            assert {key for of, key in served if of == variant} == there, name


def test_channels_show_values_of_their_own() -> None:
    meters = [meter for name in BY_PROTOCOL["modbus"] for meter in meters_of(name)]
    for meter in meters:
        values = [v for key, v in meter.shows.items() if not key.startswith("status")]
        assert len(set(values)) >= 0.9 * len(values), meter


def test_every_profile_is_walked_by_one_of_the_two() -> None:
    assert sorted(PROFILES) == sorted(name for protocol in BY_IDENTIFIER for name in BY_PROTOCOL[protocol])


def meter(profile: str, channels: tuple[str, ...], **more: Any) -> MeterPlan:
    return MeterPlan(
        "m", "line", "electricity", profile=profile, channels=channels, parameters=PARAMETERS, **more
    )


async def test_a_shut_status_leaves_no_value(tmp_path: Path) -> None:
    values = {"status_live": 0.0, "concentration_so2": 12e-6, "status_malfunction": 1.0}
    units = {"concentration_so2": "ppm"}
    plan = meter("sick-marsic300", tuple(values), shows=values, units=units, energy_kind="carbon")
    _, read, _ = await modbus([plan], tmp_path)
    flags = {key: flags for key, (_, flags, _) in read["m"].items()}
    assert flags == {"status_live": 0, "concentration_so2": Flag.DEVICE, "status_malfunction": 0}


async def test_a_broken_wire_leaves_no_value(tmp_path: Path) -> None:
    loop = {"address": 3, "type": "u16", "range": [0, 160], "raw": [4000, 20000]}
    inputs = {"flow_volume": loop, "pressure": loop | {"address": 9}}
    values = {"flow_volume": -4.01 / 3600, "pressure": -3990.0}  # 3.599 mA, and 3.601 mA in kPa
    units = {"flow_volume": "m3/h", "pressure": "kPa"}
    plan = meter("generic-loop-input", tuple(values), shows=values, units=units, inputs=inputs)
    _, read, _ = await modbus([plan], tmp_path)
    assert read["m"]["flow_volume"][1] == Flag.DEVICE
    value, flags, unit = read["m"]["pressure"]
    assert (round(value, 6), flags, unit) == (-3.99, 0, "kPa")


@pytest.mark.parametrize(("unit", "value"), [("L", "1.234"), ("m3", "1234")])
async def test_a_register_says_the_unit(unit: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own-meter.toml").write_text(OWN_METER, encoding="utf-8")
    plan = meter(
        "own-meter",
        ("volume",),
        units={"volume": unit},
        shows={"volume": to_si(Fraction(1234), unit)},
    )
    _, read, _ = await modbus([plan], tmp_path, (tmp_path / "own",))
    got, flags, shown_unit = read["m"]["volume"]
    assert (round(got, 9), flags, shown_unit) == (float(value), 0, "m³")
