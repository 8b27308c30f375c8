"""Writes what is generated from the inventory's models: its JSON Schema, and the tables of keys and sheets in its specification.

`make schema` runs it; tests compare what it would write with what lies there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.config.schema import ROOT, between, without_titles
from gateway.inventory.model import Inventory
from gateway.inventory.sheets import SHEETS

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = ROOT / "docs" / "specs" / "schemas" / "inventory.schema.json"
PAGE = ROOT / "docs" / "specs" / "inventory.md"
KEYS_BEGIN, KEYS_END = "<!-- keys: written by `make schema` -->\n", "<!-- end of keys -->"
SHEETS_BEGIN, SHEETS_END = "<!-- sheets: written by `make schema` -->\n", "<!-- end of sheets -->"
ENUM_SHOWN = 5


def schema() -> dict[str, Any]:
    """Return the JSON Schema of an inventory."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Metergate inventory",
        "description": "The ledger of measuring instruments 计量器具台账 (docs/specs/inventory.md).",
    }
    return head | dict(without_titles(Inventory.model_json_schema(by_alias=True)))


def schema_text() -> str:
    """Return the schema as it lies in `docs/specs/schemas`."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def page_text(page: str) -> str:
    """Return the specification with its tables written anew; the rest is written by hand."""
    page = between(page, KEYS_BEGIN, KEYS_END, list(_keys()))
    return between(page, SHEETS_BEGIN, SHEETS_END, list(_sheets()))


def _keys() -> Iterator[str]:
    """Yield a Markdown table for each table of an inventory; what two tables hold alike stands once."""
    defs = schema()["$defs"]
    for name in ("Organization", "Electricity", "Unit", "Equipment", "KindAmount", "Flow", "Instrument"):
        yield from _table(defs, name)
    for name in (
        "Verification",
        "Confirmation",
        "Nonconformity",
        "ChainPart",
        "Loss",
        "Staff",
        "Stock",
        "Answer",
    ):
        yield from _table(defs, name)


def _table(defs: dict[str, Any], name: str) -> Iterator[str]:
    table = defs[name]
    heading, _, about = table["description"].partition("\n")[0].partition(": ")
    if not about:
        heading, about = "`[[units.amounts]]`, `[[equipment.amounts]]`", heading
    yield f"### {heading}"
    yield ""
    yield about[0].upper() + about[1:]
    yield ""
    yield "| Key | Value | Default | Meaning |"
    yield "|---|---|---|---|"
    for key, field in table["properties"].items():
        default = "*required*" if key in table.get("required", []) else _default(field)
        cells = (f"`{key}`", _value(field), default, field.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    empty = value in (None, "", []) or isinstance(value, dict)
    return "" if empty else f"`{json.dumps(value, ensure_ascii=False)}`"


def _value(field: dict[str, Any]) -> str:
    """Return what may stand as a value, in a few words."""
    if "enum" in field:
        few = [json.dumps(one, ensure_ascii=False) for one in field["enum"] if one != ""]
        return (
            " ".join(f"`{one}`" for one in few)
            if len(few) <= 2 * ENUM_SHOWN + 1
            else "an [energy kind](energy-kinds.md)"
        )
    if "$ref" in field:
        return "table"
    if field.get("type") == "array":
        return "list of tables" if "$ref" in field["items"] else "list of text"
    options = [one for one in field.get("anyOf", []) if one.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(map(_value, options)))
    if field.get("format") == "date":
        return "day"
    if field.get("examples"):
        return "amount with its unit: " + ", ".join(f'`"{one}"`' for one in field["examples"])
    kind = field.get("type")
    one = next(word for word in kind if word != "null") if isinstance(kind, list) else str(kind)
    return {"string": "text", "integer": "integer", "number": "number", "boolean": "true, false"}[one]


def _sheets() -> Iterator[str]:
    yield "| Sheet | Fills | Columns |"
    yield "|---|---|---|"
    for sheet in SHEETS:
        table = sheet.table or "units, equipment"
        fills = f"`{sheet.inside}` of {table}" if sheet.inside else f"`{table}`"
        columns = ", ".join(
            f"{one.heading} `{one.key}`{'*' if one.required else ''}" for one in sheet.columns
        )
        yield f"| {sheet.title} | {fills} | {columns} |"


def main() -> None:
    """Write the schema and the tables of the page."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
