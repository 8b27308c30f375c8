"""Every profile that is shipped can be simulated, and its golden captures come out of our own encoder."""

from __future__ import annotations

import importlib
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.quantity import QUANTITIES
from gateway.quantity import UNITS as CANONICAL
from simulators.encode import read_profile
from simulators.inputs import with_inputs
from simulators.measures import UNITS, exact, to_si
from simulators.physics import MODELS, find
from simulators.plan import MeterPlan
from simulators.site import PROTOCOLS, SimulatedMeter, profile_folders, profile_text

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = sorted(path.stem for folder in profile_folders() for path in folder.glob("*.toml"))
MODEL_OF = {
    "electricity": "electricity",
    "water": "water",
    "heat": "heat",
    "gas": "gas",
    "steam": "steam",
    "liquid": "water",
    "compressed_air": "compressed_air",
    "gas_analysis": "air",
    "any": "electricity",
}
PARAMETERS = {"power_kw": 20.0, "flow_m3_h": 30.0, "flow_t_h": 6.0}
EXACT_KWH = 2**53 // 1000  # the physics is float64; registers above are for the gateway's own tests
SIZES = {"u8hi": 2, "u8lo": 2, "u16": 2, "s16": 2, "u32": 4, "s32": 4, "f32": 4}
SILENT = {  # no model of a feeder has them; a simulated meter shows 0
    "demand_current",
    "demand_current_max",
    "demand_power_active_export",
    "demand_power_active_export_max",
    "demand_power_active_last",
    "operating_time",
    "phase_sequence",
    "power_active_export",
    "power_apparent_export",
    "power_apparent_import",
    "power_reactive_capacitive",
    "power_reactive_export",
    "power_reactive_import",
    "power_reactive_inductive",
    "status",
    "tdd_current",
    "temperature",
    "thd_current",
    "thd_voltage_ln",
}


def load(name: str) -> dict[str, Any]:
    return profile_text(name, profile_folders())


def registers_of(golden: Mapping[str, Any]) -> dict[tuple[int, int], int]:
    out: dict[tuple[int, int], int] = {}
    for block in golden["blocks"]:
        raw = bytes.fromhex(block["hex"])
        if block["function"] in (1, 2):
            out |= {
                (block["function"], block["address"] + i): raw[i // 8] >> i % 8 & 1
                for i in range(8 * len(raw))
            }
            continue
        for i in range(0, len(raw), 2):
            out[block["function"], block["address"] + i // 2] = int.from_bytes(raw[i : i + 2], "big")
    return out


def ratios_of(profile: Mapping[str, Any], golden: Mapping[str, Any]) -> dict[str, str]:
    """Return configured ratios, and those a golden capture holds in registers."""
    ratios = {name: str(value) for name, value in golden.get("ratios", {}).items()}
    held = registers_of(golden)
    for name, rule in profile.get("ratios", {}).items():
        place = (rule.get("function", profile["read"]["function"]), rule.get("address", -1))
        if place in held:
            assert SIZES[rule["type"]] == 2, "this test reads ratios of one register"
            number = held[place] - (0x10000 if rule["type"] == "s16" and held[place] & 0x8000 else 0)
            number = {"u8hi": number >> 8, "u8lo": number & 0xFF}.get(rule["type"], number)
            value = exact(number) * exact(rule.get("factor", "1"))
            if rule.get("as") == "exp10":
                value = Fraction(10) ** (number + rule.get("exponent_offset", 0))
            ratios[name] = str(float(value))
    return ratios


def test_there_are_profiles() -> None:
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_every_channel_can_be_simulated(name: str) -> None:
    profile = load(name)
    if profile["protocol"] not in PROTOCOLS:
        pytest.fail(f"{name}: protocol {profile['protocol']}: say in simulators.site how it is simulated")
    profile = with_inputs(profile, profile["golden"][0].get("inputs", {}))
    menu = {
        key: CANONICAL[QUANTITIES[channel["quantity"]].dimension][0]
        for key, channel in profile["channels"].items()
        if channel["unit"] == "configured"
    }
    of_protocol = importlib.import_module(PROTOCOLS[profile["protocol"]])
    registers = of_protocol.read_profile(profile, ratios={}, units=menu)
    plan = MeterPlan("m", "l", MODEL_OF[profile["medium"]], parameters=PARAMETERS, profile=name)
    meter = SimulatedMeter(plan, registers, 1, 0.0)
    meter.check(3600.0)
    chosen = profile.get("default", profile["channels"])
    ordinary = [key for key in chosen if "" in profile["channels"][key].get("variants", [""])]
    for key in ordinary:
        value, unit = meter.shown(key, 3600.0)
        assert unit in UNITS
        if QUANTITIES[profile["channels"][key]["quantity"]].low == 0:
            assert value >= 0


@pytest.mark.parametrize("name", [name for name in NAMES if load(name)["protocol"] == "modbus"])
def test_golden_captures_come_out_of_the_encoder(name: str) -> None:
    profile = load(name)
    compared = 0
    for golden in profile["golden"]:
        held = registers_of(golden)
        registers = read_profile(
            with_inputs(profile, golden.get("inputs", {})),
            ratios=ratios_of(profile, golden),
            units=golden.get("units", {}),
            variant=golden.get("variant", ""),
            channels=tuple(golden["expect"]),
        )
        for register in registers.registers:
            text = golden["expect"].get(register.key, "absent")
            two_tariffs = len(register.pieces) > 1 and register.pieces[0].type in {"f32", "f64"}
            if text == "absent" or register.transform or two_tariffs or Fraction(text) > EXACT_KWH:
                continue
            value = to_si(Fraction(text), QUANTITIES[register.quantity].unit)
            writes, _ = register.encode(value, counter=False)
            for address, mask, bits in writes:
                assert held[register.function, address] & mask == bits, f"{register.key} = {text}"
            compared += 1
    assert compared


def test_models_know_the_quantities_of_their_meters() -> None:
    state = MODELS["electricity"](Random(1), PARAMETERS).state(0.0)
    silent = {
        channel["quantity"]
        for name in NAMES
        if (profile := load(name))["medium"] == "electricity"
        for key, channel in profile["channels"].items()
        if not find(state, key, channel["quantity"]) and key[-3:] not in {"_t2", "_t3", "_t4"}
    }
    assert silent <= SILENT
