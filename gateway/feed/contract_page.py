"""docs/specs/feed-contract.md: the feed's messages as a page to read, from their models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from gateway.feed import contract, contract_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Topic(Protocol):
    """Where messages go."""

    @property
    def levels(self) -> str:
        """What follows the gateway's prefix."""

    @property
    def retain(self) -> bool:
        """Whether a broker keeps the newest."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which messages go there."""


_HEAD = """\
# The feed's messages

Written by `make schema` from `gateway/feed/contract.py`; a test compares it. How they are signed, chained and sent:
[feed](feed.md). For programs: [AsyncAPI 3.0.0](feed.asyncapi.json), JSON Schemas in [schemas](schemas/), examples in
[examples](examples/): one payload of each message, and a whole [recorded feed](examples/feed.jsonl) with the
[key](examples/feed-key.jwk.json) it begins with (`metergate verify docs/specs/examples/feed.jsonl`).

Readings and amounts are decimal strings, exact, in the canonical units; what is unknown is `null`, never 0. A key that is
left out has its default. Times are ISO 8601 with offset, in the site's zone. A reader passes over keys it does not know.
"""
_UNITS = {"_s": "s", "_ms": "ms", "_percent": "%", "percent": "%"}
_OF_THE_CHANNEL = {"value", "delta", "mean", "low", "high", "amount", "known"}


def text(
    messages: Mapping[str, type[contract_values.Model]],
    topics: Mapping[str, Topic],
    payloads: Mapping[str, dict[str, Any]],
) -> str:
    """Return the page: what every signed message begins with, each message, then the parts they are made of."""
    schemas = {kind: model.model_json_schema() for kind, model in messages.items()}
    parts: dict[str, Any] = {}
    for schema in schemas.values():
        parts |= schema.get("$defs", {})
    common = contract.Payload.model_json_schema()
    lines = [_HEAD, *_topics(topics), "## Every signed message", ""]
    lines += [*_table(common, common["properties"]), ""]
    for kind, schema in schemas.items():
        own = [key for key in schema["properties"] if kind == "state" or key not in common["properties"]]
        lines += [f"## {kind}", "", _about(schema), "", _where(kind, topics), ""]
        lines += [*_table(schema, own), "", _example(kind, payloads[kind], own), ""]
    lines += ["## Parts", ""]
    for name in sorted(parts):
        lines += [
            f"### {name}",
            "",
            _about(parts[name]),
            "",
            *_table(parts[name], parts[name]["properties"]),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _topics(topics: Mapping[str, Topic]) -> Iterator[str]:
    yield "## Topics"
    yield ""
    yield "All QoS 1, below `emc/v1/{region}/{enterprise}/{gateway}`."
    yield ""
    yield "| Topic | Retained | Messages |"
    yield "|---|---|---|"
    for topic in topics.values():
        several = ", ".join(f"[{kind}](#{kind})" for kind in topic.kinds)
        yield f"| `…/{topic.levels}` | {'yes' if topic.retain else 'no'} | {several} |"
    yield ""


def _about(schema: Mapping[str, Any]) -> str:
    return str(schema["description"]).strip()


def _where(kind: str, topics: Mapping[str, Topic]) -> str:
    topic = next(t for t in topics.values() if t.kinds == (kind,))
    late = "" if kind == "state" else "; late: `…/backfill`, not retained"
    schema = f"[schema](schemas/feed-{kind}.schema.json), [example](examples/feed-{kind}.json)"
    return f"Topic `…/{topic.levels}`, {'retained' if topic.retain else 'not retained'}{late}. {schema}."


def _table(schema: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    yield "| Key | Type | Unit | Must be there | Meaning |"
    yield "|---|---|---|---|---|"
    required = {"v", "kind", *schema.get("required", ())}
    for key in keys:
        field = schema["properties"][key]
        must = "yes" if key in required else _default(field)
        row = (f"`{key}`", _type(field), _unit(key, field), must, _meaning(schema, field))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _meaning(schema: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    """Return a field's own description, or that of the part it is where both are the same."""
    part = field.get("$ref", "").rpartition("/")[2]
    return str(field.get("description") or schema.get("$defs", {}).get(part, {}).get("description", ""))


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if isinstance(default, list | dict):
        return "else empty"
    return f"else `{json.dumps(default)}`"


def _type(field: Mapping[str, Any]) -> str:
    """Return what stands as a value, in a few words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    kind = field.get("type")
    if kind == "array":
        return f"list of {_type(field['items'])}"
    if kind == "object":
        inside = field.get("additionalProperties")
        return f"object of {_type(inside)}" if isinstance(inside, dict) else "object"
    if kind == "string":
        return _text_type(str(field.get("pattern", "")))
    return {"null": "null", "boolean": "true, false"}.get(str(kind), str(kind))


def _text_type(pattern: str) -> str:
    known = {
        r"^-?[0-9]+(\.[0-9]+)?$": "decimal, text",
        "^[0-9]{1,20}$": "integer, text",
        "^sha256:[0-9a-f]{64}$": "hash, text",
    }
    return "time, text" if "T[0-9]" in pattern else known.get(pattern, "text")


def _unit(key: str, field: Mapping[str, Any]) -> str:
    for end, unit in _UNITS.items():
        if key.endswith(end):
            return unit
    kinds = [option.get("pattern", "") for option in (field, *field.get("anyOf", ()))]
    return "`unit`" if key in _OF_THE_CHANNEL and any(map(_is_decimal, kinds)) else ""


def _is_decimal(pattern: str) -> bool:
    return pattern.startswith("^-?[0-9]+")


def _example(kind: str, payload: Mapping[str, Any], own: Iterable[str]) -> str:
    """Return an example's own keys; long lists are cut to their first entry."""
    shown = {key: _short(payload[key]) for key in own if key in payload}
    body = json.dumps(shown, ensure_ascii=False, indent=1)
    return f"```json\n{body}\n```"


def _short(value: Any) -> Any:
    return value[:1] if isinstance(value, list) else value
