"""An inventory out of a TOML, JSON or Excel file: one frozen `Inventory`, or refused with every finding it has.

Every table is validated by itself and what holds is then checked against the rest, so that one wrong flow does
not hide what is wrong with an instrument. `ConfigError` is the only way this fails.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from gateway.config.draft import Entry
from gateway.config.entries import entries, sections, single
from gateway.config.text_files import decoded, parsed, read_bytes, too_deep
from gateway.errors import ConfigError, Finding
from gateway.findings import salvage, shown
from gateway.inventory.check import findings_of
from gateway.inventory.draft import Draft, in_order
from gateway.inventory.model import (
    Answer,
    Equipment,
    Flow,
    Instrument,
    Inventory,
    Loss,
    Organization,
    Staff,
    Stock,
    Unit,
)
from gateway.inventory.places import in_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.config.base import Table

SIZE_MAX_BYTES = 64 << 20  # 5 000 instruments with ten verifications each are 10 MiB
TABLES: Mapping[str, type[Table]] = {
    "units": Unit,
    "equipment": Equipment,
    "flows": Flow,
    "instruments": Instrument,
    "losses": Loss,
    "staff": Staff,
    "stocks": Stock,
    "answers": Answer,
}
"""The tables that repeat, in the order of an inventory."""
STAND_INS: Mapping[type[Table], Mapping[str, Any]] = {
    Organization: {"name": "x"},
    Unit: {"id": "x", "name": "x", "role": "process"},
    Equipment: {"id": "x", "name": "x"},
    Flow: {"id": "x", "from": "outside", "to": "organization", "energy_kind": "other"},
    Instrument: {"id": "x", "name": "x", "category": "other"},
}
"""Tables that are held against others although they have a fault, with values for what may be missing."""
HINT = "see docs/specs/inventory.md"


def load(path: Path, *, with_files: bool = False) -> Inventory:
    """Return the inventory of a .toml, .json or .xlsx file. Raises ConfigError with every finding.

    with_files: also look whether the certificate files it names lie in its folder and are those it names.
    """
    base = path.parent if with_files else None
    if path.suffix.lower() == ".xlsx":
        from gateway.inventory.workbook import read_workbook

        sheets = read_workbook(path)
        try:
            inventory = from_body(sheets.body, str(path), base)
        except ConfigError as error:
            raise ConfigError(sheets.placed([*sheets.findings, *error.findings])) from None
        if sheets.findings:
            raise ConfigError(sheets.placed(sheets.findings))
        return inventory
    readers: dict[str, Callable[[str, Path], Any]] = {".toml": _toml, ".json": _json}
    read = readers.get(path.suffix.lower())
    if read is None:
        found = f'"{path.suffix}"' if path.suffix else "a name without a suffix"
        raise ConfigError([Finding(str(path), found, "an inventory: .toml, .json or .xlsx")])
    hint = "name it in [inventory] of the site file, or begin with a copy of config/inventory.example.toml"
    raw = read_bytes(path, SIZE_MAX_BYTES, "an inventory", hint)
    return from_body(read(decoded(raw, path), path), str(path), base)


def placed(findings: Sequence[Finding], path: Path) -> list[Finding]:
    """Return findings in an inventory read from a file as its reader finds the place: of a workbook by sheet, row and column."""
    if path.suffix.lower() != ".xlsx":
        return list(findings)
    from gateway.inventory.workbook import read_workbook

    return read_workbook(path).placed(findings)


def from_body(body: Mapping[str, Any], where: str, base: Path | None = None) -> Inventory:
    """Return the inventory plain values describe. where: what findings call the whole. Raises ConfigError with every finding.

    base: folder of the certificate files; None: they are not looked at.
    """
    if not isinstance(body, dict):
        raise ConfigError([Finding(where, shown(body), "a table with [organization]", HINT)])
    findings: list[Finding] = []
    draft = _draft(body, findings)
    tables = draft.entries()
    findings += findings_of(draft, base)
    if findings or draft.organization.value is None:
        raise ConfigError(in_order(findings, tables))
    rows = {name: tuple(entry.value for entry in of) for name, of in draft.lists().items()}
    return Inventory.model_validate({"organization": draft.organization.value, **rows})


def _draft(body: Mapping[str, Any], findings: list[Finding]) -> Draft:
    """Return whatever could be made into objects; what could not goes into `findings`."""
    tables = sections(body, ("organization", *TABLES), findings)
    organization = single(
        Organization,
        tables.get("organization"),
        "organization",
        {},
        STAND_INS[Organization],
        findings,
        HINT,
    )
    lists = {
        name: entries(name, tables.get(name, []), partial(_entry, model, findings), findings)
        for name, model in TABLES.items()
    }
    return Draft(organization, **lists)


def _entry(model: type[Table], findings: list[Finding], body: dict[str, Any], path: str) -> Entry[Any]:
    value, found, doubtful = salvage(model, body, path, {}, STAND_INS.get(model))
    findings += map(in_toml, found)
    return Entry(path, body, value, doubtful)


def _toml(text: str, path: Path) -> Any:
    try:
        return parsed(text, path, tuple(TABLES))
    except RecursionError:
        raise too_deep(path, "TOML") from None


def _json(text: str, path: Path) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise ConfigError([Finding(str(path), found, "valid JSON")]) from None
