"""What every command about fitting begins with: the inventory in force, the rulesets, the evidence, the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import typer

from gateway.commands.options import config_path
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.outcome import Outcome
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Inventory

USUAL_RULESET = "GB17167-2006"


class Evaluated(NamedTuple):
    """An outcome and what it was made of. revision: of the inventory, None if it was not applied. path: its file, if it has one."""

    outcome: Outcome
    revision: int | None
    site: Site | None
    path: Path | None


def evaluated(
    config: Path | None,
    *,
    inventory: Path | None = None,
    evidence: Path | None = None,
    ruleset: str = "",
    water_ruleset: str = "",
    as_of: str = "",
) -> Evaluated:
    """Return the outcome of what a command names; what it does not name comes from the site file, revisions and history.

    Raises ConfigError with findings, MetergateError.
    """
    from gateway.evidence.evidence_file import read_evidence
    from gateway.fitting.evaluate import evaluate
    from gateway.fitting.evidence import window_before

    site = site_of(config, is_needed=inventory is None)
    found, revision, path = inventory_of(site, inventory)
    rules, water = rulesets_of(site, ruleset, water_ruleset)
    proof: Evidence | None = None if evidence is None else read_evidence(evidence)
    day = day_after(proof) if proof is not None and not as_of else day_of(as_of, site)
    if proof is None and site is not None:
        proof = gathered(found, site, window_before(day))
    return Evaluated(evaluate(found, rules, water, day, proof), revision, site, path)


def site_of(config: Path | None, *, is_needed: bool) -> Site | None:
    """Return the site; None if no site file is there and none is needed or named."""
    from gateway.config.site_file import load

    path = config_path(config)
    if config is None and not is_needed and not path.exists():
        return None
    return load(path)


def inventory_of(site: Site | None, given: Path | None) -> tuple[Inventory, int | None, Path | None]:
    """Return the inventory to use, its revision (None: not applied) and its file (None: it has none)."""
    from gateway.inventory.reading import load

    if site is None:
        assert given is not None
        return load(given), None, given
    from gateway.inventory.in_force import in_force

    found = in_force(site, given)
    return found.inventory, found.revision, found.path


def rulesets_of(site: Site | None, name: str, water: str) -> tuple[Ruleset, Ruleset | None]:
    """Return the ruleset and that of water beside it: those named, else the site file's, else the usual ones."""
    from gateway.fitting.rulesets import Rulesets

    known = Rulesets(() if site is None else site.inventory.ruleset_dirs)
    rules = known.get(name or (USUAL_RULESET if site is None else site.inventory.ruleset))
    second = water or ("" if site is None else site.inventory.water_ruleset) or rules.ruleset.water
    return rules, known.get(second) if second else None


def day_of(text: str, site: Site | None) -> date:
    """Return the day a result stands for: as typed, else today at the site. Raises BadParameter."""
    from gateway.clock import SystemClock, local
    from gateway.inventory.values import day

    if not text:
        now = local(SystemClock().wall_ns(), "UTC" if site is None else site.site.timezone)
        text = now.partition(" ")[0]
    try:
        found = day(text)
    except ValueError:
        found = None
    if found is None:
        raise typer.BadParameter(f'"{text}" is no day such as 2026-11-22', param_hint="--as-of")
    return found


def day_after(evidence: Evidence) -> date:
    """Return the first day whose window evidence is of."""
    from datetime import timedelta

    return evidence.last + timedelta(days=1)


def gathered(inventory: Inventory, site: Site, window: Window) -> Evidence | None:
    """Return what the history tells of a window, None if there is no history yet or none of that time."""
    from gateway.assembly import library
    from gateway.commands.history_file import FILE, opened, scale
    from gateway.evidence.gather import gather

    if not (site.gateway.state_dir / FILE).exists():
        return None
    with opened(site) as store, scale("reading the history 读取历史") as advance:
        return gather(inventory, site, library(site), store, window, advance=advance)


def name_of(explained: str, names: list[str]) -> str:
    """Return a name that can be explained. Raises MetergateError that proposes the nearest."""
    from gateway.config.values import nearest

    if explained in names:
        return explained
    near = nearest(explained, names)
    hint = (
        f"did you mean {near}?"
        if near
        else "units, equipment, flows, instruments and energy kinds can be explained"
    )
    raise MetergateError(f'nothing in the inventory is called "{explained}"; {hint}')
