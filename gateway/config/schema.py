"""Writes what is generated: the JSON Schema for editors, the tables of the site file's page, the list of meter types.

`make schema` runs it; tests compare what it would write with what lies there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from drivers import profiles
from gateway.config.models import Site

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "config" / "site.schema.json"
PAGE = ROOT / "docs" / "reference" / "site-file.md"
PROFILES_PAGE = ROOT / "docs" / "reference" / "profiles.md"
_BEGIN, _END = "<!-- keys: written by `make schema` -->\n", "<!-- end of keys -->"
_PROFILES_BEGIN, _PROFILES_END = "<!-- profiles: written by `make schema` -->\n", "<!-- end of profiles -->"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a site file."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Metergate site file",
        "description": "The configuration of one gateway (docs/reference/site-file.md).",
    }
    return head | dict(without_titles(Site.model_json_schema(by_alias=True)))


def without_titles(part: Any) -> Any:
    """Return a schema without the titles that only repeat a key."""
    if isinstance(part, dict):
        return {
            key: without_titles(value)
            for key, value in part.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [without_titles(item) for item in part] if isinstance(part, list) else part


def schema_text() -> str:
    """Return the schema as it lies in `config/`."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def page_text(page: str) -> str:
    """Return the reference page with its tables of keys written anew; the rest is written by hand."""
    return between(page, _BEGIN, _END, tables())


def profiles_page_text(page: str) -> str:
    """Return the page of the shipped meter types with its table written anew; the rest is written by hand."""
    library = profiles.Library([profiles.shipped_dir()])
    rows = profiles.profiles_table(library.get(name) for name in library.ids())
    return between(page, _PROFILES_BEGIN, _PROFILES_END, rows)


def between(page: str, begin: str, end: str, lines: list[str]) -> str:
    """Return a page with what stands between two marks written anew."""
    start, stop = page.index(begin) + len(begin), page.index(end)
    return page[:start] + "\n" + "\n".join(lines) + "\n" + page[stop:]


def tables() -> list[str]:
    """Return a Markdown section for each table of the site file."""
    root = schema()
    parts = []
    for name, field in root["properties"].items():
        for title, table in _tables(root["$defs"], name, field):
            if table["properties"]:
                parts.append(_section(root["$defs"], title, table))
    return parts


def _tables(defs: dict[str, Any], name: str, field: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (heading, schema) of a top-level table, of its kinds, and of the tables inside it."""
    found = []
    items = field.get("items")
    for table in _referred(defs, items or field):
        kind = table["properties"].get("kind", {}).get("const")
        heading = f"[[{name}]]" if items else f"[{name}]"
        found.append((f"`{heading}`" + (f', `kind = "{kind}"`' if kind else ""), table))
        for key, inner in table["properties"].items():
            per_channel = [
                part for more in inner.get("patternProperties", {}).values() for part in _referred(defs, more)
            ]
            for part in per_channel:
                found.append((f"`[{name}.{key}.<channel>]`", part))
                for word, option_field in part["properties"].items():
                    deeper = (_referred(defs, option) for option in option_field.get("anyOf", ()))
                    found += [
                        (f"`{word}` of `[{name}.{key}.<channel>]`", more) for one in deeper for more in one
                    ]
            found += [(f"`{key}` of `{heading}`", part) for part in _referred(defs, inner)]
            found += [(f"`[[{name}.{key}]]`", part) for part in _referred(defs, inner.get("items", {}))]
    return found


def _referred(defs: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    refs = [part, *part.get("oneOf", []), *part.get("allOf", [])]
    return [defs[ref["$ref"].rpartition("/")[2]] for ref in refs if "$ref" in ref]


def _section(defs: dict[str, Any], title: str, table: dict[str, Any]) -> str:
    """Return one table of the site file as Markdown."""
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    required = table.get("required", [])
    first = {"id": 0, "kind": 1}
    for key, field in sorted(table["properties"].items(), key=lambda item: first.get(item[0], 2)):
        default = "*required*" if key in required else _default(field)
        row = (f"`{key}`", _value(defs, field), default, field.get("description", ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    about = re.sub(r"^`[^:]*: ", "", table["description"].partition("\n")[0])
    return f"## {title}\n\n{about[0].upper()}{about[1:]}\n\n" + "\n".join(rows) + "\n"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _value(defs: dict[str, Any], field: dict[str, Any]) -> str:
    """Return what may stand as a value, in a few words."""
    if _referred(defs, field):
        return "table"
    if "const" in field:
        return f'`"{field["const"]}"`'
    if "enum" in field:
        few = len(field["enum"]) <= 5
        return " ".join(f'`"{v}"`' for v in field["enum"]) if few else "one of a closed list"
    options = [option for option in field.get("anyOf", []) if option.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(_value(defs, option) for option in options))
    if "(ms|s|min|h|d)" in field.get("pattern", ""):
        return "duration"
    if "KiB" in field.get("pattern", ""):
        return "size"
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true, false"}
    if field.get("type") == "array":
        if field.get("maxItems") == 2:
            return "two numbers"
        items = field.get("items", {})
        of = "tables" if "$ref" in items else {"integer": "integers"}.get(items.get("type"), "text")
        return f"list of {of}"
    return words.get(field.get("type", ""), "table")


def main() -> None:
    """Write the schema and the tables of the pages."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PROFILES_PAGE.write_text(profiles_page_text(PROFILES_PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
