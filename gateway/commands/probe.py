"""`metergate probe`: which meter type this is, whether its registers are where the profile says, what a server holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.profiles import UnknownProfile
from gateway.assembly import library
from gateway.clock import SystemClock
from gateway.commands.bus_tables import print_probe, print_variables
from gateway.commands.bus_work import DIGITS, STOPPED, execute, politely, progress, unit_of
from gateway.commands.options import link_of, meter_of, print_json
from gateway.commands.probe_identified import of_protocol, probe_identified
from gateway.commissioning.bus import connect
from gateway.commissioning.probe import candidates, diagnose, rank, verdict
from gateway.commissioning.reads import MeterReads, Stopped
from gateway.config.links import OpcuaConfig
from gateway.config.site_file import load
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.profiles import Library, Profile
    from gateway.config.models import MeterConfig, Site

UNIT_MAX = 255


def probe(path: Path, names: list[str], profile: str, *, timeout_s: float, below: str, as_json: bool) -> int:
    """Print what answers and return the exit code: 1 if nobody does."""
    site = load(path)
    known = library(site)
    links = {link.id: link for link in site.links}
    if len(names) == 1 and isinstance(links.get(names[0]), OpcuaConfig):
        return _browse(site, names[0], below, as_json=as_json)
    link, address, meter = _whom(site, names)
    expected = profile or ("" if meter is None else meter.profile)
    wanted = _profile(known, expected) if expected else None
    if isinstance(address, str):
        figures = execute(probe_identified(site, known, link, address, wanted, meter, timeout_s))
    else:
        of_protocol(wanted, "modbus")
        variant = "" if profile or meter is None else meter.variant
        figures = execute(_run(site, known, link, address, wanted, variant, timeout_s))
    print_json(figures) if as_json else print_probe(figures)
    if not figures["is_whole"]:
        return STOPPED
    return 1 if figures["outcome"] == "silent" else 0


def _whom(site: Site, names: list[str]) -> tuple[str, int | str, MeterConfig | None]:
    """Return link, unit id or meter number, and the meter of the site file if one was named. Raises MetergateError."""
    last = names[-1]
    if len(names) == 1 and last in {link.id for link in site.links}:
        raise MetergateError(
            f"link {last}: which meter? `metergate probe {last} UNIT` (or the number of a DL/T 645 or CJ/T 188 meter); "
            f"`metergate scan {last}` shows who answers"
        )
    if len(names) == 2 and last.isdecimal():
        link = link_of(site, names[0])
        if len(last) in DIGITS:
            return link, last, None
        if int(last) > UNIT_MAX:
            raise MetergateError(
                f"unit {last}: expected a unit id of 0 to {UNIT_MAX}, or a meter number of 12 digits (DL/T 645) or 14 (CJ/T 188)"
            )
        return link, int(last), None
    meter = meter_of(site, last)
    if len(names) > 2 or (len(names) == 2 and names[0] != meter.link):
        raise MetergateError(f"expected METER or LINK UNIT; meter {meter.id} is on link {meter.link}")
    return meter.link, meter.address or unit_of(meter), meter


def _profile(known: Library, name: str) -> Profile:
    try:
        return known.get(name)
    except UnknownProfile as error:
        raise MetergateError(f"{error}; `metergate profiles` lists them all") from error


async def _run(
    site: Site, known: Library, link: str, unit: int, expected: Profile | None, variant: str, timeout_s: float
) -> dict[str, Any]:
    types = candidates(known)
    clock = SystemClock()
    lines: list[str] = []
    in_place = None
    with progress() as bar, politely() as stop:
        async with connect(site, link, clock) as bus:
            reads = MeterReads(bus, unit, clock, timeout_s=timeout_s, stopped=stop.is_set)
            task = bar.add_task(f"probe {link} unit {unit}", total=len(types))
            is_whole = True
            if expected is not None:
                try:
                    in_place, lines = await diagnose(reads, expected, variant)
                except Stopped:
                    is_whole = False
            ranked, all_seen = await rank(
                reads, types, lambda done, of: bar.update(task, completed=done, total=of)
            )
    found = verdict(ranked, reads)
    return {
        "link": link,
        "unit": unit,
        "expected": "" if expected is None else expected.id,
        "in_place": in_place,
        "diagnosis": lines,
        "outcome": found.outcome,
        "verdict": found.text,
        "best": list(found.best),
        "candidates": [one.to_json() for one in ranked if one.reasons] if reads.answered else [],
        "requests": reads.asked,
        "is_whole": is_whole and all_seen,
    }


def _browse(site: Site, link: str, below: str, *, as_json: bool) -> int:
    from drivers.opcua.variables import Variable, propose

    async def work() -> dict[str, Any]:
        async with connect(site, link, SystemClock()) as bus:
            return await bus.browse(below)

    found = execute(work())
    if not found["variables"] and found["is_whole"]:
        raise MetergateError(
            f"link {link}: no variable lies below {below or 'its Objects folder'}; `metergate probe {link}` without --below "
            "shows what there is, and the server may show more to a user with more rights"
        )
    variables = [Variable(**row | {"path": tuple(row["path"])}) for row in found["variables"]]
    figures = {"link": link} | found | {"proposal": propose(variables)}
    print_json(figures) if as_json else print_variables(figures)
    return 0
