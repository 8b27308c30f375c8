"""Findings: pydantic's errors in the user's words, and how findings are shown.

`parse` goes on after an unknown key: the nearest known key is taken in its place, so that one slip of the
pen is one finding and what lies behind it is still checked. Nothing that could be a secret is repeated.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gateway.config.values import nearest
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)
Loc = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_URL_SECRETS = re.compile(r"(?<=//).*(?=@)|(?<=\?).*", re.DOTALL)
_SECRET = re.compile(r"pass|pwd|token|secret|api_?key", re.IGNORECASE)
_INLINE = {
    "password": "password",
    "passwd": "password",
    "pass": "password",
    "pwd": "password",
    "token": "token",
}
_INLINE |= {"secret": "token", "api_key": "token", "apikey": "token"}
_OTHER_WORDS = {
    "unit": ("slave", "slave_id", "slaveid", "station", "address", "device_id"),
    "host": ("ip", "address", "hostname", "server", "broker"),
    "url": ("endpoint", "address", "server"),
    "link": ("connection", "line", "bus", "port"),
    "period": ("interval", "cycle", "rate"),
    "profile": ("type", "model", "device"),
    "user": ("username", "login"),
    "kind": ("type", "protocol", "driver"),
    "baud": ("baudrate", "baud_rate", "baud-rate", "speed", "bps"),
    "stop": ("stopbits", "stop_bits", "stop-bits"),
    "energy_kind": ("energy", "medium"),
}
"""What other gateways call our keys."""
_SERIAL_PORT_WORDS = ("device", "dev", "tty", "com", "path", "serial_port")
_OPTION_MEANT = {"even": "E", "odd": "O", "none": "N", "no": "N", "偶校验": "E", "奇校验": "O", "无校验": "N"}
_DATA_BITS = re.compile(r"(data|byte|char)[-_ ]?(bits?|size|length)", re.IGNORECASE)
SHOWN_MAX = 80
RENAME_CUTOFF = 0.7
_INTEGER_BITS_MAX = 128

_WANTED = {
    "string_type": "text in quotes",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "tuple_type": "a list",
    "string_too_short": "text that is not empty",
    "finite_number": "a finite number",
}


def key_path(prefix: str, loc: Loc) -> str:
    """Return a key path as the user would write it; places in a list are counted from 1."""
    path = prefix
    for step in loc:
        if isinstance(step, int):
            path += f"[{step + 1}]"
        elif step != "[key]":  # pydantic's mark of a key that is itself wrong
            name = step if _BARE.fullmatch(step) else '"' + shorten(step) + '"'
            path += f".{name}" if path else name
    return path


def shorten(text: str) -> str:
    """Return text on one printable line of limited length."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: SHOWN_MAX + 1])
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 1] + "…"


def shown(value: object) -> str:
    """Return a value of the site file for a finding: short, one line."""
    if isinstance(value, str):
        return f'"{shorten(_URL_SECRETS.sub("…", value) if "://" in value else value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS_MAX:
        return "a number beyond all use"
    return shorten(str(value))


def secret_like(key: str | int) -> bool:
    """Return whether a key may stand before a secret (`password_file` and the like name only where it is)."""
    return isinstance(key, str) and bool(_SECRET.search(key)) and not key.endswith(("_file", "_credential"))


def parse(
    model: type[M], body: Mapping[str, Any], path: str, context: Mapping[str, Any]
) -> tuple[M | None, list[Finding]]:
    """Return the table as an object (None if it cannot be one) and every finding in it.

    An object may come with findings: unknown keys were then left out or taken as the key they were nearest to.
    """
    value, findings, _ = salvage(model, body, path, context, None)
    return value, findings


def salvage(
    model: type[M],
    body: Mapping[str, Any],
    path: str,
    context: Mapping[str, Any],
    stand_ins: Mapping[str, Any] | None,
) -> tuple[M | None, list[Finding], frozenset[str]]:
    """Return what `parse` does, and the keys of the object that are not the user's.

    stand_ins: values for required keys, so that a table with a fault still gives an object to hold against
    other tables; None: it gives none.
    """
    findings: list[Finding] = []
    renamed: dict[Loc, str | int] = {}  # place of a key taken for another -> as the user wrote it
    while True:  # ends: every round removes at least one unknown key
        try:
            return model.model_validate(body, context=dict(context)), findings, frozenset()
        except ValidationError as error:
            errors = error.errors(include_url=False)
        unknown = [e for e in errors if e["type"] == "extra_forbidden"]
        if not unknown:
            break
        body = mended = copy.deepcopy(dict(body))
        findings += [_replace(model, mended, path, e["loc"], renamed) for e in unknown]
    findings += [_finding(model, body, path, e, renamed) for e in errors if e["loc"] not in renamed]
    doubtful = frozenset(str(e["loc"][0]) for e in errors if e["loc"])
    if stand_ins is None:
        return None, findings, doubtful
    rest = {key: value for key, value in body.items() if key not in doubtful}
    try:
        return model.model_validate({**stand_ins, **rest}, context=dict(context)), findings, doubtful
    except ValidationError:
        return None, findings, doubtful


def _replace(
    model: type[BaseModel], body: dict[str, Any], path: str, loc: Loc, renamed: dict[Loc, str | int]
) -> Finding:
    """Return the finding of an unknown key, and put its value under the key that was probably meant."""
    parent, key = _at(body, loc[:-1]), str(loc[-1])
    known = known_keys(model, loc[:-1])
    value = parent.pop(key)
    where = key_path(path, _as_written((*loc[:-1], key), renamed))
    if key.lower() in _INLINE:
        return inline_secret(where, key, known)
    if _DATA_BITS.fullmatch(key) and "parity" in known:
        return Finding(where, "an unknown key", "nothing: data bits are always 8", "remove the key")
    near = meant(key, known)
    target = near if near not in parent else ""
    if target:
        parent[target] = value
        renamed[(*loc[:-1], target)] = key
    return unknown_key(where, known, near)


def meant(key: str, known: Collection[str]) -> str:
    """Return the known key an unknown one was probably meant to be, "" if none is like it."""
    word = key.lower()
    if word in _SERIAL_PORT_WORDS and "port" in known and "parity" in known and "host" not in known:
        return "port"
    other = next((k for k, words in _OTHER_WORDS.items() if k in known and word in words), "")
    return other or nearest(word, known, RENAME_CUTOFF)


def unknown_key(path: str, known: Collection[str], near: str) -> Finding:
    """Return the finding of a key that is not known; near: what was probably meant."""
    return Finding(
        path,
        "an unknown key",
        "one of " + ", ".join(sorted(known)),
        f"did you mean `{near}`?" if near else "",
    )


def inline_secret(path: str, key: str, known: Collection[str]) -> Finding:
    """Return the finding of a secret written into the site file; the secret itself is not repeated."""
    word = _INLINE[key.lower()]
    if f"{word}_file" not in known:  # a token where a password is meant, or the other way round
        word = next((w for w in ("password", "token") if f"{w}_file" in known), word)
    if f"{word}_file" not in known:
        return Finding(
            path,
            "a secret in the site file",
            "no secret here: nothing in this table needs one",
            "remove the key",
        )
    return Finding(
        path,
        "a secret in the site file",
        f"`{word}_file` (a file only the gateway may read) or `{word}_credential` (a systemd credential)",
        f'put it into a file, mode 0600, and write {word}_file = "…"',
    )


def known_keys(model: type[BaseModel], loc: Loc) -> dict[str, str]:
    """Return the keys the table at `loc` may have, as the site file writes them, with their descriptions."""
    table = model
    for step in loc:
        field = next((f for name, f in table.model_fields.items() if step == (f.alias or name)), None)
        # where `step` is a place in a list or a key of a mapping the table stays the same
        table = table if field is None else _table_in(field.annotation) or table
    return {f.alias or name: f.description or "" for name, f in table.model_fields.items()}


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table an annotation such as `Mapping[Key, OverrideConfig]` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((t for t in map(_table_in, get_args(annotation)) if t is not None), None)


def _finding(
    model: type[BaseModel],
    body: Mapping[str, Any],
    path: str,
    error: ErrorDetails,
    renamed: dict[Loc, str | int],
) -> Finding:
    loc, kind, more = error["loc"], error["type"], error.get("ctx", {})
    where = key_path(path, _as_written(loc, renamed))
    if kind == "missing":
        return Finding(where, "nothing", f"this key: {known_keys(model, loc[:-1]).get(str(loc[-1]), '')}")
    found = "a value that is not shown" if any(map(secret_like, loc)) else shown(_at(body, loc))
    if kind == "metergate":
        return Finding(where, found, str(more["expected"]), str(more["suggestion"]))
    if kind == "literal_error":
        return Finding(where, found, *_literal(_at(body, loc), str(more["expected"])))
    return Finding(where, found, _WANTED.get(kind) or error["msg"].removeprefix("Input should be "))


def _literal(value: object, expected: str) -> tuple[str, str]:
    """Return what is expected of a value that is none of a few, and what to try. expected: pydantic's words."""
    words = re.findall(r"'([^']*)'", expected)
    options = words or re.findall(r"-?\d+", expected)
    word = str(value).strip().lower()
    same = (option for option in options if option.lower() == word or option == _OPTION_MEANT.get(word))
    near = next(same, "") or nearest(word, options)
    shape = f'"{near}"' if words else near
    return "one of " + ", ".join(options), f"try {shape}" if near else ""


def _as_written(loc: Loc, renamed: Mapping[Loc, str | int]) -> Loc:
    """Return a place with every renamed key as the user wrote it."""
    return tuple(renamed.get(loc[: i + 1], step) for i, step in enumerate(loc))


def _at(body: Any, loc: Loc) -> Any:
    """Return what stands at `loc`, None if nothing does."""
    for step in loc:
        if step == "[key]":
            return loc[-2]
        if isinstance(body, dict):
            body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int) and step < len(body):
            body = body[step]
        else:
            return None
    return body


def report(findings: Sequence[Finding]) -> str:
    """Return findings for a terminal: one paragraph each."""
    return "\n\n".join(_paragraph(f) for f in findings)


def _paragraph(finding: Finding) -> str:
    lines = [finding.path, f"  found     {finding.found}", f"  expected  {finding.expected}"]
    first, *others = finding.suggestion.split("\n")
    lines += [f"  next      {first}"] if first else []
    return "\n".join(lines + [f"            {other}" for other in others])


def to_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return findings for `--json`: path, found, expected, suggestion ("" if there is none)."""
    return [
        {"path": f.path, "found": f.found, "expected": f.expected, "suggestion": f.suggestion}
        for f in findings
    ]
