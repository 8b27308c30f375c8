"""The tables of a file as entries: each parsed by itself, each under the path it goes by in findings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config.base import Table
from gateway.config.draft import Entry
from gateway.config.values import ID
from gateway.errors import Finding
from gateway.findings import key_path, meant, salvage, shown, unknown_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

T = TypeVar("T", bound=Table)


def sections(body: Mapping[str, Any], known: Collection[str], findings: list[Finding]) -> dict[str, Any]:
    """Return the top-level tables; one with an unknown name is taken for the one it is nearest to."""
    tables = {name: table for name, table in body.items() if name in known}
    for name, table in body.items():
        if name in known:
            continue
        near = meant(name, known)
        findings.append(unknown_key(key_path("", (name,)), known, near))
        there = tables.get(near)
        if isinstance(there, list) and isinstance(table, list):
            tables[near] = there + table
        elif near and there is None:
            tables[near] = table
    return tables


def single(
    model: type[T],
    body: Any,
    name: str,
    context: Mapping[str, Any],
    stand_ins: Mapping[str, Any] | None,
    findings: list[Finding],
    hint: str,
) -> Entry[T]:
    """Return a table that stands once. body: what stands there, None for nothing. hint: where to see an example."""
    if not isinstance(body, dict):
        found = "nothing" if body is None else shown(body)
        findings.append(Finding(name, found, f"one table [{name}]", hint))
        return Entry(name, {}, None, frozenset(model.model_fields))
    value, found_inside, doubtful = salvage(model, body, name, context, stand_ins)
    findings += found_inside
    return Entry(name, body, value, doubtful)


def entries(
    name: str,
    bodies: Any,
    entry: Callable[[dict[str, Any], str], Entry[Any]],
    findings: list[Finding],
) -> list[Entry[Any]]:
    """Return the entries of a repeated table, each made by `entry` out of its body and its path."""
    if not isinstance(bodies, list):
        findings.append(
            Finding(name, shown(bodies), f"tables that may repeat, written [[{name}]]", f"write [[{name}]]")
        )
        bodies = [bodies]
    ids = [body.get("id") if isinstance(body, dict) else None for body in bodies]
    counts = Counter(own for own in ids if isinstance(own, str))
    made = []
    for i, (body, own) in enumerate(zip(bodies, ids, strict=True)):
        usable = isinstance(own, str) and ID.fullmatch(own) and counts[own] == 1
        path = f"{name}.{own}" if usable else f"{name}[{i + 1}]"
        if not isinstance(body, dict):
            findings.append(Finding(path, shown(body), "a table"))
            continue
        made.append(entry(body, path))
    return made
