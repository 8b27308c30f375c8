"""Writes what is generated from rulesets: the JSON Schema of a ruleset, and the page of the shipped rulesets and usual periods.

`make schema` runs it; tests compare what it would write with what lies there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.config.schema import ROOT, between, without_titles
from gateway.fitting.ruleset import SWITCHES, Ruleset
from gateway.fitting.ruleset_text import HEADINGS, answers, lines
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.periods import usual_periods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.fitting.ruleset_text import Line

SCHEMA = ROOT / "docs" / "specs" / "schemas" / "ruleset.schema.json"
PAGE = ROOT / "docs" / "reference" / "rulesets.md"
BEGIN, END = "<!-- rulesets: written by `make schema` -->\n", "<!-- end of rulesets -->"
PERIODS_BEGIN, PERIODS_END = "<!-- periods: written by `make schema` -->\n", "<!-- end of periods -->"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a ruleset file."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Metergate ruleset",
        "description": "A standard's tables as data (docs/specs/ruleset.md).",
    }
    body: dict[str, Any] = without_titles(Ruleset.model_json_schema(by_alias=True))
    choices = {
        switch: {
            "allOf": [{"$ref": "#/$defs/Interpretation"}],
            "properties": {"choice": {"enum": list(known)}},
        }
        for switch, known in SWITCHES.items()
    }
    body["properties"]["interpretations"] |= {"properties": choices, "additionalProperties": False}
    return head | body


def schema_text() -> str:
    """Return the schema as it lies in `docs/specs/schemas`."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def page_text(page: str) -> str:
    """Return the reference page with its tables written anew; the rest is written by hand."""
    known = Rulesets()
    parts = [line for name in known.names() for line in _section(known.get(name))]
    return between(between(page, BEGIN, END, parts), PERIODS_BEGIN, PERIODS_END, list(_periods()))


def _section(ruleset: Ruleset) -> Iterator[str]:
    meta = ruleset.ruleset
    yield f"## {meta.id}"
    yield ""
    yield f"{meta.title}  \n{meta.title_zh}"
    yield ""
    for text in filter(None, (meta.note, meta.note_zh)):
        yield f"> {text}"
        yield ">"
    days = [f"In force since {meta.valid_from}."] if meta.valid_from else []
    days += [f"Superseded on {meta.superseded_on} by {meta.superseded_by}."] if meta.superseded_on else []
    days += [f"Water: {meta.water}."] if meta.water else []
    yield "> " + " ".join(days)
    told = list(lines(ruleset))
    for table, heading in HEADINGS.items():
        found = [line for line in told if line.table == table]
        if found:
            yield from _table(heading, found)
    if ruleset.interpretations:
        yield from _interpretations(ruleset)
    yield ""


def _table(heading: str, found: list[Line]) -> Iterator[str]:
    yield f"\n### {heading}\n"
    yield "| Id | Level | Of | Says | Confidence | Clause | Source |"
    yield "|---|---|---|---|---|---|---|"
    for line in found:
        row = line.row
        says = [
            line.says,
            f"only under `{row.when}`" if row.when else "",
            f"**Conflict:** {row.conflict} {row.conflict_zh}".rstrip() if row.conflict else "",
        ]
        yield _cells(
            f"`{row.id}`",
            line.level,
            line.of,
            ". ".join(filter(None, says)),
            row.confidence,
            row.clause,
            row.source,
        )


def _interpretations(ruleset: Ruleset) -> Iterator[str]:
    yield "\n### Interpretations 释义\n"
    yield "| Switch | Choice | Meaning | Clause |"
    yield "|---|---|---|---|"
    for answer in answers(ruleset):
        meaning = " ".join(filter(None, (answer.text, answer.text_zh))) or "not stated: the usual choice"
        yield _cells(f"`{answer.switch}`", f"`{answer.choice}`", meaning, answer.clause)


def _periods() -> Iterator[str]:
    yield "| Id | Instrument | Condition | Months | Mode | Regulation | Confidence | Source |"
    yield "|---|---|---|---:|---|---|---|---|"
    for row in usual_periods():
        conditions = [
            ", ".join(row.categories or row.parts),
            "named " + ", ".join(row.words) if row.words else "",
            "type " + ", ".join(row.types) if row.types else "",
            "class " + ", ".join(row.classes) if row.classes else "",
            f"class {row.class_at_most} or better" if row.class_at_most else "",
            f"from DN {row.dn_min_mm}" if row.dn_min_mm is not None else "",
            f"up to DN {row.dn_max_mm}" if row.dn_max_mm is not None else "",
            row.purpose,
        ]
        said = "; ".join(filter(None, conditions))
        yield _cells(
            f"`{row.id}`",
            row.what,
            said,
            str(row.months),
            row.mode,
            row.regulation,
            row.confidence,
            row.source,
        )


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the schema and the tables of the page."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
