"""Writes what is generated from the model of evidence: its JSON Schema.

`make schema` runs it; a test compares what it would write with what lies there.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.config.schema import ROOT, without_titles
from gateway.fitting.evidence import Evidence

SCHEMA = ROOT / "docs" / "specs" / "schemas" / "evidence.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of evidence."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Metergate evidence",
        "description": "What the instruments of an inventory delivered in a window (docs/specs/evidence.md).",
    }
    return dict(without_titles(Evidence.model_json_schema(by_alias=True))) | head


def schema_text() -> str:
    """Return the schema as it lies in `docs/specs/schemas`."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def main() -> None:
    """Write the schema."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
