"""What differs between two site files, in the words findings use for places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.findings import key_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENTRIES_MAX = 200
TEXT_MAX = 200
_NONE = object()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what changed as {"path", "before", "after"}, one for each value; null: there was or is none.

    before, after: bodies of site files, plain JSON values. A table of a list that has an id is matched by it, wherever
    it stands, so its place is not told; other lists are one value. What is longer than 200 characters is text that ends in
    an ellipsis. After 200 entries one more says how many there are: {"path": "", "before": null, "after": null, "more": N}.
    """
    found: list[dict[str, Any]] = []
    count = 0
    for path, old, new in _changes("", before, after):
        count += 1
        if count <= ENTRIES_MAX:
            found.append({"path": path, "before": _shown(old), "after": _shown(new)})
    if count > ENTRIES_MAX:
        found.append({"path": "", "before": None, "after": None, "more": count - ENTRIES_MAX})
    return found


def _changes(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, before, after) of every value that differs; a table that is new or gone value by value."""
    old, new = _table(before, after), _table(after, before)
    if old is None or new is None:
        if not _alike(before, after):
            yield path, before, after
        return
    for key in dict.fromkeys((*old, *new)):
        yield from _changes(key_path(path, (key,)), old.get(key, _NONE), new.get(key, _NONE))


def _table(value: Any, other: Any) -> Mapping[str, Any] | None:
    """Return a value as a table: one, a list of tables with ids as one by id, nothing beside a table as an empty one.

    None: it is none, or it has nothing in it and would not be seen.
    """
    if isinstance(value, dict) and (value or other is not _NONE):
        return value
    if isinstance(value, list) and value:
        return _by_id(value)
    if value is _NONE or value == []:
        matched = other if isinstance(other, dict) else _by_id(other) if isinstance(other, list) else None
        return {} if matched else None
    return None


def _by_id(entries: list[Any]) -> dict[str, Any] | None:
    """Return tables by id, None if they are not all tables with an id of their own."""
    ids = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
    texts = [own for own in ids if isinstance(own, str)]
    if len(set(texts)) < len(entries):
        return None
    return dict(zip(texts, entries, strict=True))


def _alike(before: Any, after: Any) -> bool:
    """Return whether two values are the same; 1 and true are not, nor are 1 and 1.0 in a list."""
    if type(before) is not type(after):
        return False
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_alike, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_alike(before[key], after[key]) for key in before)
    return bool(before == after)


def _shown(value: Any) -> Any:
    """Return a value for an event; None where there is none."""
    if value is _NONE:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
