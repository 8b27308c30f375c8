"""JSON and text that somebody else wrote: read with bounds, and made fit to be shown on a terminal. Pure."""

from __future__ import annotations

import json
from typing import Any

import orjson

from gateway.feed.jws import DEPTH_MAX, Malformed, brief

__all__ = ["DEPTH_MAX", "brief", "printable", "read"]

TEXT_MAX = 500  # characters of a sentence with foreign words in it
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def printable(text: str) -> str:
    """Return a text on one line, cut; what moves a terminal's cursor, colours it or turns the direction is written as its code."""
    text = text[:TEXT_MAX]
    return text if text.isprintable() else "".join(c if c.isprintable() else _code(c) for c in text)


def _code(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def read(payload: bytes) -> dict[str, Any]:
    """Return the JSON object of a payload. Raises Malformed, also if it is nested too deep or a name in it comes twice."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise Malformed("the payload is no JSON") from error
    if not isinstance(found, dict):
        raise Malformed("the payload is no JSON object")
    if is_deep(payload, found):
        raise Malformed(f"the payload is nested deeper than {DEPTH_MAX}")
    if orjson.dumps(found) != payload:  # made by another program, or a name comes twice
        json.loads(payload.decode(), object_pairs_hook=_once, parse_int=len, parse_float=len)
    return found


def is_deep(payload: bytes, found: object) -> bool:
    """Return whether JSON is nested deeper than the contract ever is. found: what was read of it."""
    brackets = payload.translate(None, _NOT_BRACKETS)
    for _ in range(DEPTH_MAX):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    level = [found]  # brackets in texts hide the depth: count it
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, (dict, list)) for one in level)


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Malformed("a name comes twice in one object of the payload")
