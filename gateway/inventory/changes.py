"""What changed between two inventories, in words a reviewer can follow: added, removed and changed, by id and field. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from gateway.findings import key_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.inventory.model import Inventory

CHANGES_MAX = 2000
TEXT_MAX = 200
Change = dict[str, Any]
"""{"what": added | removed | changed, "path", "before", "after"}: text, a number, or null where there was or is none."""


def changes(before: Inventory | None, after: Inventory) -> list[Change]:
    """Return what changed. before: None at the first revision, which is told in numbers only.

    A table with an id is one change when it comes or goes, and one for each of its fields when it stays; tables without an id
    (verifications, amounts, parts of a chain) come and go. After 2000 one more says how many there are.
    """
    new = _body(after)
    if before is None:
        counts = [f"{name} {len(rows)}" for name, rows in new.items() if isinstance(rows, list)]
        return [_change("added", "", None, ", ".join(["organization", *counts]))]
    found = list(_compared("", _body(before), new))
    if len(found) > CHANGES_MAX:
        more = _change("changed", "", None, f"and {len(found) - CHANGES_MAX} more")
        return [*found[:CHANGES_MAX], more]
    return found


def _body(inventory: Inventory) -> dict[str, Any]:
    return inventory.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _change(what: str, path: str, before: Any, after: Any) -> Change:
    return {"what": what, "path": path, "before": before, "after": after}


def _compared(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the changes of one table, field by field."""
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        where = key_path(path, (key,))
        if _is_rows(old) or _is_rows(new):
            yield from _rows(where, old or [], new or [])
        elif isinstance(old, dict) or isinstance(new, dict):
            yield from _compared(where, old or {}, new or {})
        elif old is None:
            yield _change("added", where, None, _shown(new))
        elif new is None:
            yield _change("removed", where, _shown(old), None)
        else:
            yield _change("changed", where, _shown(old), _shown(new))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _rows(path: str, before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> Iterator[Change]:
    """Yield what changed in a list of tables; where they have no id, a changed one goes and comes."""
    if any("id" in row for row in (*before, *after)):
        old, new = ({str(row["id"]): row for row in rows} for rows in (before, after))
        for own in dict.fromkeys((*old, *new)):
            where = f"{path}.{own}"
            if own not in new:
                yield _change("removed", where, _shown(old[own].get("name", own)), None)
            elif own not in old:
                yield _change("added", where, None, _shown(new[own].get("name", own)))
            else:
                yield from _compared(where, old[own], new[own])
        return
    gone, come = Counter(map(_shown, before)), Counter(map(_shown, after))
    for text in (gone - come).elements():
        yield _change("removed", path, text, None)
    for text in (come - gone).elements():
        yield _change("added", path, None, text)


def _shown(value: Any) -> Any:
    """Return a value for people: a table as `key value, key value`; long text is cut."""
    if isinstance(value, dict):
        value = ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(_text, value))
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return value[: TEXT_MAX - 1] + "…"
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
