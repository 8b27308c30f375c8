"""The site file: read once, at the edge, into one frozen `Site`, or refused with every finding it has.

Every table is validated by itself and what holds is then checked against the rest, so that one bad link
does not hide what is wrong with a meter. `ConfigError` is the only way this fails.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config.base import Table
from gateway.config.check import check
from gateway.config.draft import Draft, Entry
from gateway.config.entries import entries, sections, single
from gateway.config.inventory import InventoryConfig
from gateway.config.links import LINK_KINDS, LinkConfig, ModbusTcpConfig, OpcuaConfig
from gateway.config.models import (
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
from gateway.config.text_files import decoded, parsed, read_bytes, too_deep
from gateway.config.values import nearest
from gateway.errors import ConfigError, Finding
from gateway.findings import (
    key_path,
    meant,
    report,
    salvage,
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
    InventoryConfig: {},
    MeterConfig: {"id": "x", "link": "x", "energy_kind": "other", "period": "1s"},
}
"""Tables that are held against others although they have a fault, with values for what may be missing."""
SECTIONS = tuple(Site.model_fields)
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
    hint = "name it with --config FILE, or begin with a copy of config/site.example.toml"
    return from_toml(decoded(read_bytes(path, SIZE_MAX_BYTES, "the site file", hint), path), path)


def from_toml(text: str, path: Path) -> Site:
    """Return the site that `text` describes; relative paths in it are relative to the folder of `path`.

    Raises ConfigError with every finding.
    """
    findings: list[Finding] = []
    try:
        body = parsed(text, path, ("links", "meters", "sinks"))
        draft = _draft(body, path, findings)  # dotted keys nest deeper than the TOML parser minds
    except RecursionError:
        raise too_deep(path, "TOML") from None
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


def _written(body: Mapping[str, Any]) -> str:
    """Return the content of a file as one JSON text, equal for equal keys and values."""
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def _draft(body: Mapping[str, Any], path: Path, findings: list[Finding]) -> Draft:
    """Return whatever of the file could be made into objects; what could not goes into `findings`."""
    tables = sections(body, SECTIONS, findings)
    context = {"base": path.absolute().parent}

    def one(model: type[T], name: str, default: Any = None) -> Entry[T]:
        hint = "see config/site.example.toml"
        return single(model, tables.get(name, default), name, context, STAND_INS.get(model), findings, hint)

    def many(name: str, models: Mapping[str, type[Table]]) -> list[Entry[Any]]:
        return entries(
            name, tables.get(name, []), lambda own, at: _entry(own, at, models, context, findings), findings
        )

    return Draft(
        one(GatewayConfig, "gateway"),
        one(PlaceConfig, "site"),
        one(JournalConfig, "journal", {}),
        one(IntervalsConfig, "intervals", {}),
        one(HistoryConfig, "history", {}),
        one(FeedConfig, "feed", {}),
        one(InventoryConfig, "inventory", {}),
        many("links", LINK_KINDS),
        many("meters", {"": MeterConfig}),
        many("sinks", SINK_KINDS),
        many("aggregates", {"": AggregateConfig}),
    )


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
