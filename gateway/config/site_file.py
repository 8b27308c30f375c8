"""The site file: read once, at the edge, into one frozen `Site`, or refused with every finding it has.

Every table is validated by itself and what holds is then checked against the rest, so that one bad link
does not hide what is wrong with a meter. `ConfigError` is the only way this fails.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config.base import Table
from gateway.config.check import check
from gateway.config.draft import Draft, Entry
from gateway.config.links import LINK_KINDS, LinkConfig, ModbusTcpConfig, OpcuaConfig
from gateway.config.models import (
    RESERVED,
    GatewayConfig,
    JournalConfig,
    MeterConfig,
    OverrideConfig,
    PlaceConfig,
    Site,
    VariableConfig,
)
from gateway.config.periods import AggregateConfig, FeedConfig, HistoryConfig, IntervalsConfig
from gateway.config.sinks import SINK_KINDS, InfluxConfig, MqttConfig, SinkConfig, TlsConfig
from gateway.config.values import ID, nearest
from gateway.errors import ConfigError, Finding
from gateway.file_reading import read_file
from gateway.findings import (
    key_path,
    meant,
    report,
    salvage,
    shorten,
    shown,
    to_json,
    unknown_key,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = [
    "GatewayConfig",
    "InfluxConfig",
    "JournalConfig",
    "LinkConfig",
    "MeterConfig",
    "ModbusTcpConfig",
    "MqttConfig",
    "OpcuaConfig",
    "OverrideConfig",
    "PlaceConfig",
    "SinkConfig",
    "Site",
    "TlsConfig",
    "VariableConfig",
    "from_toml",
    "load",
    "report",
    "to_json",
]

T = TypeVar("T", bound=Table)
STAND_INS: dict[type[Table], dict[str, Any]] = {
    GatewayConfig: {"id": "x"},
    PlaceConfig: {"timezone": "UTC"},
    IntervalsConfig: {},
    HistoryConfig: {},
    FeedConfig: {},
    MeterConfig: {"id": "x", "link": "x", "energy_kind": "other", "period": "1s"},
}
"""Tables that are held against others although they have a fault, with values for what may be missing."""
SECTIONS = tuple(Site.model_fields)
FULL_WIDTH = "“”‘’\N{FULLWIDTH QUOTATION MARK}\N{FULLWIDTH APOSTROPHE}「」"
SERIAL_KINDS = re.compile(r"(modbus[-_ ]?)?(rtu|serial|ascii)|rs-?485|dl/?t[-_ ]?645(-\d+)?", re.IGNORECASE)
RTU_OVER_TCP = re.compile(
    r"(modbus[-_ ]?)?(rtu|serial)[-_ ]?(over[-_ ]?)?(tcp|ip)|(raw|transparent)[-_ ]?tcp|tcp[-_ ]?(rtu|raw)",
    re.IGNORECASE,
)
"""What people call a device server that passes bytes on as they are."""
SERIAL_HINT = (
    'a serial port of this machine is kind = "serial"; a serial device server is kind = "tcp-serial" where it passes '
    'bytes on as they are (RTU over TCP), kind = "modbus-tcp" where it speaks Modbus TCP'
)
SIZE_MAX_BYTES = 4 << 20  # 10 000 meters


def load(path: Path) -> Site:
    """Return the site a file describes. Raises ConfigError with every finding."""
    try:
        raw = read_file(path, SIZE_MAX_BYTES, str(path))
    except FileNotFoundError:
        hint = "name it with --config FILE, or begin with a copy of config/site.example.toml"
        raise ConfigError([Finding(str(path), "no such file", "the site file", hint)]) from None
    except OSError as error:
        raise ConfigError(
            [Finding(str(path), error.strerror or "a failure", "a file that can be read")]
        ) from None
    try:
        text = raw.decode("utf-8-sig")  # an editor on Windows may have put a byte order mark
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        found = f"a byte that is not UTF-8 in line {line}"
        raise ConfigError(
            [Finding(str(path), found, "UTF-8 text", "save the file as UTF-8, not as GBK")]
        ) from None
    return from_toml(text, path)


def from_toml(text: str, path: Path) -> Site:
    """Return the site that `text` describes; relative paths in it are relative to the folder of `path`.

    Raises ConfigError with every finding.
    """
    findings: list[Finding] = []
    try:
        body = _parsed(text, path)
        draft = _draft(body, path, findings)  # dotted keys nest deeper than the TOML parser minds
    except RecursionError:
        raise ConfigError(
            [Finding(str(path), "tables or lists nested beyond all use", "valid TOML")]
        ) from None
    findings += check(draft)
    singles = draft.singles()
    values: dict[str, Any] = {name: entry.value for name, entry in singles.items()}
    if findings or None in values.values():
        raise ConfigError(_in_order(findings, draft))
    site = Site.model_construct(
        **values,
        links=tuple(e.value for e in draft.links if e.value is not None),
        meters=tuple(e.value for e in draft.meters if e.value is not None),
        sinks=tuple(e.value for e in draft.sinks if e.value is not None),
        aggregates=tuple(e.value for e in draft.aggregates if e.value is not None),
    )
    written = _written(body)
    return site.seal(hashlib.sha256(written.encode()).hexdigest(), json.loads(written))


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and integers of thousands of digits
        raise ConfigError([_syntax(path, str(error), text)]) from None


def _syntax(path: Path, message: str, text: str) -> Finding:
    hints = {
        "Invalid value": 'text is written in quotes: key = "value"',
        "Unescaped '\\'": "write a Windows path in single quotes",
        "Cannot overwrite": "the key stands twice; keep one",
        "Cannot declare": "the table stands twice; tables that may repeat are written [[links]], [[meters]], [[sinks]]",
    }
    hint = _full_width(message, text) or _bare_number(message, text)
    hint = hint or next((h for s, h in hints.items() if message.startswith(s)), "")
    return Finding(str(path), shorten(message), "valid TOML", hint)


def _bare_number(message: str, text: str) -> str:
    """Return what to do about a meter's number without quotes, "" if it is none: no TOML number begins with 0."""
    place = re.search(r"line (\d+), column", message)
    line = text.split("\n")[int(place[1]) - 1] if place else ""
    number = re.match(r"\s*address\s*=\s*([0-9]+)\s*(#.*)?$", line, re.ASCII)
    return f'a meter\'s number is text: address = "{number[1]}"' if number else ""


def _full_width(message: str, text: str) -> str:
    """Return what to do about a quote of a Chinese keyboard where TOML wants its own, "" if there is none."""
    place = re.search(r"line (\d+), column (\d+)", message)
    lines = text.split("\n")
    line, column = (lines[int(place[1]) - 1], int(place[2])) if place else (lines[-1], len(lines[-1]) + 1)
    unclosed = message.startswith(("Illegal character", "Unterminated"))  # told at the end of the line
    wrong = any(quote in (line if unclosed else line[column - 1 : column]) for quote in FULL_WIDTH)
    return '“ ” are full-width quotes 中文引号: use "' if wrong else ""


def _written(body: Mapping[str, Any]) -> str:
    """Return the content of a file as one JSON text, equal for equal keys and values."""
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def _draft(body: Mapping[str, Any], path: Path, findings: list[Finding]) -> Draft:
    """Return whatever of the file could be made into objects; what could not goes into `findings`."""
    tables = _sections(body, findings)
    context = {"base": path.absolute().parent}
    draft = Draft(
        _single(GatewayConfig, tables, "gateway", context, findings),
        _single(PlaceConfig, tables, "site", context, findings),
        _single(JournalConfig, {"journal": {}} | tables, "journal", context, findings),
        _single(IntervalsConfig, {"intervals": {}} | tables, "intervals", context, findings),
        _single(HistoryConfig, {"history": {}} | tables, "history", context, findings),
        _single(FeedConfig, {"feed": {}} | tables, "feed", context, findings),
        _entries("links", tables, LINK_KINDS, context, findings),
        _entries("meters", tables, {"": MeterConfig}, context, findings),
        _entries("sinks", tables, SINK_KINDS, context, findings),
        _entries("aggregates", tables, {"": AggregateConfig}, context, findings),
    )
    for name, shape in RESERVED.items():
        if tables.get(name, shape()) != shape():
            what = f"an empty list, {name} = []" if shape is list else "an empty table"
            expected = f"{what}: the name is reserved for a later version"
            findings.append(Finding(name, "content", expected, "remove it"))
    return draft


def _sections(body: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Return the top-level tables; one with an unknown name is taken for the one it is nearest to."""
    tables = {name: table for name, table in body.items() if name in SECTIONS}
    for name, table in body.items():
        if name in SECTIONS:
            continue
        near = meant(name, SECTIONS)
        findings.append(unknown_key(key_path("", (name,)), SECTIONS, near))
        there = tables.get(near)
        if isinstance(there, list) and isinstance(table, list):
            tables[near] = there + table
        elif near and there is None:
            tables[near] = table
    return tables


def _single(
    model: type[T], tables: Mapping[str, Any], name: str, context: Mapping[str, Any], findings: list[Finding]
) -> Entry[T]:
    body = tables.get(name)
    if not isinstance(body, dict):
        found = "nothing" if body is None else shown(body)
        findings.append(Finding(name, found, f"one table [{name}]", "see config/site.example.toml"))
        body = {}
        return Entry(name, body, None, frozenset(model.model_fields))
    value, found_inside, doubtful = salvage(model, body, name, context, STAND_INS.get(model))
    findings += found_inside
    return Entry(name, body, value, doubtful)


def _entries(
    name: str,
    tables: Mapping[str, Any],
    models: Mapping[str, type[Table]],
    context: Mapping[str, Any],
    findings: list[Finding],
) -> list[Entry[Any]]:
    """Return the entries of a repeated table, each under the path it goes by in findings."""
    bodies = tables.get(name, [])
    if not isinstance(bodies, list):
        findings.append(
            Finding(name, shown(bodies), f"tables that may repeat, written [[{name}]]", f"write [[{name}]]")
        )
        bodies = [bodies]
    ids = [body.get("id") if isinstance(body, dict) else None for body in bodies]
    entries = []
    for i, (body, entry_id) in enumerate(zip(bodies, ids, strict=True)):
        usable = isinstance(entry_id, str) and ID.fullmatch(entry_id) and ids.count(entry_id) == 1
        path = f"{name}.{entry_id}" if usable else f"{name}[{i + 1}]"
        if not isinstance(body, dict):
            findings.append(Finding(path, shown(body), "a table"))
            continue
        entries.append(_entry(body, path, models, context, findings))
    return entries


def _entry(
    body: dict[str, Any],
    path: str,
    models: Mapping[str, type[Table]],
    context: Mapping[str, Any],
    findings: list[Finding],
) -> Entry[Any]:
    """Return one entry as an object of the class its `kind` names; "" in `models`: a table without kinds."""
    kind, slip = ("", "") if "" in models else _kind(body, path, models, findings)
    if kind is None:
        return Entry(path, body, None)
    if kind:
        body = {key: value for key, value in body.items() if key != slip} | {"kind": kind}
    value, found, doubtful = salvage(models[kind], body, path, context, STAND_INS.get(models[kind]))
    findings += found
    return Entry(path, body, value, doubtful)


def _kind(
    body: Mapping[str, Any], path: str, models: Collection[str], findings: list[Finding]
) -> tuple[str | None, str]:
    """Return which kind an entry is or was probably meant to be (None: cannot be told), and the key mistaken for it."""
    key = "kind"
    if key not in body:
        slips = (
            k for k, v in body.items() if meant(k, ["kind"]) and isinstance(v, str) and nearest(v, models)
        )
        key = next(slips, key)
        if key != "kind":
            findings.append(unknown_key(key_path(path, (key,)), ["kind"], "kind"))
    kind = body.get(key)
    if isinstance(kind, str) and kind in models:
        return kind, key
    serial = isinstance(kind, str) and models is LINK_KINDS and SERIAL_KINDS.fullmatch(kind) is not None
    near = nearest(kind, models, 0.5) if isinstance(kind, str) and not serial else ""
    if isinstance(kind, str) and models is LINK_KINDS and RTU_OVER_TCP.fullmatch(kind):
        near = "tcp-serial"
    found = "nothing" if kind is None else shown(kind)
    expected = "one of " + ", ".join(f'"{k}"' for k in models)
    hint = SERIAL_HINT if serial else f'try "{near}"' if near else ""
    findings.append(Finding(key_path(path, (key,)), found, expected, hint))
    return near or None, key


def _in_order(findings: list[Finding], draft: Draft) -> list[Finding]:
    """Return findings in the order of the tables they are about."""
    tables: list[Entry[Any]] = [*draft.singles().values()]
    tables += [*draft.links, *draft.meters, *draft.sinks, *draft.aggregates]
    places = [entry.path for entry in tables]

    def rank(finding: Finding) -> int:
        within = (i for i, place in enumerate(places) if f"{finding.path}.".startswith(f"{place}."))
        return next(within, len(places))

    return sorted(findings, key=rank)
