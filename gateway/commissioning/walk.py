"""Commissioning a meter step by step, through whatever bus there is: the running gateway's, or the link itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from drivers import profiles
from drivers.dlt645 import own_time
from gateway import assembly
from gateway.clock import sleep_for
from gateway.commissioning.asking import ask_until, yes_or_no
from gateway.commissioning.bus import LiveBus, connect
from gateway.commissioning.judgements import (
    FAIL,
    OPEN,
    PASS,
    Detail,
    Ratio,
    Reading,
    Step,
    Value,
    judge_clock,
    judge_direction,
    judge_display,
    leaves_out_ratio,
)
from gateway.commissioning.ratios import TIMEOUT_S, display_ratios, ratios, raw_of
from gateway.control.errands import Question
from gateway.control.server import ask_async
from gateway.display import quantity_names, ratio, shown
from gateway.errors import DeviceError, MetergateError
from gateway.layout import Layout, Slot
from gateway.model import NS, Channel
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.profiles import Profile
    from drivers.profiles.model import DetectTable
    from gateway.commissioning.asking import Prompt
    from gateway.commissioning.bus import Bus
    from gateway.config.models import MeterConfig, Site
    from gateway.display import Shown
    from gateway.interfaces import Clock

ASKED_MAX = 3  # counters whose display is asked for
_LEFT_OUT = re.compile(r"(.+?)\s*[x×*]\s*([0-9./]+)\s*")
"""A display that leaves the ratio out, with the ratio: "350.35x40", "350.35 kWh x 200/5"."""


async def identity(bus: Bus, meter: MeterConfig, profile: Profile | None) -> list[Step]:
    """Return whether it is a meter of its profile, by the registers that prove it. Raises LinkDown, Busy."""
    if profile is None:
        return [Step("identity", OPEN, "variables of the site file have no profile to compare with")]
    if profile.protocol in {"dlt645", "cjt188"}:
        return [await _by_number(bus, meter)]
    if profile.protocol != "modbus":
        return [Step("identity", OPEN, f"{profile.protocol}: no registers that prove a meter type")]
    steps = [await _probe(bus, meter, profile)] if profile.probe is not None else []
    for table in profile.detect:
        steps.append(await _detect(bus, meter, profile, table))
    return steps or [
        Step("identity", OPEN, profile.no_probe or "the profile has no register that proves the type")
    ]


async def _by_number(bus: Bus, meter: MeterConfig) -> Step:
    answer = await bus.poll(meter.id)
    if answer["channels"]:
        return Step("identity", PASS, f"answers under the number {meter.address}", {"address": meter.address})
    said = "; ".join(error["text"] for error in answer["errors"])
    return Step("identity", FAIL, f"does not answer under the number {meter.address}: {said}")


async def _probe(bus: Bus, meter: MeterConfig, profile: Profile) -> Step:
    found = profiles.probe_layout(profile, meter.id)
    assert found is not None
    assert profile.probe is not None
    layout, sources = found
    probe = profile.probe
    try:
        raw = await raw_of(bus, meter.unit or 0, sources[0])  # type: ignore[arg-type]  # registers of a Modbus profile
    except DeviceError as error:
        return Step("identity", FAIL, f"the register that proves a {profile.id} cannot be read: {error}")
    number = layout.exact(raw, 0)
    held = "no value" if number is None else f"{number:f} {probe.unit}"
    detail: Detail = {"raw": raw.hex(), "low": probe.low, "high": probe.high, "unit": probe.unit}
    if number is not None and probe.low <= number <= probe.high:
        return Step(
            "identity", PASS, f"{held} where a {profile.id} has {probe.low:g} to {probe.high:g}", detail
        )
    text = f"{held} where a {profile.id} has {probe.low:g} to {probe.high:g}: `metergate probe` finds the type that fits"
    return Step("identity", FAIL, text, detail)


async def _detect(bus: Bus, meter: MeterConfig, profile: Profile, table: DetectTable) -> Step:
    (resolved,) = profile.resolve(table)
    layout = Layout(meter.id, 0.0, (Channel("detect", "code", "1", "gauge"),), (Slot((resolved.part,)),))
    try:
        raw = await raw_of(bus, meter.unit or 0, [resolved.source])
    except DeviceError as error:
        return Step(
            "identity", FAIL, f"a register that tells a {profile.id} from others cannot be read: {error}"
        )
    number = layout.exact(raw, 0)
    wanted = table.among if table.equals is None else (table.equals,)
    good = number in wanted
    text = f"register {resolved.source.address} holds {'no value' if number is None else f'{number:f}'}"
    more = "" if good else f", not {', '.join(map(str, wanted))}"
    return Step("identity", PASS if good else FAIL, f"{text}{more}: {table.note}", {"raw": raw.hex()})


def serial_number(meter: MeterConfig, typed: str) -> Step:
    """Return whether the number on the plate is that of the meter which answers."""
    if not meter.address:
        kept = f"; {typed} is kept in the record" if typed else ""
        return Step("serial number", OPEN, f"the profile knows no register with it{kept}", {"typed": typed})
    detail = {"address": meter.address, "typed": typed}
    if not typed:
        return Step(
            "serial number", OPEN, f"it answers as {meter.address}; nobody read the plate (--serial)", detail
        )
    if typed.strip().lstrip("0") == meter.address.lstrip("0"):
        return Step("serial number", PASS, f"{meter.address}, as on the plate", detail)
    return Step("serial number", FAIL, f"the plate says {typed}, {meter.address} answers", detail)


async def read(bus: Bus, meter: str, clock: Clock) -> Reading:
    """Return one extra read of a meter. Raises MetergateError if nothing came, LinkDown, Busy."""
    answer: dict[str, Any] = await bus.poll(meter)
    if not answer["channels"]:
        said = "; ".join(error["text"] for error in answer["errors"]) or "no channels"
        raise MetergateError(f"{meter} does not answer: {said}")
    values = {
        row["key"]: Value(
            None if row["exact"] is None else Decimal(row["exact"]), row["unit"], row["kind"], row["flags"]
        )
        for row in answer["channels"]
    }
    return Reading(clock.monotonic(), values)


async def several(bus: Bus, meter: str, clock: Clock, count: int, every_s: float) -> list[Reading]:
    """Return some reads, one every so often. Raises MetergateError, LinkDown, Busy."""
    found = [await read(bus, meter, clock)]
    while len(found) < count:
        await sleep_for(clock, every_s)
        found.append(await read(bus, meter, clock))
    return found


async def clock_offset(bus: Bus, meter: MeterConfig, profile: Profile | None) -> tuple[float | None, str]:
    """Return how far the meter's own clock is off (s, + ahead), or None and why it is not known. Raises LinkDown, Busy."""
    if profile is None or profile.protocol != "dlt645":
        return None, "the meter's own clock is not read over this protocol"
    asked = Question(
        "dlt645",
        meter.address,
        ((own_time.DATE, own_time.DATE_SIZE), (own_time.TIME, own_time.TIME_SIZE)),
        timeout_s=TIMEOUT_S,
    )
    try:
        answer = await bus.ask(asked)
    except DeviceError as error:
        return None, f"the meter does not tell its own time ({error})"
    date, time = answer.raw[: own_time.DATE_SIZE], answer.raw[own_time.DATE_SIZE :]
    shown_s = own_time.clock_s(date, time, profile.read.utc_offset_min)
    if shown_s is None:
        return None, f"the meter's clock holds {date.hex()} {time.hex()}, which is no time"
    return round(shown_s + 0.5 - answer.time_ns / NS, 1), ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a person saw on site. shown: channel -> display, plates: ratio -> plate, both as read off.

    age_s: how long ago the displays were read, at most; reads, every_s: of the meter, for the direction.
    """

    shown: Mapping[str, str]
    plates: Mapping[str, str]
    serial: str
    expect: Literal["import", "export"]
    age_s: float
    reads: int
    every_s: float


class Walk:
    """One commissioning."""

    def __init__(
        self, site: Site, meter: MeterConfig, facts: Facts, clock: Clock, prompt: Prompt | None = None
    ) -> None:
        """prompt: asks what `facts` leave out; None: nobody is asked. Raises MetergateError for a number that is none."""
        self.site, self.meter, self._facts, self.clock, self._prompt = site, meter, facts, clock, prompt
        library = assembly.library(site)
        self.profile: Profile | None = library.get(meter.profile) if meter.profile else None
        self._quantities = quantity_names(meter, library)
        self._plates = {name: ratio(text) for name, text in facts.plates.items()}
        self._shown = {key: self._seen(key, text) for key, text in facts.shown.items()}
        self._serial = facts.serial
        self._ratios: dict[str, Ratio] = {}
        self.steps: list[Step] = []

    @property
    def passed(self) -> bool:
        """Return whether nothing failed and something passed."""
        results = [step.result for step in self.steps]
        return FAIL not in results and PASS in results

    async def go(self) -> bool:
        """Do all steps; return whether they went through the running gateway. Raises MetergateError, LinkDown."""
        began_s = self.clock.monotonic()
        if self._prompt is not None:
            await self._ask_first(self._prompt)
        async with connect(self.site, self.meter.link, self.clock) as bus:
            live = isinstance(bus, LiveBus)
            readings = await self._look(bus, live)
            for key, seen in self._shown.items():
                reading = await read(bus, self.meter.id, self.clock)
                elapsed_s = self._facts.age_s + reading.at_s - began_s
                await self._compare(key, seen, reading, readings, elapsed_s)
            if self._prompt is not None:
                await self._ask_displays(bus, readings, self._prompt)
        if not any(step.name.startswith("display") for step in self.steps):
            self.steps.append(Step("display", OPEN, "nobody read the display (--display CHANNEL=VALUE)"))
        return live

    async def _look(self, bus: Bus, live: bool) -> list[Reading]:
        """Do the steps that need no eyes; return the reads made for the direction."""
        meter, profile = self.meter, self.profile
        self.steps += await identity(bus, meter, profile)
        self.steps.append(serial_number(meter, self._serial))
        steps, in_force = await ratios(bus, meter, profile, self._plates)
        self.steps += steps
        self._ratios = display_ratios(meter, profile, in_force)
        readings = await several(bus, meter.id, self.clock, self._facts.reads, self._facts.every_s)
        self.steps.append(judge_direction(readings, self._facts.expect))
        synchronised = self.clock.state().synchronised
        if live:
            status = await ask_async(self.site.gateway.socket_path, "status")
            synchronised = status["gateway"]["clock_synchronised"]
        offset_s, why = await clock_offset(bus, meter, profile)
        self.steps.append(judge_clock(synchronised, offset_s, why))
        return readings

    def _seen(self, key: str, text: str) -> tuple[Shown, Decimal | None]:
        """Return a display as typed, and the ratio it is said to leave out. Raises MetergateError."""
        found = _LEFT_OUT.fullmatch(text)
        if found is None:
            return shown(text, self._quantities[key]), None
        return shown(found[1], self._quantities[key]), ratio(found[2])

    async def _compare(
        self,
        key: str,
        typed: tuple[Shown, Decimal | None],
        reading: Reading,
        readings: list[Reading],
        elapsed_s: float,
    ) -> None:
        seen, said = typed
        applied = self._ratios.get(key, Ratio())
        if said is not None and said != applied.factor:
            text = f"x{said:f} was typed, but the gateway multiplies {key} by {applied.factor:f}"
            self.steps.append(Step(f"display {key}", FAIL, text))
            return
        if said is not None:
            applied = applied._replace(left_out=True)
        elif self._prompt is not None and leaves_out_ratio(key, seen, reading, readings, elapsed_s, applied):
            question = f"{seen.value:f} x {applied.factor:f} fits: does the display leave the ratio out (二次侧)? (yes, no)"
            left_out = await ask_until(self._prompt, question, yes_or_no)
            applied = applied._replace(left_out=left_out)
        self.steps.append(judge_display(key, seen, reading, readings, elapsed_s, applied))

    async def _ask_first(self, prompt: Prompt) -> None:
        """Ask what plates say."""
        self._serial = self._serial or await prompt("Number on the meter's plate (empty: not read)")
        for name in self.profile.ratios if self.profile else ():
            if name in self._plates:
                continue
            question = f"Ratio {name} on the plate, such as 200/5 (empty: not read)"
            if (value := await ask_until(prompt, question, ratio)) is not None:
                self._plates[name] = value

    async def _ask_displays(self, bus: Bus, readings: list[Reading], prompt: Prompt) -> None:
        """Ask for displays one by one, and read the meter right after each."""
        counters = [key for key, value in readings[-1].values.items() if value.kind == "counter"]
        for key in [key for key in counters if key not in self._shown][:ASKED_MAX]:
            unit = QUANTITIES[self._quantities[key]].unit
            since_s = self.clock.monotonic()
            question = f"{key} on the display, all digits, in {unit} or with its unit (empty: skip)"
            typed = await ask_until(prompt, question, partial(self._seen, key))
            if typed is not None:
                reading = await read(bus, self.meter.id, self.clock)
                await self._compare(key, typed, reading, readings, reading.at_s - since_s)
