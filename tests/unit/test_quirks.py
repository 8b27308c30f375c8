"""Each awkward register meter we know of is expressible: a profile as a maker's manual would have it, and its value.

The table is about the format; full maps of these meters are in config/profiles or not shipped. Meters that say their
unit, their state or their type in a register of its own are in test_quirks_beside.py.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.unit.quirks import decode, load

if TYPE_CHECKING:
    from pathlib import Path

# quirk, body of the profile, rest of the capture, expected value of the first channel
QUIRKS = [
    (
        "PAC: doubles in Wh, whole values, wire address 801, modulus, sum of tariffs",
        """[read]
        function = 3
        order = "ABCD"
        split = "whole_values"
        holes = "error"
        [channels.energy_active_import_total]
        quantity = "energy_active_import"
        type = "split"
        unit = "Wh"
        parts = [{ address = 801, type = "f64" }, { address = 805, type = "f64" }]
        [channels.energy_active_import_t1]
        quantity = "energy_active_import"
        address = 801
        type = "f64"
        unit = "Wh"
        modulus = "1000000000000" """,
        'blocks = [{ function = 3, address = 801, hex = "408f40000000000040df400000000000" }]',
        "33",
    ),
    (
        "iEM: number n is wire n - 1, four-quadrant power factor",
        """[read]
        function = 3
        doc_offset = 1
        [channels.power_factor_total]
        quantity = "power_factor"
        address = 3083
        type = "f32"
        unit = "1"
        transform = "pf_4q" """,
        'blocks = [{ function = 3, address = 3083, hex = "bfc00000" }]',
        "-0.5",
    ),
    (
        "four-quadrant power factor in thousandths: it bends at 1, not at 1 count",
        """[read]
        function = 3
        [channels.power_factor_total]
        quantity = "power_factor"
        address = 3083
        type = "s16"
        factor = "0.001"
        unit = "1"
        transform = "pf_4q" """,
        'blocks = [{ function = 3, address = 3083, hex = "03fc" }]',
        "0.98",
    ),
    (
        "PM8xx: modulo 10 000, four registers, lowest first",
        """[read]
        function = 3
        [channels.energy_active_total]
        quantity = "energy_active_total"
        address = 1715
        type = "mod10k4"
        order = "CDAB"
        unit = "Wh" """,
        'blocks = [{ function = 3, address = 1715, hex = "162e04d200010000" }]',
        "112345.678",
    ),
    (
        "PM8xx: sign and magnitude in thousandths",
        """[read]
        function = 3
        type = "u16"
        [channels.power_factor_total]
        quantity = "power_factor"
        address = 1162
        factor = "0.001"
        unit = "1"
        transform = "signed_magnitude" """,
        'blocks = [{ function = 3, address = 1162, hex = "83b6" }]',
        "-0.95",
    ),
    (
        "DTSU666: floats that still need a factor, ratio registers, another address by firmware",
        """variants = { fw_4000 = "energies at 0x401E" }
        [read]
        function = 3
        [ratios.ct]
        address = 6
        type = "u16"
        [channels.energy_active_import_total]
        quantity = "energy_active_import"
        address = 4126
        type = "f32"
        factor = "0.1"
        unit = "kWh"
        multiply = ["ct"]
        alternatives = { fw_4000 = { address = 16414 } } """,
        """variant = "fw_4000"
        blocks = [{ function = 3, address = 6, hex = "0014" }, { function = 3, address = 16414, hex = "3fc00000" }]""",
        "3",
    ),
    (
        "Acrel PZ: two decimal-point exponents in the two bytes of one register",
        """[read]
        function = 3
        [ratios.dpt]
        address = 35
        type = "u8hi"
        as = "exp10"
        exponent_offset = -4
        [ratios.dct]
        address = 35
        type = "u8lo"
        as = "exp10"
        exponent_offset = -4
        [channels.voltage_ln_l1]
        quantity = "voltage_ln"
        address = 37
        type = "u16"
        unit = "V"
        multiply = ["dpt"] """,
        'blocks = [{ function = 3, address = 35, hex = "0302" }, { function = 3, address = 37, hex = "08fd" }]',
        "230.1",
    ),
    (
        "APLUS: decimal exponent register, low word first, wraps at 10^8 counts",
        """[read]
        function = 3
        order = "CDAB"
        doc_offset = 40001
        [ratios.ce]
        address = 1627
        type = "u16"
        as = "exp10"
        [channels.energy_active_import_total]
        quantity = "energy_active_import"
        address = 2043
        type = "u32"
        unit = "Wh"
        modulus_raw = "100000000"
        multiply = ["ce"] """,
        'blocks = [{ function = 3, address = 1627, hex = "0002" }, { function = 3, address = 2043, hex = "e2400001" }]',
        "12345.6",
    ),
    (
        "EM24: low word first, full scale 7FFFFFFF means overflow",
        """sentinels = { s32 = ["7fffffff"] }
        [read]
        function = 4
        order = "CDAB"
        [channels.power_active_total]
        quantity = "power_active"
        address = 40
        type = "s32"
        factor = "0.1"
        unit = "W" """,
        'blocks = [{ function = 4, address = 40, hex = "ffff7fff" }]',
        "absent",
    ),
    (
        "Janitza: a float32 counter in Wh, bytes and words reversed",
        """[read]
        function = 3
        order = "DCBA"
        [channels.energy_active_import_total]
        quantity = "energy_active_import"
        address = 52644
        type = "f32"
        unit = "Wh" """,
        'blocks = [{ function = 3, address = 52644, hex = "0024744a" }]',  # 4a742400: 4 000 000
        "4000",
    ),
    (
        "Eastron: even start and count, unlisted addresses answer 0",
        """[read]
        function = 4
        align = 2
        registers_max = 60
        holes = "zero"
        [channels.voltage_ln_l1]
        quantity = "voltage_ln"
        address = 0
        type = "f32"
        unit = "V" """,
        'blocks = [{ function = 4, address = 0, hex = "4366199a" }]',
        "230.1",
    ),
    (
        "ABB: 64-bit counts of 0.01 kWh, all ones is not available",
        """sentinels = { u64 = ["ffffffffffffffff"] }
        [read]
        function = 3
        [channels.energy_active_import_total]
        quantity = "energy_active_import"
        address = 20480
        type = "u64"
        factor = "0.01"
        unit = "kWh" """,
        'blocks = [{ function = 3, address = 20480, hex = "0020000000000001" }]',
        "90071992547409.93",
    ),
    (
        "VPFlowScope: every address holds a whole 32-bit value, so addresses overlap",
        """[read]
        function = 3
        order = "CDAB"
        registers_max = 2
        split = "single"
        pause_ms = 10
        [channels.velocity_normal]
        quantity = "velocity_normal"
        address = 16
        type = "s32"
        factor = "0.1"
        unit = "m/s"
        reference = "0 °C, 101.325 kPa"
        [channels.flow_volume_normal]
        quantity = "flow_volume_normal"
        address = 17
        type = "s32"
        factor = "0.1"
        unit = "m3/h"
        reference = "0 °C, 101.325 kPa" """,
        'blocks = [{ function = 3, address = 16, hex = "007d0000" }]',
        "12.5",
    ),
    (
        "EK280: three registers of packed decimal digits",
        """[read]
        function = 3
        [channels.volume_normal_total]
        quantity = "volume_normal"
        address = 300
        type = "bcd48"
        unit = "m3"
        reference = "configured" """,
        'blocks = [{ function = 3, address = 300, hex = "001234567890" }]',
        "1234567890",
    ),
    (
        "E+H: byte order set in the device, here bytes swapped, one variant each",
        """variants = { order_1032 = "byte order 1-0-3-2" }
        [read]
        function = 3
        [channels.flow_mass]
        quantity = "flow_mass"
        address = 2006
        type = "f32"
        unit = "configured"
        alternatives = { order_1032 = { order = "CDAB" } } """,
        'variant = "order_1032"\nunits = { flow_mass = "kg/h" }\nblocks = [{ function = 3, address = 2006, hex = "4000451c" }]',
        "2.5",
    ),
    (
        "GM32: the unit is in the device's menu, and nowhere in its registers",
        """[read]
        function = 4
        [channels.concentration_c1]
        quantity = "concentration"
        address = 5000
        type = "f32"
        unit = "configured" """,
        'units = { concentration_c1 = "ppm" }\nblocks = [{ function = 4, address = 5000, hex = "42fa0000" }]',
        "0.0125",
    ),
    (
        "COUNTIS, DIRIS: one table, another factor by model",
        """variants = { diris_a14 = "frequency in 0.001 Hz" }
        [read]
        function = 3
        [channels.frequency]
        quantity = "frequency"
        address = 50526
        type = "u32"
        factor = "0.01"
        unit = "Hz"
        alternatives = { diris_a14 = { factor = "0.001" } } """,
        'variant = "diris_a14"\nblocks = [{ function = 3, address = 50526, hex = "0000c33c" }]',
        "49.98",
    ),
]


@pytest.mark.parametrize(
    ("body", "capture", "expected"), [row[1:] for row in QUIRKS], ids=[row[0] for row in QUIRKS]
)
def test_it_is_expressible(body: str, capture: str, expected: str, tmp_path: Path) -> None:
    decoded = decode(load(body, capture, expected, tmp_path))
    assert decoded.exact == (None if expected == "absent" else Decimal(expected))
