"""The closed vocabulary of quantities: canonical unit, kind, sign convention and plausible limits.

Canonical units are legal units of measurement in China (State Council order of 1984, GB 3100-1993), so "ppm",
"bar", "Nm³", "kcal" and "tce" never leave the gateway. Where several legal units compete, the one into which the
usual wire units convert by an exact decimal wins: heat is GJ and GJ/h (kW·h and kW convert exactly; GJ to kW·h does
not end), flow is per hour, operating time is in seconds. A volume fraction is %, 1 ppm = 0.0001 %. A gas volume is
m³ with its reference condition (0 °C or 20 °C, 101.325 kPa) stated beside it in `Channel.reference`, never in the unit.

Limits are set only where physics or a definition sets them; None means that no limit is known, not that none exists.
Analysers of trace gases show small negatives around zero, so their fractions have no lower limit.

Source: units: GB 3100-1993 and the 1984 order; UCUM codes: UCUM 2.1, with var written as an annotated V·A since
UCUM has no var.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model import Kind


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity. unit: canonical legal unit as printed; ucum: its UCUM code; dimension: key into units.

    kind: gauge or counter (a status code is a gauge of dimension "1"). sign: what a positive value means,
    "" if it cannot be negative. low, high: plausible limits in the canonical unit, None where none is known.
    reference: True where a value means nothing without its reference condition (`Channel.reference`).
    """

    name: str
    unit: str
    ucum: str
    dimension: str
    kind: Kind
    zh: str
    en: str
    sign: str = ""
    low: float | None = None
    high: float | None = None
    reference: bool = False

    def is_reported(self, *wishes: bool | None) -> bool:
        """Return whether a channel of it enters intervals and feed: the first wish that is one, else counters do."""
        return next((wish for wish in wishes if wish is not None), self.kind == "counter")


UNITS: dict[str, tuple[str, str]] = {
    "voltage": ("V", "V"),
    "current": ("A", "A"),
    "frequency": ("Hz", "Hz"),
    "charge": ("A·h", "A.h"),
    "active power": ("kW", "kW"),
    "reactive power": ("kvar", "kV.A{reactive}"),
    "apparent power": ("kVA", "kV.A"),
    "active energy": ("kW·h", "kW.h"),
    "reactive energy": ("kvar·h", "kV.A.h{reactive}"),
    "apparent energy": ("kVA·h", "kV.A.h"),
    "angle": ("°", "deg"),
    "1": ("1", "1"),
    "ratio": ("%", "%"),
    "volume fraction": ("%", "%"),
    "mass concentration": ("mg/m³", "mg/m3"),
    "heat": ("GJ", "GJ"),
    "heat flow": ("GJ/h", "GJ/h"),
    "volume": ("m³", "m3"),
    "volume flow": ("m³/h", "m3/h"),
    "mass": ("t", "t"),
    "mass flow": ("t/h", "t/h"),
    "temperature": ("°C", "Cel"),
    "temperature difference": ("K", "K"),
    "pressure": ("kPa", "kPa"),
    "velocity": ("m/s", "m/s"),
    "length": ("m", "m"),
    "density": ("kg/m³", "kg/m3"),
    "specific enthalpy": ("kJ/kg", "kJ/kg"),
    "heating value by mass": ("MJ/kg", "MJ/kg"),
    "heating value by volume": ("MJ/m³", "MJ/m3"),
    "conductivity": ("S/m", "S/m"),
    "time": ("s", "s"),
}
"""Dimension -> canonical unit as printed and its UCUM code. One canonical unit a dimension."""

_LOAD = "+ towards the load (import)"
_FEED = "+ away from the load (export)"
_ABSORB = "+ inductive (lagging) as the meter counts it"
_FLOW = "+ in the direction of the arrow on the body"
_DRAFT = "+ above the reference pressure"
_ZERO = "below 0 only as noise around zero"

Limits = tuple[float | None, float | None]
_NONE: Limits = (None, None)
_FROM_0: Limits = (0.0, None)
_PERCENT: Limits = (0.0, 100.0)
_TO_100: Limits = (None, 100.0)
_UNITY: Limits = (-1.0, 1.0)
_TURN: Limits = (-360.0, 360.0)
_KELVIN: Limits = (-273.15, None)
_MAINS: Limits = (45.0, 65.0)  # 50 Hz and 60 Hz grids; a dead feeder reads 0 and is rightly doubted

# One row a quantity, wide on purpose.
# fmt: off
_GAUGES: tuple[tuple[str, str, str, str, str, Limits], ...] = (
    # name, dimension, zh, en, sign, limits
    ("voltage_ln", "voltage", "相电压", "voltage, phase to neutral", "", _FROM_0),
    ("voltage_ll", "voltage", "线电压", "voltage, phase to phase", "", _FROM_0),
    ("voltage_sys", "voltage", "系统电压", "voltage of the system as the meter defines it", "", _FROM_0),
    ("current", "current", "电流", "current", "sign, where a meter gives one, is its direction of power", _NONE),
    ("frequency", "frequency", "频率", "frequency", "", _MAINS),
    ("power_active", "active power", "有功功率", "active power", _LOAD, _NONE),
    ("power_active_import", "active power", "正向有功功率", "active power, import", _LOAD, _NONE),
    ("power_active_export", "active power", "反向有功功率", "active power, export", _FEED, _NONE),
    ("power_reactive", "reactive power", "无功功率", "reactive power", _ABSORB, _NONE),
    ("power_reactive_import", "reactive power", "正向无功功率", "reactive power, import", _LOAD, _NONE),
    ("power_reactive_export", "reactive power", "反向无功功率", "reactive power, export", _FEED, _NONE),
    ("power_reactive_inductive", "reactive power", "感性无功功率", "reactive power, inductive", _ABSORB, _NONE),
    ("power_reactive_capacitive", "reactive power", "容性无功功率", "reactive power, capacitive",
     "+ capacitive (leading) as the meter counts it", _NONE),
    ("power_apparent", "apparent power", "视在功率", "apparent power", "sign, where a meter gives one, is its own", _NONE),
    ("power_apparent_import", "apparent power", "正向视在功率", "apparent power, import", _LOAD, _NONE),
    ("power_apparent_export", "apparent power", "反向视在功率", "apparent power, export", _FEED, _NONE),
    ("power_factor", "1", "功率因数", "power factor", "stated by the profile", _UNITY),
    ("cos_phi", "1", "位移功率因数", "displacement power factor", "stated by the profile", _UNITY),
    ("phase_angle", "angle", "相位角", "phase angle", "stated by the profile", _TURN),
    ("thd_voltage_ln", "ratio", "相电压总谐波畸变率", "total harmonic distortion, phase voltage", "", _FROM_0),
    ("thd_current", "ratio", "电流总谐波畸变率", "total harmonic distortion, current", "", _FROM_0),
    ("tdd_current", "ratio", "电流总需量畸变率", "total demand distortion, current", "", _FROM_0),
    ("demand_current", "current", "电流需量", "demand, current", "as current", _NONE),
    ("demand_current_max", "current", "最大电流需量", "largest demand, current", "as current", _NONE),
    ("demand_power_active", "active power", "有功需量", "demand, active power", _LOAD, _NONE),
    ("demand_power_active_last", "active power", "上期有功需量", "last closed demand, active power", _LOAD, _NONE),
    ("demand_power_active_max", "active power", "最大有功需量", "largest demand, active power", _LOAD, _NONE),
    ("demand_power_active_import", "active power", "正向有功需量", "demand, active import", _LOAD, _NONE),
    ("demand_power_active_import_max", "active power", "正向最大有功需量", "largest demand, active import", _LOAD, _NONE),
    ("demand_power_active_export", "active power", "反向有功需量", "demand, active export", _FEED, _NONE),
    ("demand_power_active_export_max", "active power", "反向最大有功需量", "largest demand, active export", _FEED, _NONE),
    ("demand_power_apparent", "apparent power", "视在需量", "demand, apparent power", "as power_apparent", _NONE),
    ("demand_power_apparent_max", "apparent power", "最大视在需量", "largest demand, apparent power", "as power_apparent", _NONE),
    # balances may fall, so they are gauges: no rollback check, and no amounts are formed from them
    ("energy_active_net", "active energy", "净有功电能", "active energy, import less export", _LOAD, _NONE),
    ("energy_reactive_net", "reactive energy", "净无功电能", "reactive energy, import less export", _LOAD, _NONE),
    ("volume_net", "volume", "净累计体积", "volume, forward less reverse", _FLOW, _NONE),
    ("energy_heat_net", "heat", "净热量", "heat, forward less reverse", _FLOW, _NONE),
    ("power_thermal", "heat flow", "热功率", "thermal power", "+ heat given to the load", _NONE),
    ("temperature", "temperature", "温度", "temperature", "Celsius temperature", _KELVIN),
    ("temperature_difference", "temperature difference", "温差", "temperature difference", "+ supply warmer than return", _NONE),
    ("dew_point", "temperature", "露点", "dew point, at the pressure of the line", "Celsius temperature", _KELVIN),
    ("pressure", "pressure", "压力", "pressure, gauge or absolute as the profile states", _DRAFT, _NONE),
    ("pressure_gauge", "pressure", "表压", "pressure above the atmosphere", _DRAFT, _NONE),
    ("pressure_absolute", "pressure", "绝对压力", "absolute pressure", "", _FROM_0),
    ("pressure_difference", "pressure", "差压", "pressure difference", "+ upstream higher", _NONE),
    ("flow_volume", "volume flow", "体积流量", "volume flow at the conditions of the line", _FLOW, _NONE),
    ("flow_volume_normal", "volume flow", "标况体积流量", "gas flow at reference conditions", _FLOW, _NONE),
    ("flow_mass", "mass flow", "质量流量", "mass flow", _FLOW, _NONE),
    ("flue_gas_flow", "volume flow", "烟气流量", "stack gas flow at the stated condition", _FLOW, _NONE),
    ("velocity", "velocity", "流速", "flow velocity", _FLOW, _NONE),
    ("velocity_normal", "velocity", "标况流速", "flow velocity at reference conditions", _FLOW, _NONE),
    ("sound_velocity", "velocity", "声速", "velocity of sound in the medium", "", _FROM_0),
    ("level", "length", "液位", "level", "above the level gauge's own zero", _NONE),
    ("density", "density", "密度", "density", "", _FROM_0),
    ("enthalpy", "specific enthalpy", "比焓", "specific enthalpy", "above the meter's own zero", _NONE),
    ("heating_value_mass", "heating value by mass", "单位质量发热量", "heating value of a fuel by mass", "", _FROM_0),
    ("heating_value_volume", "heating value by volume", "单位体积发热量", "heating value of a gas by volume", "", _FROM_0),
    ("conductivity", "conductivity", "电导率", "conductivity", "", _FROM_0),
    ("humidity", "ratio", "相对湿度", "relative humidity", "", _PERCENT),
    ("moisture", "volume fraction", "含湿量", "water vapour in stack gas, by volume", "", _PERCENT),
    ("concentration", "volume fraction", "体积分数", "volume fraction of the gas the channel names", _ZERO, _TO_100),
    ("concentration_co2", "volume fraction", "二氧化碳体积分数", "carbon dioxide, by volume", _ZERO, _TO_100),
    ("concentration_o2", "volume fraction", "氧气体积分数", "oxygen, by volume", _ZERO, _TO_100),
    ("concentration_co", "volume fraction", "一氧化碳体积分数", "carbon monoxide, by volume", _ZERO, _TO_100),
    ("concentration_ch4", "volume fraction", "甲烷体积分数", "methane, by volume", _ZERO, _TO_100),
    ("concentration_h2", "volume fraction", "氢气体积分数", "hydrogen, by volume", _ZERO, _TO_100),
    ("concentration_n2o", "volume fraction", "氧化亚氮体积分数", "nitrous oxide, by volume", _ZERO, _TO_100),
    ("concentration_so2", "volume fraction", "二氧化硫体积分数", "sulphur dioxide, by volume", _ZERO, _TO_100),
    ("concentration_no", "volume fraction", "一氧化氮体积分数", "nitrogen monoxide, by volume", _ZERO, _TO_100),
    ("concentration_no2", "volume fraction", "二氧化氮体积分数", "nitrogen dioxide, by volume", _ZERO, _TO_100),
    ("concentration_mass", "mass concentration", "质量浓度", "mass concentration of the gas the channel names", _ZERO, _NONE),
    ("concentration_mass_so2", "mass concentration", "二氧化硫质量浓度", "sulphur dioxide, by mass", _ZERO, _NONE),
    ("concentration_mass_nox", "mass concentration", "氮氧化物质量浓度", "nitrogen oxides as NO₂, by mass", _ZERO, _NONE),
    ("concentration_mass_co", "mass concentration", "一氧化碳质量浓度", "carbon monoxide, by mass", _ZERO, _NONE),
    ("concentration_mass_dust", "mass concentration", "颗粒物质量浓度", "particulate matter, by mass", _ZERO, _NONE),
    ("signal_quality", "1", "信号质量", "signal quality", "in the meter's own scale", _NONE),
    ("signal_strength", "1", "信号强度", "signal strength", "in the meter's own scale", _NONE),
    ("status", "1", "状态字", "status word of the meter", "bits as the profile states", _NONE),
    ("diagnosis", "1", "诊断码", "diagnosis code of the meter", "as the profile states", _NONE),
    ("code", "1", "代码", "other code of the meter", "as the profile states", _NONE),
    ("phase_sequence", "1", "相序", "phase sequence", "as the profile states", _NONE),
    ("unit_code", "1", "单位代码", "code of the unit set in the meter", "as the profile states", _NONE),
)

_COUNTERS: tuple[tuple[str, str, str, str, str, Limits], ...] = (
    ("energy_active_import", "active energy", "正向有功电能", "active energy, import (to the load)", "", _FROM_0),
    ("energy_active_export", "active energy", "反向有功电能", "active energy, export", "", _FROM_0),
    ("energy_active_total", "active energy", "有功总电能", "active energy as combined by the meter's setting",
     "the meter's setting decides; not for billing unchecked", _NONE),
    ("energy_active_combined", "active energy", "组合有功电能", "active energy as combined by the meter's setting",
     "the meter's setting decides; not for billing unchecked", _NONE),
    ("energy_reactive_import", "reactive energy", "正向无功电能", "reactive energy, import", "", _FROM_0),
    ("energy_reactive_export", "reactive energy", "反向无功电能", "reactive energy, export", "", _FROM_0),
    ("energy_reactive_inductive", "reactive energy", "感性无功电能", "reactive energy, inductive", "", _FROM_0),
    ("energy_reactive_capacitive", "reactive energy", "容性无功电能", "reactive energy, capacitive", "", _FROM_0),
    ("energy_reactive_total", "reactive energy", "无功总电能", "reactive energy as combined by the meter's setting",
     "the meter's setting decides; not for billing unchecked", _NONE),
    ("energy_reactive_combined1", "reactive energy", "组合无功1电能", "reactive energy, combination 1",
     "the meter's setting decides; not for billing unchecked", _NONE),
    ("energy_reactive_combined2", "reactive energy", "组合无功2电能", "reactive energy, combination 2",
     "the meter's setting decides; not for billing unchecked", _NONE),
    ("energy_apparent", "apparent energy", "视在电能", "apparent energy", "", _FROM_0),
    ("energy_apparent_import", "apparent energy", "正向视在电能", "apparent energy, import", "", _FROM_0),
    ("energy_apparent_export", "apparent energy", "反向视在电能", "apparent energy, export", "", _FROM_0),
    ("charge", "charge", "电荷量", "charge", "", _FROM_0),
    ("energy_heat", "heat", "热量", "heat", "", _FROM_0),
    ("energy_cooling", "heat", "冷量", "heat taken away (cooling)", "", _FROM_0),
    ("volume", "volume", "累计体积", "volume at the conditions of the line", "", _FROM_0),
    ("volume_forward", "volume", "正向累计体积", "volume, forward", "", _FROM_0),
    ("volume_reverse", "volume", "反向累计体积", "volume, reverse", "", _FROM_0),
    ("volume_normal", "volume", "标况累计体积", "gas volume at reference conditions", "", _FROM_0),
    ("mass", "mass", "累计质量", "mass of steam, liquid or solid fuel", "", _FROM_0),
    ("emission_co2", "mass", "二氧化碳排放量", "mass of carbon dioxide emitted, as the instrument counts it", "", _FROM_0),
    ("operating_time", "time", "运行时间", "operating time", "", _FROM_0),
    ("pulse_input", "1", "脉冲计数", "pulses counted at an input", "", _FROM_0),
)
# fmt: on

_WITH_REFERENCE = {
    "flow_volume_normal",
    "velocity_normal",
    "volume_normal",
    "flue_gas_flow",
    "heating_value_volume",
}


def _quantity(kind: Kind, name: str, dimension: str, zh: str, en: str, sign: str, limits: Limits) -> Quantity:
    unit, ucum = UNITS[dimension]
    return Quantity(name, unit, ucum, dimension, kind, zh, en, sign, *limits, name in _WITH_REFERENCE)


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        *(_quantity("gauge", *row) for row in _GAUGES),
        *(_quantity("counter", *row) for row in _COUNTERS),
    )
}


def as_markdown() -> str:
    """Return the vocabulary as the page docs/reference/quantities.md, whole."""
    lines = [
        "# Quantities",
        "",
        "Written by `gateway.quantity.as_markdown()`; a test compares it, so change the table there.",
        "",
        *(line.strip() for line in (__doc__ or "").split("\n\n", 1)[1].strip().splitlines()),
        "",
        "*Reference*: the value means nothing without its reference condition, which the profile or site states.",
        "",
        "| Quantity | 中文 | English | Unit | UCUM | Kind | Sign | Low | High | Reference |",
        "|---|---|---|---|---|---|---|---:|---:|---|",
    ]
    for q in QUANTITIES.values():
        low = "" if q.low is None else f"{q.low:g}"
        high = "" if q.high is None else f"{q.high:g}"
        lines.append(
            f"| `{q.name}` | {q.zh} | {q.en} | {q.unit} | `{q.ucum}` | {q.kind} | {q.sign} "
            f"| {low} | {high} | {'yes' if q.reference else ''} |"
        )
    return "\n".join(lines) + "\n"
