"""What the commands about an inventory start from: inventory, ruleset, day and evidence, from options, site file and history."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import typer

from gateway.errors import ConfigError, Finding, MetergateError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.in_force import InForce
    from gateway.inventory.model import Inventory

EVIDENCE_BYTES_MAX = 64 * 1024 * 1024


class Inputs(NamedTuple):
    """What a balance or an evaluation stands on. site: None where files alone are used."""

    site: Site | None
    ledger: InForce
    ruleset: Ruleset
    water_ruleset: Ruleset | None
    as_of: date
    window: Window
    evidence: Evidence | None

    @property
    def inventory(self) -> Inventory:
        """Return the inventory."""
        return self.ledger.inventory


def site_of(config: Path | None, inventory: Path | None) -> Site | None:
    """Return the site; None where an inventory is named, no site file, and none lies where it is looked for."""
    from gateway.commands.options import config_path
    from gateway.config.site_file import load

    path = config_path(config)
    if config is None and inventory is not None and not path.exists():
        return None
    return load(path)


def ledger_of(site: Site | None, given: Path | None) -> InForce:
    """Return the inventory to use. Raises ConfigError, MetergateError."""
    from gateway.inventory.in_force import InForce, in_force
    from gateway.inventory.reading import load

    if site is not None:
        return in_force(site, given)
    if given is None:
        raise MetergateError("name a site file with --config, or an inventory with --inventory")
    return InForce(load(given), None, given)


def inputs(
    config: Path | None, inventory: Path | None, evidence: Path | None, as_of: str, ruleset: str = ""
) -> Inputs:
    """Return everything an evaluation needs. Raises ConfigError, MetergateError, BadParameter.

    as_of: "": today, or with an evidence file the day after its window. The evidence is the file's, else the history's, else None.
    """
    from gateway.fitting.evidence import window_before
    from gateway.fitting.rulesets import Rulesets

    site = site_of(config, inventory)
    ledger = ledger_of(site, inventory)
    rulesets = Rulesets(site.inventory.ruleset_dirs if site is not None else ())
    rules = rulesets.get(ruleset or (site.inventory.ruleset if site is not None else _default_ruleset()))
    water = (site.inventory.water_ruleset if site is not None else "") or rules.ruleset.water
    found = read_evidence(evidence) if evidence is not None else None
    on = day_option(as_of, "--as-of") if as_of else _default_day(site, found)
    window = window_before(on)
    if found is not None and found.window != window:
        raise MetergateError(
            f"the evidence is of {found.first} to {found.last}, but on {on} the window is {window.first} to {window.last}: "
            "name another --as-of, or gather it anew"
        )
    if found is None and site is not None:
        found = gathered(site, ledger.inventory, window)
    return Inputs(site, ledger, rules, rulesets.get(water) if water else None, on, window, found)


def _default_ruleset() -> str:
    from gateway.config.inventory import RULESET

    return RULESET


def _default_day(site: Site | None, evidence: Evidence | None) -> date:
    from datetime import timedelta

    if evidence is not None:
        return evidence.last + timedelta(days=1)
    return today(site.site.timezone if site is not None else "UTC")


def today(zone: str) -> date:
    """Return the day it is in a zone."""
    from datetime import date

    from gateway.clock import SystemClock, local

    return date.fromisoformat(local(SystemClock().wall_ns(), zone)[:10])


def day_option(text: str, option: str) -> date:
    """Return a day as typed. Raises BadParameter."""
    from datetime import date

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f'"{text}" is no day: write 2026-08-31', param_hint=option) from error


def read_evidence(path: Path) -> Evidence:
    """Return the evidence of a file. Raises ConfigError, MetergateError."""
    from pydantic import ValidationError

    from gateway.file_reading import read_file
    from gateway.fitting.evidence import Evidence

    try:
        return Evidence.model_validate_json(read_file(path, EVIDENCE_BYTES_MAX, str(path)))
    except OSError as error:
        raise MetergateError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        findings = [
            Finding(".".join(map(str, one["loc"])) or str(path), "what cannot be used", one["msg"])
            for one in error.errors()
        ]
        raise ConfigError(findings) from error


def gathered(site: Site, inventory: Inventory, window: Window) -> Evidence | None:
    """Return the evidence the history has of a window, None if there is no history of it. Raises StorageError."""
    from gateway.assembly import library
    from gateway.clock import SystemClock
    from gateway.commands.history_file import FILE, opened, refuse_damage, scale
    from gateway.evidence.gather import gather

    if not (site.gateway.state_dir / FILE).exists():
        return None
    with opened(site) as store, scale("reading the history 读取历史") as advance:
        now_ns = SystemClock().wall_ns()
        found = gather(inventory, site, library(site), store, window, now_ns=now_ns, advance=advance)
        refuse_damage(len(store.unreadable))
    return found


def needed(evidence: Evidence | None, window: Window) -> Evidence:
    """Return the evidence. Raises MetergateError where there is none."""
    if evidence is None:
        raise MetergateError(
            f"nothing is known of {window.first} to {window.last}: the history does not reach there, or this gateway has not run; "
            "name another --as-of, or a file with --evidence"
        )
    return evidence
