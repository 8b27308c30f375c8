"""What every command about fitting begins with: the inventory in force, the rulesets, the evidence, the outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import typer

from gateway.commands.options import config_path
from gateway.errors import ConfigError, Finding, MetergateError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from gateway.config.models import Site
    from gateway.evidence.loading import Loaded
    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.explain import Explainer
    from gateway.fitting.grounds import Words
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
    outcome = evaluate(found, rules, water, day, proof)
    told = untimely(day, site, revision)
    outcome = replace(
        outcome,
        doubts=(*outcome.doubts, *(words.en for words in told)),
        doubts_zh=(*outcome.doubts_zh, *(words.zh for words in told)),
    )
    return Evaluated(outcome, revision, site, path)


def untimely(day: date, site: Site | None, revision: int | None) -> list[Words]:
    """Return what is to be said of a day that is yet to come, or before the inventory was approved."""
    from gateway.clock import local
    from gateway.fitting.grounds import Words

    told = []
    if day > day_of("", site):
        told.append(Words(f"{day} is yet to come", f"{day} 尚未到来"))
    if site is not None and revision is not None:
        from gateway.inventory.in_force import revisions

        applied = local(revisions(site).at(revision).applied_ns, site.site.timezone).partition(" ")[0]
        if day.isoformat() < applied:
            en = f"revision {revision} of the inventory was approved on {applied}, after the day the result stands for"
            told.append(Words(en, f"台账第 {revision} 版于 {applied} 批准, 晚于检查基准日"))
    return told


def site_of(config: Path | None, *, is_needed: bool) -> Site | None:
    """Return the site; None if no site file is there and none is needed or named."""
    from gateway.config.site_file import load

    path = config_path(config)
    if config is None and not path.exists():
        if not is_needed:
            return None
        hint = "name an inventory with --inventory FILE, or a site file with --config FILE"
        raise ConfigError([Finding(str(path), "no such file", "an inventory or a site file", hint)])
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
    return loaded(inventory, site, window).evidence


def loaded(inventory: Inventory, site: Site, window: Window) -> Loaded:
    """Return what the history tells of a window up to now, and how much of it is damaged. Raises StorageError."""
    from gateway.assembly import library
    from gateway.clock import SystemClock
    from gateway.commands.history_file import scale
    from gateway.evidence.loading import load_evidence

    with scale("reading the history 读取历史") as advance:
        now_ns = SystemClock().wall_ns()
        return load_evidence(inventory, site, library(site), window, now_ns, advance)


def name_of(asked: str, explainer: Explainer) -> str:
    """Return the name of what can be explained. Raises MetergateError that proposes the nearest."""
    from gateway.config.values import nearest_few

    called = explainer.called(asked)
    if len(called) == 1:
        return called[0]
    known = called or nearest_few(asked, explainer.names(), 4)
    hint = "units, equipment, flows, instruments, energy kinds and organization can be explained"
    if known:
        hint = f"did you mean {', '.join(known[:6])}?"
    what = f'"{asked}" is the name of several' if called else f'nothing in the inventory is called "{asked}"'
    raise MetergateError(f"{what}; {hint}")
