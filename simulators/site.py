"""A simulated site: meters with physics, and the truth of what each of them shows at any time.

Deterministic: everything follows from the plan (with its seed), the start time and the time asked for. A meter
measures anew every `refresh_s` on a fixed grid and shows that until the next time, like a real one; `truth`
gives the value shown, rounded as its registers round it.
"""

from __future__ import annotations

import importlib
import struct
import tomllib
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import simulators
from gateway.errors import ConfigError, Finding
from simulators.encode import DoesNotFit, RegisterMap, Writes
from simulators.inputs import with_inputs
from simulators.measures import convert, from_si, to_si
from simulators.physics import DEFAULTS, MODELS, find, is_counter
from simulators.waves import DAY_S, REFERENCE_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulators.plan import MeterPlan, Plan, VariablePlan
    from simulators.station import Display, Displays

NS = 1_000_000_000
_SINGLE = struct.Struct(">f")
_PACKAGE = Path(simulators.__file__).resolve().parent
OWN_PROFILES = 'your own: simulation.profile_dirs = ["FOLDER"]; `metergate profiles` lists those shipped'
PROTOCOLS = {  # of a profile -> module whose read_profile says what such a meter shows
    "modbus": "simulators.encode",
    "dlt645": "simulators.dlt645_station",
    "cjt188": "simulators.cjt188_station",
}
_AGE_DAYS = (20.0, 120.0)  # how long a meter had been counting at the reference time


def profile_folders(extra: Iterable[Path] = ()) -> list[Path]:
    """Return where profiles lie: `extra` first, then those shipped (in the wheel, else in the checkout)."""
    wheel = _PACKAGE.parent / "gateway" / "_config" / "profiles"
    return [*extra, wheel if wheel.is_dir() else _PACKAGE.parent / "config" / "profiles"]


def profile_text(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Return a profile's tables. Raises FileNotFoundError."""
    for folder in folders:
        path = folder / f"{name}.toml"
        if path.is_file():
            return tomllib.loads(path.read_text(encoding="utf-8"))
    raise FileNotFoundError(f"no profile {name} in {', '.join(map(str, folders))}")


class SimulatedMeter:
    """One meter: its model, its counters' start, and either a register map or OPC UA variables."""

    def __init__(
        self, plan: MeterPlan, registers: Displays | None, seed: int, start_s: float, protocol: str = "modbus"
    ) -> None:
        """start_s: seconds since the reference time when the simulation starts. protocol: of its profile.

        Counters follow from the seed and the time alone, so they go on where they were after a restart; only those that
        are to roll over soon (`rollover_s`) begin anew at each start.
        """
        self.protocol = protocol
        rng = Random(f"{seed}/{plan.id}")
        self.plan = plan
        self.map = registers
        self._model = MODELS[plan.model](rng, plan.parameters)
        self._leading = bool(plan.parameters.get("leading", 0))
        self._age_s = rng.uniform(*_AGE_DAYS) * DAY_S
        self._start_s = start_s
        self._origin = self._raw(0.0)
        self._day = self._raw(DAY_S)
        self._by_key: dict[str, tuple[str, str, bool, float]] = {}
        for key, quantity in self._channels():
            self._by_key[key] = (find(self._origin, key, quantity), quantity, is_counter(quantity), 0.0)
        for key, (name, quantity, counter, _) in self._by_key.items():
            self._by_key[key] = (name, quantity, counter, self._counter_start(key, name) if counter else 0.0)

    def _raw(self, t_s: float) -> dict[str, float]:
        return self._model.state(t_s) | {"operating_time": t_s}

    def _channels(self) -> list[tuple[str, str]]:
        if self.map is not None:
            return [(register.key, register.quantity) for register in self.map.registers]
        return [(variable.key, variable.quantity) for variable in self.plan.variables]

    def _counter_start(self, key: str, name: str) -> float:
        """Return what a counter had counted at the reference time, SI."""
        if not name:
            return 0.0
        past = (self._day[name] - self._origin[name]) / DAY_S * self._age_s
        register = self.register(key)
        if self.plan.rollover_s is None or register is None or register.modulus is None:
            return past
        ahead = self._raw(self._start_s + self.plan.rollover_s)[name] - self._origin[name]
        return to_si(register.modulus, register.unit) - ahead

    def register(self, key: str) -> Display | None:
        """Return the register (or data item) of a channel, None for OPC UA."""
        if self.map is None:
            return None
        return next(register for register in self.map.registers if register.key == key)

    def state(self, t_s: float) -> dict[str, tuple[float, bool]]:
        """Return channel key -> (value in SI, is a counter) at a time since the reference."""
        now = self._raw(t_s)
        statuses = self.map.statuses if isinstance(self.map, RegisterMap) else {}
        shows = self.plan.shows
        out = {}
        for key, (name, quantity, counter, start) in self._by_key.items():
            if key in shows:
                value = shows[key]
            elif not name:
                value = statuses.get(key, DEFAULTS.get(quantity, 0.0))
            elif counter:
                value = start + now[name] - self._origin[name]
            else:
                value = now[name]
            out[key] = (value, counter)
        return out

    def writes(self, t_s: float, only: tuple[int, int] | None = None) -> dict[int, Writes]:
        """Return function -> registers of a Modbus meter at a time. Raises DoesNotFit.

        only: the value of one part at this (function, address), where values share registers.
        """
        assert isinstance(self.map, RegisterMap)
        values = self.state(t_s)
        out: dict[int, Writes] = {}
        for register in self.map.registers:
            if only is not None and only != (register.function, register.pieces[0].address):
                continue
            value, counter = values[register.key]
            try:
                writes, _ = register.encode(value, counter=counter, leading=self._leading)
            except (DoesNotFit, OverflowError) as error:
                raise DoesNotFit(f"{self.plan.id}: {register.key}: {error}") from error
            out.setdefault(register.function, []).extend(writes)
        return out

    def check(self, t_s: float) -> None:
        """Raise DoesNotFit for a channel whose value at a time the meter cannot hold."""
        for key, (value, counter) in self.state(t_s).items():
            register = self.register(key)
            if register is None:
                continue
            try:
                register.encode(value, counter=counter, leading=self._leading)
            except (DoesNotFit, OverflowError) as error:
                raise DoesNotFit(f"{self.plan.id}: {key}: {error}") from error

    def shown(self, key: str, t_s: float) -> tuple[Fraction, str]:
        """Return what the meter shows for a channel and in which unit. Raises KeyError for a channel it lacks."""
        value, counter = self.state(t_s)[key]
        register = self.register(key)
        if register is not None:
            _, numbers = register.encode(value, counter=counter, leading=self._leading)
            return register.shown(numbers), register.unit
        variable = next(v for v in self.plan.variables if v.key == key)
        return Fraction(variable_value(variable, value)), variable.unit


def variable_value(variable: VariablePlan, si: float) -> Any:
    """Return what an OPC UA variable holds: a float or an integer in its unit."""
    value = from_si(si, variable.unit)
    if variable.type == "Double":
        return value
    return _SINGLE.unpack(_SINGLE.pack(value))[0] if variable.type == "Float" else int(value)


def simulated(
    path: str, meter: MeterPlan, folders: Sequence[Path], seed: int, start_s: float
) -> SimulatedMeter | Finding:
    """Return a meter that works at the start, or why it cannot be simulated. path: how the finding calls it."""
    try:
        protocol, registers = _registers(meter, folders)
        made = SimulatedMeter(meter, registers, seed, start_s, protocol)
        made.check(start_s)
    except (FileNotFoundError, KeyError, DoesNotFit) as error:
        found = str(error.args[0]) if error.args else str(error)
        hint = OWN_PROFILES if isinstance(error, FileNotFoundError) else ""
        return Finding(path, found, "a meter that can be simulated", hint)
    return made


def _registers(meter: MeterPlan, folders: Sequence[Path]) -> tuple[str, Displays | None]:
    """Return the protocol a meter speaks and what it shows. Raises KeyError for a protocol nobody simulates."""
    if not meter.profile:
        return "opcua", None
    profile = with_inputs(profile_text(meter.profile, folders), meter.inputs)
    protocol: str = profile.get("protocol", "modbus")
    read: Displays = importlib.import_module(PROTOCOLS[protocol]).read_profile(
        profile, ratios=meter.ratios, units=meter.units, variant=meter.variant, channels=meter.channels
    )
    return protocol, read


class Site:
    """All meters of a plan from one start time on."""

    def __init__(self, plan: Plan, start_ns: int) -> None:
        """start_ns: wall time that faults and rollovers are counted from. Raises ConfigError for a plan that cannot be served."""
        self.plan = plan
        self.start_ns = start_ns
        self._refresh_ns = round(plan.refresh_s * NS)
        start_s = self.seconds(start_ns)
        folders = profile_folders(plan.profile_dirs)
        self.meters: dict[str, SimulatedMeter] = {}
        findings: list[Finding] = []
        for i, meter in enumerate(plan.meters, 1):
            made = simulated(f"meters[{i}] ({meter.id})", meter, folders, plan.seed, start_s)
            if isinstance(made, Finding):
                findings.append(made)
            else:
                self.meters[meter.id] = made
        if findings:
            raise ConfigError(findings)

    @staticmethod
    def seconds(time_ns: int) -> float:
        """Return seconds since the reference time, exact to a microsecond for centuries."""
        return (time_ns - REFERENCE_NS) / NS

    def measured_ns(self, time_ns: int) -> int:
        """Return when the meters last measured, seen from a time."""
        return time_ns // self._refresh_ns * self._refresh_ns

    def truth(self, meter: str, channel: str, time_ns: int, unit: str) -> float:
        """Return the value a meter shows at a time, in `unit`. Raises KeyError for an unknown meter or channel."""
        value, own = self.meters[meter].shown(channel, self.seconds(self.measured_ns(time_ns)))
        return float(convert(value, own, unit))

    def truths(self, meter: str, channel: str, time_ns: int, unit: str) -> tuple[float, float]:
        """Return the values an answer completed at `time_ns` may carry: measured now, or one refresh before."""
        earlier_ns = time_ns - self._refresh_ns
        return self.truth(meter, channel, time_ns, unit), self.truth(meter, channel, earlier_ns, unit)
