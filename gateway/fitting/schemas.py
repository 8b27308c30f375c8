"""Writes what is generated from the shapes of evidence and result: their JSON Schemas.

`make schema` runs it; a test compares what it would write with what lies there.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from gateway.config.schema import ROOT, without_titles
from gateway.fitting.evidence import Evidence
from gateway.fitting.result_shape import ResultBody

FOLDER = ROOT / "docs" / "specs" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def evidence() -> dict[str, Any]:
    """Return the JSON Schema of evidence."""
    head = {
        "$schema": DRAFT,
        "title": "Metergate evidence",
        "description": "What the instruments of an inventory delivered in a window (docs/specs/evidence.md).",
    }
    return dict(without_titles(Evidence.model_json_schema(by_alias=True))) | head


def result() -> dict[str, Any]:
    """Return the JSON Schema of a result."""
    head = {
        "$schema": DRAFT,
        "title": "Metergate fitting rates",
        "description": "What `metergate fitting --json` prints (docs/specs/fitting.md).",
    }
    return dict(without_titles(TypeAdapter(ResultBody).json_schema())) | head


SCHEMAS = {"evidence.schema.json": evidence, "fitting.schema.json": result}


def text(name: str) -> str:
    """Return a schema as it lies in `docs/specs/schemas`."""
    return json.dumps(SCHEMAS[name](), ensure_ascii=False, indent=2) + "\n"


def main() -> None:
    """Write the schemas."""
    for name in SCHEMAS:
        (FOLDER / name).write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
