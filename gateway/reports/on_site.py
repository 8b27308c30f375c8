"""Inspections on site (现场检查) as cells: one line for each instrument of a sample, one for each finding. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from gateway.inspection.model import Mark
    from gateway.inspection.summary import Noted, OnSite, Seen
    from gateway.reports.texts import Words

SEEN_KEYS = (
    *("o_inspection", "o_instrument", "o_ok", "o_wrong", "o_not_seen", "o_display", "o_by", "o_at", "o_note"),
)
NOTED_KEYS = (
    *("o_inspection", "o_finding", "o_instrument", "o_items", "o_text", "clause", "o_owner", "o_due"),
    "o_closure",
)


class Line(NamedTuple):
    """A line of a table. is_bad: something is wrong or open there."""

    cells: tuple[str, ...]
    is_bad: bool


def seen_lines(inspections: Sequence[OnSite], words: Words) -> Iterator[Line]:
    """Yield what was found at each instrument of each sample, who found it and when."""
    for inspection in inspections:
        for one in inspection.seen:
            yield Line(_seen(one, words), bool(one.items("wrong")))


def _seen(one: Seen, words: Words) -> tuple[str, ...]:
    found = one.found
    if found is None:
        return str(one.inspection), one.instrument, "", "", "", "", "", "", words("o_nobody")
    marks: tuple[Mark, ...] = "ok", "wrong", "not_seen"
    return (
        str(one.inspection),
        one.instrument,
        *(items(one.items(mark), words) for mark in marks),
        _display(one),
        found.by,
        one.at,
        found.note,
    )


def _display(one: Seen) -> str:
    shown = None if one.found is None else one.found.display
    if shown is None:
        return ""
    if shown.difference is None:
        return f"{shown.display} / – / –"
    return f"{shown.display} / {shown.gateway} {shown.unit} / {shown.difference} {shown.unit}"


def noted_lines(inspections: Sequence[OnSite], words: Words, on: date) -> Iterator[Line]:
    """Yield every finding with clause, owner, due day and closure, then what is wrong and has none. on: day the report is of."""
    for inspection in inspections:
        for one in inspection.noted:
            yield _noted(one, words, on)
        for instrument, wrong in inspection.wrong.items():
            cells = (str(inspection.number), "", instrument, items(wrong, words), words("o_unnoted"))
            yield Line((*cells, "", "", "", words("o_open")), is_bad=True)


def _noted(one: Noted, words: Words, on: date) -> Line:
    opened, closed = one.opened, one.closed
    if closed is None:
        closure = words("o_overdue" if opened.due < on else "o_open")
    else:
        closure = words(
            "o_closed", on=closed.on or "", how=closed.how, by=closed.by, document=closed.document
        )
    cells = (
        *(str(one.inspection), str(opened.finding), opened.instrument, items(opened.items, words)),
        *(opened.text, opened.clause, opened.owner, opened.due.isoformat(), closure.strip()),
    )
    return Line(cells, closed is None)


def items(keys: Iterable[str], words: Words) -> str:
    """Return items by name."""
    return ", ".join(words(f"item_{key}") for key in keys)


def mark(one: Seen | None, words: Words) -> str:
    """Return in short what was found at an instrument; "" where nobody was."""
    if one is None or one.found is None:
        return ""
    wrong = one.items("wrong")
    told = f"✗ {items(wrong, words)}" if wrong else "✓" if one.items("ok") else "–"
    return f"{told} ({one.at[:10]} {one.found.by})"
