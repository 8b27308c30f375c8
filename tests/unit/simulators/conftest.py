"""Small meter types of the simulators' own, so that these tests say what is wrong with the simulators only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simulators.plan import load_plan

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.plan import Plan

ELECTRIC = """
id = "toy-electric"
[read]
function = 4
function_alt = 3
type = "f32"
registers_max = 20
align = 2
holes = "zero"
[ratios.ct]
address = 40
type = "u16"
factor = "1"
[ratios.pt]
configured = true
[channels.voltage_ln_l1]
quantity = "voltage_ln"
address = 0
multiply = ["pt"]
unit = "V"
[channels.power_active_total]
quantity = "power_active"
address = 6
unit = "W"
multiply = ["ct"]
[channels.energy_active_import_total]
quantity = "energy_active_import"
address = 10
type = "u32"
factor = "0.01"
unit = "kWh"
modulus = "1000000"
"""
STRICT = """
id = "toy-strict"
[read]
function = 3
type = "f64"
split = "whole_values"
holes = "error"
[channels.energy_active_import_total]
quantity = "energy_active_import"
address = 801
unit = "Wh"
[channels.voltage_ln_l1]
quantity = "voltage_ln"
address = 1
type = "f32"
unit = "V"
"""
PLANT = """
[simulation]
name = "toy plant 玩具厂"
seed = 7
profile_dirs = ["profiles"]
[[links]]
id = "hall"
kind = "modbus-tcp"
[[links]]
id = "dcs"
kind = "opcua"
[[meters]]
id = "feeder"
name = "1# 馈线"
link = "hall"
unit = 1
model = "electricity"
profile = "toy-electric"
energy_kind = "electricity"
ratios = { ct = 40, pt = 1 }
parameters = { power_kw = 90 }
rollover = "10s"
[[meters]]
id = "strict"
link = "hall"
unit = 2
model = "electricity"
profile = "toy-strict"
energy_kind = "electricity"
parameters = { power_kw = 25 }
[[meters]]
id = "boiler"
link = "dcs"
model = "steam"
energy_kind = "steam"
parameters = { flow_t_h = 8 }
[meters.variables.flow_mass]
id = "ns=2;s=Boiler.Flow"
quantity = "flow_mass"
unit = "t/h"
type = "Float"
[meters.variables.mass_total]
id = "ns=2;s=Boiler.Total"
quantity = "mass"
unit = "kg"
type = "Int64"
"""


@pytest.fixture
def plant_file(tmp_path: Path) -> Path:
    """Return a simulation file of three meters, with its profiles beside it."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "toy-electric.toml").write_text(ELECTRIC)
    (folder / "toy-strict.toml").write_text(STRICT)
    path = tmp_path / "toy.toml"
    path.write_text(PLANT)
    return path


@pytest.fixture
def modbus_plan(plant_file: Path) -> Plan:
    """Return the plan without its OPC UA link, which takes a second to start."""
    plan = load_plan(plant_file)
    meters = tuple(meter for meter in plan.meters if meter.profile)
    return replace(plan, links=plan.links[:1], meters=meters)
