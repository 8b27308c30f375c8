"""The simulation file: a whole plant and its troubles as one TOML file (docs/reference/simulation-file.md)."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError, Finding
from simulators.faults import KINDS, Fault
from simulators.measures import UNITS
from simulators.physics import MODELS, REQUIRED
from simulators.site import OWN_PROFILES, profile_folders, simulated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LINK_KINDS = tuple(KINDS)
LINES = frozenset({"serial", "tcp-serial"})
_BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
_ADDRESS = re.compile(r"\d{12}|\d{14}")
VARIABLE_TYPES = ("Double", "Float", "Int64", "Int32", "UInt32", "UInt16")


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One socket or line that is served. port: 0 = any free one. proxy: answers pass the fault proxy.

    baud, parity, stop: of a line. path: where a line's serial port appears, "" = in a folder of its own.
    secure: an OPC UA server that offers encrypted sessions too, with a certificate of its own.
    """

    id: str
    kind: str
    port: int = 0
    proxy: bool = False
    baud: int = 9600
    parity: str = "E"
    stop: int = 1
    path: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class VariablePlan:
    """One OPC UA variable. id: OPC UA node id; key: the channel of the model it shows.

    reference: condition a gas volume is stated at, for the site file.
    """

    key: str
    id: str
    quantity: str
    unit: str
    type: str = "Double"
    reference: str = ""


@dataclass(frozen=True, slots=True)
class MeterPlan:
    """One simulated meter: what it is (profile or variables) and what it measures (model, parameters).

    ratios: what the meter is set to, in registers or known to the site. units, references: what its menu says,
    by channel. inputs: what is wired to an I/O module, by channel, as the site file has it. shows: channel -> what it shows for ever (SI), whatever the model says. rollover_s: its
    counters with a documented modulus roll over this long after the start; None: by chance. address: DL/T 645 or
    CJ/T 188 digits. delay_s: on a line, from request to answer; None: as usual for its protocol.
    """

    id: str
    link: str
    model: str
    name: str = ""
    profile: str = ""
    unit: int = 0
    address: str = ""
    delay_s: float | None = None
    energy_kind: str = "other"
    period: str = ""
    channels: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    shows: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variant: str = ""
    rollover_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[VariablePlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A simulated site. refresh_s: how often a meter measures anew; period: how often it is to be read.

    state_dir: where the OPC UA servers' certificates are kept; None: nowhere.
    """

    name: str
    seed: int
    links: tuple[LinkPlan, ...]
    meters: tuple[MeterPlan, ...]
    faults: tuple[Fault, ...] = ()
    refresh_s: float = 0.2
    period: str = "2s"
    profile_dirs: tuple[Path, ...] = ()
    state_dir: Path | None = None

    def with_proxies(self) -> Plan:
        """Return the plan with every link behind a fault proxy, for tests that make trouble by hand."""
        return replace(self, links=tuple(replace(link, proxy=link.kind != "serial") for link in self.links))


def seconds(text: object) -> float:
    """Return a duration such as "500ms" or "10s" in seconds. Raises ValueError."""
    match = _DURATION.fullmatch(str(text))
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 10s, 15min")
    return float(match[1]) * _SECONDS[match[2]]


class _Reader:
    """Collects findings while the file is read, so that all are reported in one run."""

    def __init__(self, folder: Path) -> None:
        self.findings: list[Finding] = []
        self.folder = folder  # relative paths begin here
        self.profiles: list[Path] = []  # where profiles lie

    def note(self, path: str, found: object, expected: str, suggestion: str = "") -> None:
        self.findings.append(Finding(path, repr(found), expected, suggestion))

    def known(self, path: str, table: Mapping[str, Any], allowed: set[str]) -> None:
        for key in sorted(set(table) - allowed):
            near = difflib.get_close_matches(key, allowed, 1)
            self.note(f"{path}.{key}", key, "a known key", f"did you mean {near[0]}?" if near else "")

    def choice(self, path: str, value: object, allowed: Any) -> None:
        if value not in allowed:
            near = difflib.get_close_matches(str(value), [str(one) for one in allowed], 1)
            expected = "one of " + ", ".join(map(str, allowed))
            self.note(path, value, expected, f"did you mean {near[0]}?" if near else "")

    def number(self, path: str, table: Mapping[str, Any], key: str, default: float) -> int:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(f"{path}.{key}", value, "a number")
            return int(default)
        return int(value)

    def profile(self, path: str, name: object) -> None:
        """Note a profile that lies in none of the folders."""
        if not name or any((folder / f"{name}.toml").is_file() for folder in self.profiles):
            return
        known = [file.stem for folder in self.profiles for file in folder.glob("*.toml")]
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f"did you mean {near[0]}?" if near else OWN_PROFILES
        self.note(path, name, f"a meter type in {', '.join(map(str, self.profiles))}", hint)

    def duration(self, path: str, value: object, default: float) -> float:
        if value is None:
            return default
        try:
            return seconds(value)
        except ValueError:
            self.note(path, value, "a duration such as 500ms, 10s, 15min")
            return default


def load_plan(path: Path) -> Plan:
    """Return the plan in a simulation file. Raises ConfigError with every problem in it."""
    reader = _Reader(path.absolute().parent)
    body = _load(path, reader)
    reader.known(path.name, body, {"include", "simulation", "links", "meters", "faults"})
    head = body.get("simulation", {})
    reader.known("simulation", head, {"name", "seed", "refresh", "period", "profile_dirs", "state_dir"})
    profile_dirs = tuple(path.parent / folder for folder in head.get("profile_dirs", ()))
    reader.profiles = profile_folders(profile_dirs)
    links = tuple(_link(reader, i, table) for i, table in enumerate(body.get("links", ())))
    meters = tuple(_meter(reader, i, table, links) for i, table in enumerate(body.get("meters", ())))
    faults = tuple(
        fault
        for i, table in enumerate(body.get("faults", ()))
        if (fault := _fault(reader, i, table, links, meters))
    )
    _clashes(reader, links, meters)
    refresh_s = reader.duration("simulation.refresh", head.get("refresh"), 0.2)
    period = head.get("period", "2s")
    reader.duration("simulation.period", period, 0)
    if reader.findings:
        raise ConfigError([*reader.findings, *_misfits(reader, meters)])
    troubled = {fault.link for fault in faults}
    return Plan(
        name=head.get("name", path.stem),
        seed=int(head.get("seed", 1)),
        links=tuple(
            replace(link, proxy=True) if link.id in troubled and link.kind != "serial" else link
            for link in links
        ),
        meters=meters,
        faults=faults,
        refresh_s=refresh_s,
        period=period,
        profile_dirs=profile_dirs,
        state_dir=reader.folder / head.get("state_dir", f"{path.stem}.state"),
    )


def _misfits(reader: _Reader, meters: tuple[MeterPlan, ...]) -> list[Finding]:
    """Return why meters without a finding so far cannot be simulated either, so that one run tells it all."""
    found = []
    for i, meter in enumerate(meters, 1):
        path = f"meters[{i}]"
        if not any(f"{finding.path}.".startswith(f"{path}.") for finding in reader.findings):
            made = simulated(f"{path} ({meter.id})", meter, reader.profiles, 1, 0.0)
            found += [made] if isinstance(made, Finding) else []
    return found


def _load(path: Path, reader: _Reader) -> dict[str, Any]:
    """Return the file's tables, those of an included file first."""
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            [Finding("FILE", str(path), "a simulation file", "the file does not exist")]
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Finding("FILE", str(path), "valid TOML", str(error))]) from error
    if "include" not in body:
        return body
    base = _load(path.parent / body["include"], reader)
    merged = base | {key: value for key, value in body.items() if key != "include"}
    merged["simulation"] = base.get("simulation", {}) | body.get("simulation", {})
    for key in ("links", "meters", "faults"):
        merged[key] = [*base.get(key, ()), *body.get(key, ())]
    return merged


def _link(reader: _Reader, i: int, table: Mapping[str, Any]) -> LinkPlan:
    path = f"links[{i + 1}]"
    reader.known(path, table, {f.name for f in fields(LinkPlan)})
    kind = str(table.get("kind"))
    reader.choice(f"{path}.kind", kind, _LINK_KINDS)
    own = {"baud", "parity", "stop"} if kind in LINES else set()
    own |= {"path"} if kind == "serial" else {"secure"} if kind == "opcua" else set()
    strange = {"baud", "parity", "stop", "path", "secure"} - own
    for key in sorted(strange & set(table)):
        reader.note(f"{path}.{key}", table[key], f"no such key on a link of kind {kind}")
    link = LinkPlan(
        id=str(table.get("id")),
        kind=kind,
        port=reader.number(path, table, "port", 0),
        proxy=bool(table.get("proxy", False)),
        baud=reader.number(path, table, "baud", 9600),
        parity=str(table.get("parity", "E")),
        stop=reader.number(path, table, "stop", 1),
        path=str(reader.folder / str(table["path"])) if table.get("path") else "",
        secure=bool(table.get("secure", False)),
    )
    reader.choice(f"{path}.baud", link.baud, _BAUDS)
    reader.choice(f"{path}.parity", link.parity, ("N", "E", "O"))
    reader.choice(f"{path}.stop", link.stop, (1, 2))
    return link


def _meter(reader: _Reader, i: int, table: Mapping[str, Any], links: tuple[LinkPlan, ...]) -> MeterPlan:
    path = f"meters[{i + 1}]"
    allowed = {f.name for f in fields(MeterPlan)} - {"rollover_s", "delay_s"} | {"rollover", "delay"}
    reader.known(path, table, allowed)
    reader.choice(f"{path}.link", table.get("link"), [link.id for link in links])
    model = str(table.get("model"))
    reader.choice(f"{path}.model", model, list(MODELS))
    parameters = {str(key): float(value) for key, value in table.get("parameters", {}).items()}
    for name in REQUIRED.get(model, ()):
        if name not in parameters:
            reader.note(f"{path}.parameters", sorted(parameters), f"{name}, which model {model} needs")
    variables = tuple(
        _variable(reader, f"{path}.variables.{key}", key, v) for key, v in table.get("variables", {}).items()
    )
    if bool(table.get("profile")) == bool(variables):
        reader.note(path, table.get("profile", ""), "either a profile or variables (OPC UA)")
    reader.profile(f"{path}.profile", table.get("profile"))
    rollover, delay, address = table.get("rollover"), table.get("delay"), table.get("address", "")
    if address and not (isinstance(address, str) and _ADDRESS.fullmatch(address)):
        reader.note(f"{path}.address", address, "12 digits (DL/T 645) or 14 (CJ/T 188), as text")
    return MeterPlan(
        id=str(table.get("id")),
        link=str(table.get("link")),
        model=model,
        name=str(table.get("name", table.get("id"))),
        profile=str(table.get("profile", "")),
        unit=reader.number(path, table, "unit", 0),
        address=str(address),
        delay_s=None if delay is None else reader.duration(f"{path}.delay", delay, 0),
        energy_kind=str(table.get("energy_kind", "other")),
        period=str(table.get("period", "")),
        channels=tuple(table.get("channels", ())),
        parameters=parameters,
        ratios={key: str(value) for key, value in table.get("ratios", {}).items()},
        units=dict(table.get("units", {})),
        references=dict(table.get("references", {})),
        shows={key: float(value) for key, value in table.get("shows", {}).items()},
        inputs=dict(table.get("inputs", {})),
        variant=str(table.get("variant", "")),
        rollover_s=None if rollover is None else reader.duration(f"{path}.rollover", rollover, 0),
        labels=dict(table.get("labels", {})),
        variables=variables,
    )


def _variable(reader: _Reader, path: str, key: str, table: Mapping[str, Any]) -> VariablePlan:
    reader.known(path, table, {f.name for f in fields(VariablePlan)} - {"key"})
    reader.choice(f"{path}.unit", table.get("unit"), list(UNITS))
    kind = table.get("type", "Double")
    reader.choice(f"{path}.type", kind, VARIABLE_TYPES)
    for name in ("id", "quantity"):
        if name not in table:
            reader.note(path, sorted(table), name)
    return VariablePlan(
        key=key,
        id=str(table.get("id")),
        quantity=str(table.get("quantity", key)),
        unit=str(table.get("unit")),
        type=str(kind),
        reference=str(table.get("reference", "")),
    )


def _fault(
    reader: _Reader,
    i: int,
    table: Mapping[str, Any],
    links: tuple[LinkPlan, ...],
    meters: tuple[MeterPlan, ...],
) -> Fault | None:
    path = f"faults[{i + 1}]"
    before = len(reader.findings)
    reader.known(path, table, {"kind", "link", "meters", "from", "to", "delay", "code", "size", "share"})
    reader.choice(f"{path}.link", table.get("link"), [link.id for link in links])
    link_kind = next((link.kind for link in links if link.id == table.get("link")), "")
    every_kind = tuple(dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds))
    reader.choice(f"{path}.kind", table.get("kind"), KINDS.get(link_kind, every_kind))
    there = [meter.id for meter in meters if meter.link == table.get("link")]
    for name in table.get("meters", ()):
        reader.choice(f"{path}.meters", name, there)
    start_s = reader.duration(f"{path}.from", table.get("from"), 0.0)
    end_s = reader.duration(f"{path}.to", table.get("to"), math.inf)
    delay_s = reader.duration(f"{path}.delay", table.get("delay"), 0.0)
    if len(reader.findings) > before:
        return None
    return Fault(
        kind=table["kind"],
        link=table["link"],
        meters=frozenset(table.get("meters", ())),
        units=frozenset(
            m.unit for m in meters if m.link == table["link"] and m.id in table.get("meters", ())
        ),
        start_s=start_s,
        end_s=end_s,
        delay_s=delay_s,
        code=int(table.get("code", 4)),
        size=int(table.get("size", 0)),
        share=float(table.get("share", 1.0)),
    )


def _clashes(reader: _Reader, links: tuple[LinkPlan, ...], meters: tuple[MeterPlan, ...]) -> None:
    """Note ids that are bad or given twice, and two meters at one unit or address of a link."""
    for path, ids in (("links", [link.id for link in links]), ("meters", [meter.id for meter in meters])):
        for i, name in enumerate(ids):
            if not _ID.fullmatch(name):
                reader.note(f"{path}[{i + 1}].id", name, "lower-case letters, digits and hyphens, at most 32")
            elif name in ids[:i]:
                reader.note(f"{path}[{i + 1}].id", name, "an id that is not taken")
    taken: dict[tuple[str, int, str], str] = {}
    for i, meter in enumerate(meters):
        if meter.profile:
            other = taken.setdefault((meter.link, meter.unit, meter.address), meter.id)
            if other != meter.id:
                what = "address" if meter.address else "unit"
                reader.note(
                    f"meters[{i + 1}].{what}",
                    meter.address or meter.unit,
                    f"{'an address' if meter.address else 'a unit'} of its own on {meter.link}",
                    f"{other} has it",
                )
