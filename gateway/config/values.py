"""Values of the site file that TOML has no type for: durations, sizes, ids, files, exact decimals.

Each is an annotated type: how it is parsed, and what the JSON Schema says of it. A value that cannot be
used raises a pydantic error that carries `expected` and `suggestion`; gateway/findings.py shows them.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import zoneinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from drivers.opcua_address import parse_id
from gateway.energy_kinds import ENERGY_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min|h|d)", re.ASCII)
SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(B|KiB|MiB|GiB|TiB)", re.ASCII)
ADDRESS = re.compile(r"([0-9]{12}|[0-9]{14})?", re.ASCII)
NODE_ID = re.compile(r"(ns=\d{1,5};)?(i=\d{1,10}|s=.{1,4096}|g=[0-9a-fA-F-]{36}|b=[A-Za-z0-9+/=]+)", re.ASCII)
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
TOPIC = re.compile(r"[^/+#\x00-\x1f](?:[^+#\x00-\x1f]{0,126}[^/+#\x00-\x1f])?")

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_UNIT_MEANT = {
    "m": "min",
    "mins": "min",
    "sec": "s",
    "secs": "s",
    "seconds": "s",
    "minutes": "min",
    "hours": "h",
}
_SIZE_MEANT = {
    "k": "KiB",
    "kb": "KiB",
    "m": "MiB",
    "mb": "MiB",
    "g": "GiB",
    "gb": "GiB",
    "t": "TiB",
    "tb": "TiB",
}
_ENERGY_MEANT = {
    "power": "electricity",
    "electric": "electricity",
    "electrical": "electricity",
    "电": "electricity",
    "电能": "electricity",
    "gas": "natural_gas",
    "heat": "hot_water",
    "热": "hot_water",
}
_NUMBER = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_PHASE = re.compile(r"_l?[1-3]$")
_CHINA = re.compile(
    r"cst|prc|china|(asia/)?beijing|shanghai|北京(时间)?|中国|上海|(etc/)?(utc|gmt) ?\+ ?0?8(:?00)?",
    re.IGNORECASE,
)
"""What people write for the time of China."""
DECIMAL_DIGITS_MAX = 40
PERIOD_MIN = "50ms"
PERIODS = (
    "100ms",
    "200ms",
    "250ms",
    "500ms",
    "1s",
    "2s",
    "3s",
    "4s",
    "5s",
    "6s",
    "8s",
    "10s",
    "12s",
    "15s",
    "20s",
    "30s",
    "1min",
    "2min",
    "3min",
    "5min",
    "10min",
    "15min",
    "30min",
    "1h",
)
"""Periods people use, ascending; each divides a day evenly."""
DAY_US = 86_400_000_000


def nearest(word: str, options: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the option most like `word`, "" if none is like it; see `nearest_few`."""
    return next(iter(nearest_few(word, options, 1, cutoff)), "")


def nearest_few(word: str, options: Iterable[str], count: int, cutoff: float = 0.6) -> list[str]:
    """Return the options most like `word`, at most so many, the likeliest first.

    The same in other capitals comes first; one that only goes on where the word ends before others, the shortest first; a total
    before its phases.
    """
    names = list(options)
    same = [name for name in names if name.casefold() == word.casefold()]
    close = difflib.get_close_matches(word, names, n=len(names), cutoff=cutoff) if names else []
    goes_on = [name for name in names if name.startswith(word) and name in close]
    goes_on.sort(key=lambda name: (not name.endswith("_total"), len(name)))
    total = _PHASE.sub("_total", close[0]) if close and not _PHASE.search(word) else ""
    first = [*same, *goes_on, total] if total in names else [*same, *goes_on]
    return list(dict.fromkeys([*first, *close]))[:count]


def unusable(expected: str, near: str = "", hint: str = "") -> PydanticCustomError:
    """Return the error of a value that cannot be used. near: what was probably meant, as it is written."""
    context = {"expected": expected, "suggestion": hint or (f"try {near}" if near else "")}
    return PydanticCustomError("metergate", "expected {expected}", context)


def _guess(value: object, meant: dict[str, str], bare: str) -> str:
    """Return a suggestion for a quantity written without a unit or with another word for it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    match = _NUMBER.fullmatch(str(value).strip()) if not isinstance(value, int) or value < 10**9 else None
    if match is None:
        return ""
    unit = meant.get(match[2].lower(), "") if match[2] else bare
    return f'"{match[1]}{unit}"' if unit else ""


def seconds(value: object) -> float:
    """Return a duration such as "500ms", "10s", "15min", "1h" or "1d" in seconds."""
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise unusable(
            'a duration with its unit: "500ms", "10s", "15min", "1h" or "1d"', _guess(value, _UNIT_MEANT, "s")
        )
    return float(Decimal(match[1]) * Decimal(str(_SECONDS[match[2]])))


def size_bytes(value: object) -> int:
    """Return a size such as "256KiB" or "2GiB" in bytes."""
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise unusable(
            'a size with its unit: "256KiB", "512MiB" or "2GiB"', _guess(value, _SIZE_MEANT, "MiB")
        )
    return int(Decimal(match[1]) * _BYTES[match[2]])


def _id(value: str) -> str:
    if not ID.fullmatch(value):
        expected = "1 to 32 of a-z, 0-9 and -, not beginning with -"
        if not value.isascii():
            raise unusable(
                expected, hint="ids are a-z 0-9 -; put it into `name` (gateway, meters) or into a comment"
            )
        near = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:32].rstrip("-")
        raise unusable(expected, f'"{near}"' if near else "")
    return value


def _key(value: str) -> str:
    if not KEY.fullmatch(value):
        raise unusable("a channel key: a-z, 0-9 and _, beginning with a letter")
    return value


def _path(value: object, info: ValidationInfo) -> Path | None:
    """Return a path made absolute against the site file's folder (context `base`); None for ""."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise unusable("a path as a string")
    if "\0" in value:
        raise unusable("a path without NUL characters")
    base: Path = (info.context or {}).get("base", Path())
    return base / value if value else None


def _device(value: str, info: ValidationInfo) -> str:
    """Return a serial port's device, made absolute like any path of the site file."""
    path = _path(value, info)
    if path is None:
        raise unusable("text that is not empty")
    return str(path)


def _folder(value: object, info: ValidationInfo) -> Path:
    path = _path(value, info)
    if path is None:
        raise unusable("a path that is not empty")
    return path


def _decimal(value: object) -> str:
    """Return a positive number as the decimal string it was written as, so that no digit is lost."""
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        try:
            number = Decimal(value if isinstance(value, int) else str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and number > 0 and abs(number.adjusted()) < DECIMAL_DIGITS_MAX:
            return format(number, "f")
    raise unusable('a number above 0, such as 40 or "0.1"')


def _channels(value: object) -> tuple[str, ...]:
    """Return the channel keys; "*" alone may be written without brackets."""
    if value == "*":
        return ("*",)
    if isinstance(value, (list, tuple)):
        for key in value:
            if not isinstance(key, str):
                raise unusable('a list of channel keys, or "*" for all')
        return tuple(value)
    raise unusable('a list of channel keys, or "*" for all', f'["{value}"]' if isinstance(value, str) else "")


def as_tuple(value: Any) -> Any:
    """Return a TOML array as a tuple, so that the whole site is frozen; anything else is left to be refused."""
    return tuple(value) if isinstance(value, list) else value


def _zone(value: str) -> str:
    """Return the name of a time zone this system knows."""
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder such as "Asia"
        # a word without "/" is an abbreviation or a city: the zone it looks like may be hours away, as Etc/GMT+8 is
        regions = (z for z in zoneinfo.available_timezones() if "/" in z and not z.startswith("Etc/"))
        near = "Asia/Shanghai" if _CHINA.fullmatch(value.strip()) else ""
        if not near and "/" in value:
            near = nearest(value, regions)
        raise unusable('an IANA time zone such as "Asia/Shanghai"', f'"{near}"' if near else "") from None
    return value


def _address(value: object) -> str:
    """Return a meter's number, "" if there is none."""
    if isinstance(value, str) and ADDRESS.fullmatch(value):
        return value
    digits = re.sub(r"[ -]", "", str(value)) if isinstance(value, (str, int)) else ""
    near = next((digits.zfill(n) for n in (12, 14) if len(digits) <= n), "")
    raise unusable(
        "the meter's number as text: 12 digits (DL/T 645) or 14 (CJ/T 188)",
        f'"{near}"' if digits.isascii() and digits.isdecimal() and near else "",
    )


def _energy_kind(value: str) -> str:
    if value not in ENERGY_KINDS:
        word = value.strip().lower()
        meant = (kind for kind, words in ENERGY_KINDS.items() if word in words)
        near = _ENERGY_MEANT.get(word) or next(meant, "") or nearest(value, ENERGY_KINDS)
        raise unusable("one of " + ", ".join(ENERGY_KINDS), f'"{near}"' if near else "")
    return value


def _period(value_s: float) -> float:
    """Return a period whose wall grid begins anew every midnight: it divides a day evenly."""
    if not seconds(PERIOD_MIN) <= value_s <= DAY_US / 1e6:
        raise unusable(f'a period from "{PERIOD_MIN}" to "1d"')
    period_us = round(value_s * 1e6)
    if DAY_US % period_us:
        near = min(PERIODS, key=lambda text: abs(seconds(text) - value_s))
        raise unusable("a period that divides a day evenly, so that polls keep to the clock", f'"{near}"')
    return value_s


def within(low: str, high: str) -> AfterValidator:
    """Return the rule that a duration lies between two others, ends included."""

    def check(value_s: float) -> float:
        if not seconds(low) <= value_s <= seconds(high):
            raise unusable(f'a duration from "{low}" to "{high}"')
        return value_s

    return AfterValidator(check)


def at_least(low: str) -> AfterValidator:
    """Return the rule that a size is no less than another."""

    def check(value_bytes: int) -> int:
        if value_bytes < size_bytes(low):
            raise unusable(f'a size of "{low}" or more', f'"{low}"')
        return value_bytes

    return AfterValidator(check)


def _opcua_node_id(value: str) -> str:
    if not NODE_ID.fullmatch(value):
        raise unusable('an OPC UA node id such as "ns=2;s=Boiler1.Flow" or "ns=2;i=1001"')
    try:
        parse_id(value)
    except ValueError as error:
        raise unusable(str(error).rpartition("': ")[2]) from None
    return value


def _host(value: str) -> str:
    if _alone(value):
        return value
    expected = "a host name or address alone, without scheme and port"
    bare = re.sub(r"^[a-z0-9.+-]+://|/$", "", value.strip())
    match = re.fullmatch(r"(.+):(\d{1,5})", bare, re.ASCII)
    if match is not None and _alone(match[1].strip("[]")):
        hint = f'the port goes into `port`: host = "{match[1].strip("[]")}", port = {int(match[2])}'
        raise unusable(expected, hint=hint)
    raise unusable(expected, f'"{bare}"' if _alone(bare) else "")


def _alone(host: str) -> bool:
    """Return whether text is one host; what has a colon is an IPv6 address or has a port behind it."""
    if not HOST.fullmatch(host):
        return False
    if ":" not in host:
        return True
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _topic(value: str) -> str:
    if not TOPIC.fullmatch(value):
        raise unusable("topic levels with / between them, without + and #, such as metergate/v1")
    return value


def _schema(pattern: re.Pattern[str], **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern.pattern})$", **more})


Id = Annotated[str, AfterValidator(_id), _schema(ID)]
Key = Annotated[str, AfterValidator(_key), _schema(KEY)]
NodeId = Annotated[str, AfterValidator(_opcua_node_id), _schema(NODE_ID)]
Address = Annotated[str, BeforeValidator(_address), _schema(ADDRESS)]
Host = Annotated[str, AfterValidator(_host), _schema(HOST)]
Topic = Annotated[str, AfterValidator(_topic), _schema(TOPIC)]
Seconds = Annotated[
    float, BeforeValidator(seconds), _schema(DURATION, examples=["500ms", "10s", "15min", "1h"])
]
Period = Annotated[Seconds, AfterValidator(_period)]
Zone = Annotated[str, AfterValidator(_zone)]
EnergyKind = Annotated[
    str, AfterValidator(_energy_kind), WithJsonSchema({"type": "string", "enum": list(ENERGY_KINDS)})
]
Bytes = Annotated[int, BeforeValidator(size_bytes), _schema(SIZE, examples=["256KiB", "2GiB"])]
Folder = Annotated[Path, BeforeValidator(_folder), WithJsonSchema({"type": "string", "minLength": 1})]
File = Annotated[Path | None, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
Device = Annotated[str, AfterValidator(_device), WithJsonSchema({"type": "string", "minLength": 1})]
Folders = Annotated[
    tuple[Annotated[Path, BeforeValidator(_folder)], ...],
    BeforeValidator(as_tuple),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
PositiveDecimal = Annotated[
    str,
    BeforeValidator(_decimal),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
ChannelKeys = Annotated[
    tuple[str, ...],
    BeforeValidator(_channels),
    WithJsonSchema({"anyOf": [{"const": "*"}, {"type": "array", "items": {"type": "string"}}]}),
]
