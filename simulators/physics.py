"""What flows through the simulated plant: pure functions of (seed, time), no state.

A counter is the closed integral of the wave beside it (power, flow), hence exactly consistent with it and
strictly rising, and the truth can be computed again for any time.

A model's `state(t_s)` maps channel keys (quantity, then part) to values in SI units (W, J, m³, m³/s, kg/s,
K, Pa, mol/mol …). `t_s` is seconds since `waves.REFERENCE_NS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from simulators.waves import HOUR_S, Wave, calm, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

_PHASES = ("l1", "l2", "l3")
_PAIRS = (("l12", 0, 1), ("l23", 1, 2), ("l31", 2, 0))
_WATER_J_PER_M3_K = (
    4.18e6  # volumetric heat capacity of water near 60 °C; Source: engineering tables, rounded
)
_ZERO_C = 273.15


class Model(Protocol):
    """A physical thing behind a meter."""

    def state(self, t_s: float) -> dict[str, float]:
        """Return channel key -> value in SI units at `t_s`; counters count from the reference time."""


@dataclass(frozen=True, slots=True)
class Electricity:
    """A three-phase feeder: voltages, currents, powers and every register an electricity meter may have.

    Phase angle is the same in all phases; a leading power factor shows as negative reactive power.
    """

    volts: tuple[Wave, ...]
    power: tuple[Wave, ...]
    pf: float
    hertz: Wave
    leading: bool = False

    def state(self, t_s: float) -> dict[str, float]:
        """Return the electrical quantities of phases and totals."""
        tan = math.tan(math.acos(self.pf)) * (-1 if self.leading else 1)
        volts = [wave.at(t_s) for wave in self.volts]
        watts = [wave.at(t_s) for wave in self.power]
        amps = [w / self.pf / v for w, v in zip(watts, volts, strict=True)]
        joules = [wave.integral(t_s) for wave in self.power]
        out = {"frequency": self.hertz.at(t_s), "voltage_sys": sum(volts) / 3, "current_n": 0.04 * max(amps)}
        self._powers(out, watts, tan)
        for part, v, a in zip(_PHASES, volts, amps, strict=True):
            out |= {f"voltage_ln_{part}": v, f"current_{part}": a}
        out |= {"voltage_ln_avg": sum(volts) / 3, "current_avg": sum(amps) / 3, "current_sum": sum(amps)}
        out["current_total"] = out["current_sum"]
        for pair, i, k in _PAIRS:
            out[f"voltage_ll_{pair}"] = math.sqrt(volts[i] ** 2 + volts[k] ** 2 + volts[i] * volts[k])
        out["voltage_ll_avg"] = sum(out[f"voltage_ll_{pair}"] for pair, _, _ in _PAIRS) / 3
        self._energies(out, joules, tan)
        out["charge_total"] = sum(
            j / self.pf / wave.level for j, wave in zip(joules, self.volts, strict=True)
        )  # the mean voltage, so that it only rises
        return out

    def _powers(self, out: dict[str, float], watts: list[float], tan: float) -> None:
        for part, w in (*zip(_PHASES, watts, strict=True), ("total", sum(watts)), ("sys", sum(watts))):
            out[f"power_active_{part}"] = out[f"power_active_import_{part}"] = w
            out[f"power_reactive_{part}"] = w * tan
            out[f"power_apparent_{part}"] = w / self.pf
            for name in ("power_factor", "cos_phi", "power_factor_ieee"):
                out[f"{name}_{part}"] = self.pf
            out[f"phase_angle_{part}"] = math.atan(tan)
            out[f"demand_power_active_{part}"] = out[f"demand_power_active_import_{part}"] = w
            out[f"demand_power_active_max_{part}"] = out[f"demand_power_active_import_max_{part}"] = w * 1.6
            out[f"demand_power_apparent_{part}"] = w / self.pf
            out[f"demand_power_apparent_max_{part}"] = w / self.pf * 1.6
        out["power_active"], out["power_factor"] = sum(watts), self.pf

    def _energies(self, out: dict[str, float], joules: list[float], tan: float) -> None:
        for part, j in (*zip(_PHASES, joules, strict=True), ("total", sum(joules)), ("sys", sum(joules))):
            lagging, leading = (j * tan, 0.0) if tan >= 0 else (0.0, -j * tan)
            for name in ("import", "total", "net", "combined"):
                out[f"energy_active_{name}_{part}"] = j
            out[f"energy_active_export_{part}"] = 0.0
            for name in ("import", "inductive"):
                out[f"energy_reactive_{name}_{part}"] = lagging
            for name in ("export", "capacitive"):
                out[f"energy_reactive_{name}_{part}"] = leading
            for name in ("total", "combined1", "combined2", "net"):
                out[f"energy_reactive_{name}_{part}"] = abs(j * tan)
            for name in ("", "_import", "_total"):
                out[f"energy_apparent{name}_{part}"] = j / self.pf
            out[f"energy_apparent_export_{part}"] = 0.0


@dataclass(frozen=True, slots=True)
class Liquid:
    """Water in a pipe, with heat if supply and return differ. area_m2: of the pipe, for the velocity."""

    flow: Wave  # m³/s
    supply_k: Wave
    return_k: Wave
    area_m2: float
    pressure: Wave

    def state(self, t_s: float) -> dict[str, float]:
        """Return flow, totals, temperatures and heat."""
        flow, volume = self.flow.at(t_s), self.flow.integral(t_s)
        spread_k = (
            self.supply_k.level - self.return_k.level
        )  # the mean spread, so heat is the flow's integral
        watts, joules = flow * spread_k * _WATER_J_PER_M3_K, volume * spread_k * _WATER_J_PER_M3_K
        out = {
            "flow_volume": flow,
            "flow_mass": flow * 998.0,
            "velocity": flow / self.area_m2,
            "sound_velocity": 1_480.0,
            "temperature_supply": self.supply_k.at(t_s),
            "temperature_return": self.return_k.at(t_s),
            "temperature_difference": spread_k,
            "temperature_diff": spread_k,
            "temperature": self.supply_k.at(t_s),
            "power_thermal": watts,
            "pressure": self.pressure.at(t_s),
            "density": 998.0,
            "conductivity": 0.05,
            "mass": volume * 998.0,
        }
        for part in ("", "_forward", "_total"):
            out |= {f"volume{part}": volume, f"energy_heat{part}": joules}
        for name in ("volume_reverse", "energy_heat_reverse", "energy_cooling"):
            out[name] = 0.0
        out |= {"volume_net": volume, "energy_heat_net": joules}
        return out


@dataclass(frozen=True, slots=True)
class Gas:
    """A gas in a pipe: normal flow at the reference condition, working flow, mass, pressure, temperature.

    density: kg/m³ at the reference condition; heat_j_kg: heat carried (steam) or 0.
    """

    flow: Wave  # m³/s at the reference condition
    pressure: Wave  # Pa, absolute
    kelvin: Wave
    density: float
    heat_j_kg: float = 0.0
    area_m2: float = 0.02

    def state(self, t_s: float) -> dict[str, float]:
        """Return flows, totals and condition."""
        normal, volume = self.flow.at(t_s), self.flow.integral(t_s)
        pressure, kelvin = self.pressure.at(t_s), self.kelvin.at(t_s)
        squeeze = 101_325 / self.pressure.level * self.kelvin.level / _ZERO_C
        mass = volume * self.density
        return {
            "flow_volume_normal": normal,
            "flow_volume": normal * squeeze,
            "flow_mass": normal * self.density,
            "volume_normal": volume,
            "volume_normal_total": volume,
            "volume": volume * squeeze,
            "volume_total": volume * squeeze,
            "volume_forward": volume * squeeze,
            "mass": mass,
            "mass_total": mass,
            "velocity": normal * squeeze / self.area_m2,
            "velocity_normal": normal / self.area_m2,
            "pressure": pressure,
            "pressure_absolute": pressure,
            "pressure_gauge": pressure - 101_325.0,
            "temperature": kelvin,
            "dew_point": 276.15,
            "density": self.density / squeeze,
            "power_thermal": normal * self.density * self.heat_j_kg,
            "energy_heat": mass * self.heat_j_kg,
            "enthalpy": self.heat_j_kg,
            "humidity": 0.02,
        }


@dataclass(frozen=True, slots=True)
class Stack:
    """Flue gas in a stack: concentrations, flow, condition; CO2 rises as O2 falls (burning coal: about 19.5 %)."""

    firing: Wave  # share of full load, 0..1
    flow_full: float  # m³/s at full load
    kelvin: Wave
    pressure: Wave
    moisture: Wave

    def state(self, t_s: float) -> dict[str, float]:
        """Return what an emission monitoring system shows."""
        firing = self.firing.at(t_s)
        oxygen = 0.115 - 0.06 * firing
        co2 = (0.209 - oxygen) / 0.209 * 0.195
        flow, volume = firing * self.flow_full, self.firing.integral(t_s) * self.flow_full
        kg_m3 = co2 * 1.977  # density of CO2 at 0 °C, 101.325 kPa; Source: tables, rounded
        return {
            "concentration_o2": oxygen,
            "concentration_co2": co2,
            "concentration_co": 80e-6,
            "concentration_mass_so2": 20e-6,
            "concentration_mass_nox": 40e-6,
            "concentration_mass_dust": 4e-6,
            "humidity": self.moisture.at(t_s),
            "moisture": self.moisture.at(t_s),
            "concentration_h2o": self.moisture.at(t_s),
            "flue_gas_flow": flow,
            "volume_normal": volume,
            "emission_co2": volume * 0.09 * 1.977,
            "flow_mass": flow * kg_m3,
            "temperature": self.kelvin.at(t_s),
            "pressure": self.pressure.at(t_s),
            "velocity": 4 + 10 * firing,
        }


@dataclass(frozen=True, slots=True)
class Air:
    """The air of a room or a duct as a CO2 analyser sees it."""

    co2: Wave  # mol/mol
    kelvin: Wave
    humidity: Wave
    pressure: Wave = field(default=Wave(101_325.0))

    def state(self, t_s: float) -> dict[str, float]:
        """Return concentration and condition."""
        return {
            "concentration_co2": self.co2.at(t_s),
            "temperature": self.kelvin.at(t_s),
            "humidity": self.humidity.at(t_s),
            "pressure": self.pressure.at(t_s),
        }


def _electricity(rng: Random, p: Mapping[str, float]) -> Model:
    total = load(rng, p["power_kw"] * 1e3, p.get("swing", 0.35), p.get("noise", 0.12))
    shares = [rng.uniform(0.31, 0.36) for _ in _PHASES]
    volts = p.get("voltage_v", 231.0)
    return Electricity(
        volts=tuple(calm(rng, volts * rng.uniform(0.995, 1.005), volts * 0.012) for _ in _PHASES),
        power=tuple(total.scaled(share / sum(shares)) for share in shares),
        pf=p.get("power_factor", 0.93),
        hertz=calm(rng, 50.0, 0.03),
        leading=bool(p.get("leading", 0)),
    )


def _liquid(rng: Random, p: Mapping[str, float]) -> Model:
    supply_c, return_c = p.get("supply_c", 18.0), p.get("return_c", p.get("supply_c", 18.0))
    return Liquid(
        flow=load(rng, p["flow_m3_h"] / HOUR_S, p.get("swing", 0.3), p.get("noise", 0.1)),
        supply_k=calm(rng, supply_c + _ZERO_C, 0.8),
        return_k=calm(rng, return_c + _ZERO_C, 0.5),
        area_m2=math.pi / 4 * (p.get("pipe_mm", 100.0) / 1e3) ** 2,
        pressure=calm(rng, p.get("pressure_kpa", 400.0) * 1e3, 2e4),
    )


def _gas(density: float, kelvin: float, kpa: float, heat_j_kg: float) -> Callable[..., Model]:
    def make(rng: Random, p: Mapping[str, float]) -> Model:
        pressure = p.get("pressure_kpa", kpa) * 1e3
        flow = p["flow_t_h"] / 3.6 / density if "flow_t_h" in p else p["flow_m3_h"] / HOUR_S
        return Gas(
            flow=load(rng, flow, p.get("swing", 0.3), p.get("noise", 0.1)),
            pressure=calm(rng, pressure, pressure * 0.03),
            kelvin=calm(rng, p.get("temperature_c", kelvin - _ZERO_C) + _ZERO_C, 2.0),
            density=density,
            heat_j_kg=heat_j_kg,
            area_m2=math.pi / 4 * (p.get("pipe_mm", 150.0) / 1e3) ** 2,
        )

    return make


def _stack(rng: Random, p: Mapping[str, float]) -> Model:
    return Stack(
        firing=load(rng, p.get("firing", 0.7), 0.2, 0.08),
        flow_full=p["flow_m3_h"] / HOUR_S,
        kelvin=calm(rng, p.get("temperature_c", 125.0) + _ZERO_C, 4.0),
        pressure=calm(rng, 101_325.0, 150.0),
        moisture=calm(rng, p.get("moisture_percent", 8.0) / 100, 0.006),
    )


def _air(rng: Random, p: Mapping[str, float]) -> Model:
    ppm = p.get("co2_ppm", 650.0)
    return Air(
        co2=load(rng, ppm * 1e-6, 0.2, 0.1),
        kelvin=calm(rng, p.get("temperature_c", 24.0) + _ZERO_C, 1.0),
        humidity=calm(rng, 0.45, 0.05),
    )


# Densities at 0 °C and 101.325 kPa: natural gas 0.75 (typical), air 1.293, steam treated as 0.804.
_COUNTED = ("energy_", "volume", "mass", "charge", "emission_", "operating_time")
DEFAULTS = {
    "temperature": 308.15,  # of the device
    "signal_quality": 88.0,
    "signal_strength": 85.0,
    "thd_voltage_ln": 0.021,
    "thd_voltage_ll": 0.019,
    "thd_current": 0.06,
    "tdd_current": 0.05,
}
"""What a meter shows of a quantity no model moves; everything else (status, alarms …) is 0."""


def is_counter(quantity: str) -> bool:
    """Return whether a quantity is counted up (the models' integrals)."""
    return quantity.startswith(_COUNTED)


def find(state: Mapping[str, float], key: str, quantity: str) -> str:
    """Return the state that a channel shows: its own key, or the key without its last parts; "" if none.

    All energy is counted in the first tariff.
    """
    words = key.split("_")
    if quantity.startswith("energy_") and words[-1] in {"t2", "t3", "t4"}:
        return ""
    least = len(quantity.split("_"))
    for n in range(len(words), least - 1, -1):
        name = "_".join(words[:n])
        if name in state:
            return name
        if f"{name}_total" in state:
            return f"{name}_total"
    return ""


MODELS: Mapping[str, Callable[..., Model]] = {
    "electricity": _electricity,
    "water": _liquid,
    "heat": _liquid,
    "gas": _gas(0.75, 288.15, 400.0, 0.0),
    "compressed_air": _gas(1.293, 303.15, 800.0, 0.0),
    "steam": _gas(0.804, 458.15, 1_100.0, 2.78e6),
    "stack": _stack,
    "air": _air,
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "electricity": ("power_kw",),
    "water": ("flow_m3_h",),
    "heat": ("flow_m3_h",),
    "gas": ("flow_m3_h",),
    "compressed_air": ("flow_m3_h",),
    "steam": ("flow_t_h",),
    "stack": ("flow_m3_h",),
    "air": (),
}
