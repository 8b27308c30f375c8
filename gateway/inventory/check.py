"""Cross checks of an inventory: what only shows when tables are held against each other, and against the site file.

They run on whatever could be parsed, so that one run lists everything; an instrument on a flow that is itself
wrong is not blamed for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.credit_code import ALPHABET, LENGTH, check_character
from gateway.errors import Finding
from gateway.findings import shown
from gateway.inventory.answers import ITEMS, MANAGEMENT, SELF_CHECK
from gateway.inventory.check_files import check_files
from gateway.inventory.check_instruments import check_instruments
from gateway.inventory.check_site import check_against_site
from gateway.inventory.draft import Names, by_name, draft_of, in_order, undoubted
from gateway.inventory.model import ORGANIZATION, OUTSIDE, RESERVED_IDS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.config.draft import Entry
    from gateway.inventory.draft import Draft
    from gateway.inventory.model import Inventory, KindAmount, Unit

__all__ = ["check", "check_against_site", "findings_of"]

HEATING = frozenset({"steam", "hot_water"})
"""Energy kinds of seasonal heating (季节性采暖), as the key `seasonal_heating` means it."""
LOSS_PERCENT_MAX = 100
END = "the id of a unit or equipment"


def check(inventory: Inventory, base: Path | None = None) -> list[Finding]:
    """Return every finding in a whole inventory. base: folder of its certificate files; None: they are not looked at."""
    tables = draft_of(inventory)
    return in_order(findings_of(tables, base), tables.entries())


def findings_of(tables: Draft, base: Path | None) -> list[Finding]:
    """Return every finding that needs more than one table, or the file system, to be seen."""
    names = Names()
    findings = [*_repeated(tables.owners())]
    findings += [*_repeated(tables.flows), *_repeated(tables.instruments)]
    findings += [*_reserved(tables), *_credit_code(tables), *_parents(tables, names)]
    findings += [*_amounts(tables), *_flows(tables, names), *_declared(tables, names)]
    findings += check_instruments(tables, names)
    if base is not None:
        findings += check_files(tables.instruments, base)
    return undoubted(findings, tables.entries())


def _repeated(entries: Sequence[Entry[Any]]) -> Iterator[Finding]:
    """Yield a finding for each id used again; units and equipment share one namespace, as a flow's end names either."""
    first: dict[str, str] = {}
    for entry in entries:
        own = entry.body.get("id")
        if not isinstance(own, str) or not own:
            continue
        if own in first:
            yield Finding(
                f"{entry.path}.id", f'"{own}" again', "an id of its own", f"{first[own]} has it already"
            )
        first.setdefault(own, entry.path)


def _reserved(tables: Draft) -> Iterator[Finding]:
    for entry in tables.owners():
        if entry.body.get("id") in RESERVED_IDS:
            hint = f'"{OUTSIDE}" and "{ORGANIZATION}" are ends of flows that need no table'
            yield Finding(f"{entry.path}.id", shown(entry.body["id"]), "an id of its own", hint)


def _credit_code(tables: Draft) -> Iterator[Finding]:
    """Yield what is wrong with the organisation's unified social credit code. Source: GB 32100-2015."""
    code = tables.organization.value.credit_code if tables.organization.value is not None else ""
    path = "organization.credit_code"
    if not code:
        return
    if len(code) != LENGTH or not set(code) <= set(ALPHABET):
        yield Finding(path, shown(code), f"{LENGTH} digits and capitals without I, O, S, V and Z")
    elif check_character(code[:-1]) != code[-1]:
        yield Finding(path, shown(code), "a code whose last character fits the others", "look for a misprint")


def _parents(tables: Draft, names: Names) -> Iterator[Finding]:
    """Yield units and equipment whose unit is not there, and units that are parts of themselves."""
    ids = {str(entry.body.get("id")) for entry in tables.units}
    expected = "the id of a unit, or nothing for the organisation itself"
    named = by_name(entry.body for entry in tables.units)
    for entry in tables.units:
        if entry.value is not None and entry.value.parent and entry.value.parent not in ids:
            yield names.unknown(f"{entry.path}.parent", entry.value.parent, ids, expected, named)
    for machine in tables.equipment:
        if machine.value is not None and machine.value.unit and machine.value.unit not in ids:
            yield names.unknown(f"{machine.path}.unit", machine.value.unit, ids, expected, named)
    yield from _cycles(tables.units)


def _cycles(units: Sequence[Entry[Unit]]) -> Iterator[Finding]:
    """Yield one finding for each ring of units, at the first of them."""
    parents = {entry.value.id: entry.value.parent for entry in units if entry.value is not None}
    paths = {entry.value.id: entry.path for entry in reversed(units) if entry.value is not None}
    done: set[str] = set()
    for start in parents:
        way: dict[str, None] = {}
        unit = start
        while unit in parents and unit not in done and unit not in way:
            way[unit] = None
            unit = parents[unit]
        if unit in way:
            ring = [*way][list(way).index(unit) :]
            text = " → ".join([*ring[:10], *(["…"] if len(ring) > 10 else []), ring[0]])
            yield Finding(
                f"{paths[ring[0]]}.parent", text, "a tree: no unit is a part of itself", "correct one parent"
            )
        done.update(way)


def _amounts(tables: Draft) -> Iterator[Finding]:
    for entry in tables.owners():
        if entry.value is not None:
            kinds = [(f"{entry.path}.amounts[{i}]", one) for i, one in enumerate(entry.value.amounts, 1)]
            yield from _once(
                [(f"{path}.energy_kind", one.energy_kind, one.energy_kind) for path, one in kinds],
                "one amount for each energy kind",
            )
            for path, amount in kinds:
                yield from _empty(path, amount)


def _empty(path: str, amount: KindAmount) -> Iterator[Finding]:
    if amount.year is not None and amount.yearly is None:
        yield Finding(
            f"{path}.year", str(amount.year), "a yearly amount it is the year of", 'write yearly = "…"'
        )


def _once(keys: Sequence[tuple[str, Hashable, str]], expected: str) -> Iterator[Finding]:
    """Yield a finding for each (path, key, how it is shown) whose key stands before."""
    first: dict[Hashable, str] = {}
    for path, key, text in keys:
        if key in first:
            yield Finding(
                path, f'"{text}" again', expected, f"{first[key].rpartition('.')[0]} has it already"
            )
        first.setdefault(key, path)


def _flows(tables: Draft, names: Names) -> Iterator[Finding]:
    ids = tables.owner_ids() | RESERVED_IDS
    named = tables.owner_names()
    expected = f'"{OUTSIDE}", "{ORGANIZATION}", or {END}'
    for entry in tables.flows:
        flow = entry.value
        if flow is None:
            continue
        for key, end in (("from", flow.from_end), ("to", flow.to_end)):
            if end not in ids:
                yield names.unknown(f"{entry.path}.{key}", end, ids, expected, named)
        if flow.from_end == flow.to_end and not {"from", "to"} & entry.doubtful:
            yield Finding(f"{entry.path}.to", f'"{flow.to_end}", where it comes from', "another end")
        if flow.seasonal_heating and flow.energy_kind not in HEATING and "energy_kind" not in entry.doubtful:
            found = f"true, of {flow.energy_kind}"
            yield Finding(f"{entry.path}.seasonal_heating", found, "steam or hot_water", "remove it")
        if flow.year is not None and flow.yearly is None and "yearly" not in entry.doubtful:
            yield Finding(
                f"{entry.path}.year",
                str(flow.year),
                "a yearly amount it is the year of",
                'write yearly = "…"',
            )


def _declared(tables: Draft, names: Names) -> Iterator[Finding]:
    """Yield what is wrong with declared losses, stocks and answers: unknown units, one thing declared twice."""
    ids, named = tables.owner_ids(), tables.owner_names()
    losses = [(entry.path, entry.value) for entry in tables.losses if entry.value is not None]
    for path, loss in losses:
        if loss.unit and loss.unit not in ids:
            expected = f"{END}, or nothing for the organisation"
            yield names.unknown(f"{path}.unit", loss.unit, ids, expected, named)
        if loss.percent > LOSS_PERCENT_MAX:
            yield Finding(f"{path}.percent", f"{loss.percent:f}", "100 at most: it is a share of the intake")
    shares = [
        (f"{path}.energy_kind", (loss.unit, loss.energy_kind), loss.energy_kind) for path, loss in losses
    ]
    yield from _once(shares, "one loss for each unit and energy kind")
    stocks: Mapping[str, Any] = {
        entry.path: entry.value for entry in tables.stocks if entry.value is not None
    }
    years = [
        (f"{path}.year", (one.energy_kind, one.year), f"{one.energy_kind} {one.year}")
        for path, one in stocks.items()
    ]
    yield from _once(years, "one entry for each energy kind and year")
    answers = [(entry.path, entry.value) for entry in tables.answers if entry.value is not None]
    yield from _once(
        [(f"{path}.item", one.item, one.item) for path, one in answers], "one answer for each item"
    )
    for path, one in answers:
        if one.item not in ITEMS:
            expected = f"the key of an item: {MANAGEMENT[0]} to {MANAGEMENT[-1]}, or one of the self-check list 自查表, {SELF_CHECK[0].key} …"
            yield names.unknown(f"{path}.item", one.item, ITEMS, expected)
