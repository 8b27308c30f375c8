"""`metergate commission`: walk through the steps at the meter, ask what only eyes can see, write the record."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from gateway import __version__, assembly, commission_record, commission_walk
from gateway.bus import LiveBus, connect
from gateway.cli_bus_work import execute, meter_of
from gateway.cli_meter_work import duration_s
from gateway.cli_options import print_json
from gateway.clock import NS, SystemClock
from gateway.commission import FAIL, OPEN, PASS, Reading, Step, judge_clock, judge_direction, judge_display
from gateway.config.site_file import load
from gateway.control import ask_async
from gateway.display import pairs, quantity_names, ratio, shown
from gateway.errors import MetergateError
from gateway.quantity import QUANTITIES
from gateway.tables import console

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from drivers.profiles import Profile
    from gateway.bus import Bus
    from gateway.config.models import MeterConfig, Site
    from gateway.interfaces import Clock

ASKED_MAX = 3  # counters whose display is asked for
_COLOUR = {PASS: "green", FAIL: "red", OPEN: "yellow"}


@dataclass(frozen=True, slots=True)
class Options:
    """What was said on the command line. ask: prompt for what is left out, if there is a terminal."""

    by: str
    display: list[str]
    age: str
    plate: list[str]
    serial: str
    expect: str
    reads: int
    every: str
    ask: bool


def main(path: Path, meter_id: str, options: Options, *, as_json: bool) -> int:
    """Commission a meter, print the steps and return the exit code: 1 if one failed. Raises MetergateError."""
    if options.expect not in {"import", "export"}:
        raise typer.BadParameter(f'"{options.expect}" is neither import nor export', param_hint="--expect")
    site = load(path)
    meter = meter_of(site, meter_id)
    if not meter.enabled:
        raise MetergateError(f"meter {meter.id} is disabled in the site file: set enabled = true")
    walk = Walk(site, meter, options, SystemClock())
    live = execute(walk.go())
    passed = walk.passed
    at = datetime.fromtimestamp(walk.clock.wall_ns() / NS, ZoneInfo(site.site.timezone))
    head: dict[str, str | int | float | bool] = {
        "schema": 1,
        "meter": meter.id,
        "profile": f"{walk.profile.id}@{walk.profile.digest}" if walk.profile else "",
        "gateway": site.gateway.id,
        "config": site.digest,
        "software": __version__,
        "time": at.isoformat(timespec="seconds"),
        "by": walk.by,
        "passed": passed,
        "through_gateway": live,
    }
    file = commission_record.write(
        site.gateway.state_dir, meter.id, at, commission_record.record(head, walk.steps)
    )
    told = _tell(site, meter, file, walk) if live else False
    if as_json:
        steps = [
            {"name": s.name, "result": s.result, "text": s.text, "detail": dict(s.detail)} for s in walk.steps
        ]
        print_json(head | {"record": str(file), "event": told, "steps": steps})
    else:
        _print(walk.steps)
        event = "" if told else " (no gateway runs, so there is no event)"
        typer.echo(f"{'Passed' if passed else 'NOT passed'}; record {file}{event}")
    return 0 if passed else 1


def _tell(site: Site, meter: MeterConfig, file: Path, walk: Walk) -> bool:
    """Have the gateway journal the event; return whether it did."""
    request = {"meter": meter.id, "record": file.name, "passed": walk.passed, "by": walk.by}
    try:
        execute(ask_async(site.gateway.socket_path, "commissioned", **cast("dict[str, Any]", request)))
    except (ConnectionError, MetergateError) as error:
        typer.echo(f"the record is written, but the gateway took no event: {error}", err=True)
        return False
    return True


def _print(steps: list[Step]) -> None:
    table = Table("step", "result", "found")
    for step in steps:
        table.add_row(step.name, Text(step.result, style=_COLOUR[step.result]), Text(step.text))
    console().print(table)


class Walk:
    """One commissioning."""

    def __init__(self, site: Site, meter: MeterConfig, options: Options, clock: Clock) -> None:
        """clock: the gateway's own."""
        self.site, self.meter, self._options, self.clock = site, meter, options, clock
        library = assembly.library(site)
        self.profile: Profile | None = library.get(meter.profile) if meter.profile else None
        self._quantities = quantity_names(meter, library)
        self._plates: dict[str, Decimal] = {k: ratio(v) for k, v in pairs(options.plate, "--plate").items()}
        self._shown = pairs(options.display, "--display")
        for key in self._shown:
            if key not in self._quantities:
                raise MetergateError(f"--display {key}: meter {meter.id} has no such channel")
            shown(self._shown[key], self._quantities[key])
        self._age_s = duration_s(options.age, "--age")
        self._every_s = duration_s(options.every, "--every")
        self._asks = options.ask and sys.stdin.isatty()
        self.by, self._serial = options.by, options.serial
        self.steps: list[Step] = []

    @property
    def passed(self) -> bool:
        """Return whether nothing failed and something passed."""
        results = [step.result for step in self.steps]
        return FAIL not in results and PASS in results

    async def go(self) -> bool:
        """Do all steps; return whether they went through the running gateway. Raises MetergateError, LinkDown."""
        began_s = self.clock.monotonic()
        await self._ask_first()
        async with connect(self.site, self.meter.link, self.clock) as bus:
            live = isinstance(bus, LiveBus)
            readings = await self._look(bus, live)
            for key, text in self._shown.items():
                reading = await commission_walk.read(bus, self.meter.id, self.clock)
                elapsed_s = self._age_s + reading.at_s - began_s
                self._compare(key, text, reading, readings, elapsed_s)
            if self._asks:
                await self._ask_displays(bus, readings)
        if not any(step.name.startswith("display") for step in self.steps):
            self.steps.append(Step("display", OPEN, "nobody read the display (--display CHANNEL=VALUE)"))
        return live

    async def _look(self, bus: Bus, live: bool) -> list[Reading]:
        """Do the steps that need no eyes; return the reads made for the direction."""
        meter, profile = self.meter, self.profile
        self.steps += await commission_walk.identity(bus, meter, profile)
        self.steps.append(commission_walk.serial_number(meter, self._serial))
        self.steps += await commission_walk.ratios(bus, meter, profile, self._plates)
        readings = await commission_walk.several(
            bus, meter.id, self.clock, self._options.reads, self._every_s
        )
        expect = cast("Literal['import', 'export']", self._options.expect)
        self.steps.append(judge_direction(readings, expect))
        synchronised = self.clock.state().synchronised
        if live:
            status = await ask_async(self.site.gateway.socket_path, "status")
            synchronised = status["gateway"]["clock_synchronised"]
        offset_s, why = await commission_walk.clock_offset(bus, meter, profile)
        self.steps.append(judge_clock(synchronised, offset_s, why))
        return readings

    def _compare(
        self, key: str, text: str, reading: Reading, readings: list[Reading], elapsed_s: float
    ) -> None:
        seen = shown(text, self._quantities[key])
        self.steps.append(judge_display(key, seen, reading, readings, elapsed_s))

    async def _ask_first(self) -> None:
        """Ask what plates say."""
        if not self._asks:
            return
        self.by = self.by or await _prompt("Who does this")
        self._serial = self._serial or await _prompt("Number on the meter's plate (empty: not read)")
        for name in self.profile.ratios if self.profile else ():
            if name not in self._plates and (
                text := await _prompt(f"Ratio {name} on the plate, such as 200/5 (empty: not read)")
            ):
                self._plates[name] = ratio(text)

    async def _ask_displays(self, bus: Bus, readings: list[Reading]) -> None:
        """Ask for displays one by one, and read the meter right after each."""
        counters = [key for key, value in readings[-1].values.items() if value.kind == "counter"]
        for key in [key for key in counters if key not in self._shown][:ASKED_MAX]:
            unit = QUANTITIES[self._quantities[key]].unit
            since_s = self.clock.monotonic()
            text = await _prompt(
                f"{key} on the display, all digits, in {unit} or with its unit (empty: skip)"
            )
            if text:
                reading = await commission_walk.read(bus, self.meter.id, self.clock)
                self._compare(key, text, reading, readings, reading.at_s - since_s)


async def _prompt(question: str) -> str:
    """Return what a person types; the event loop goes on, so that a link stays open meanwhile."""
    answer: str = await asyncio.to_thread(typer.prompt, question, default="", show_default=False)
    return answer.strip()
