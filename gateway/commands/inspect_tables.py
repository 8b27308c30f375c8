"""Inspections as tables for people."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from gateway.clock import local
from gateway.commands.grid import Col, Grid, figures, note, words
from gateway.commands.tables import console

if TYPE_CHECKING:
    from gateway.inspection.model import Found
    from gateway.inspection.store import Inspection

SIGNS = {"ok": "✓", "wrong": "✗", "not_seen": "–"}
HEADINGS = {
    "serial": "serial",
    "label": "label",
    "seal": "seal",
    "location": "place",
    "diagram": "diagram",
    "range": "range",
    "accuracy_class": "class",
    "ct_ratio": "ratio",
    "display": "reading",
}


def show_list(found: list[Inspection], zone: str, now_ns: int) -> None:
    """Print the inspections."""
    today = date.fromisoformat(local(now_ns, zone)[:10])
    columns = ("sample", "recorded", "wrong", "findings open", "overdue")
    table = Grid(
        figures("no."), "drawn 抽样", words("by"), *map(figures, columns), title="Inspections 现场检查"
    )
    for one in found:
        overdue = sum(finding.due < today for finding in one.open_findings)
        wrong = sum(bool(one.wrong(id_)) for id_ in one.ids)
        counts = len(one.ids), len(one.found), wrong, len(one.open_findings), overdue
        table.add_row(
            str(one.number),
            local(one.drawn.at_ns, zone),
            one.drawn.by,
            *map(str, counts),
            style="red" if overdue else "",
        )
    screen = console()
    screen.print(table)
    if not found:
        screen.print("No sample has been drawn: metergate inspect draw --size 20")


def show_inspection(found: Inspection, zone: str, only: str = "") -> None:
    """Print an inspection. only: this instrument, and no findings."""
    drawn = found.drawn
    head = (
        f"Inspection 现场检查 {found.number}: {len(drawn.instruments)} of {drawn.population} instruments, drawn by {drawn.by} "
        f"on {local(drawn.at_ns, zone)}, seed {drawn.seed}"
    )
    table = Grid("instrument", figures("level"), Col("kind", drop=2), *(Col(head, drop=4) for head in HEADINGS.values()), words("display 表码", drop=3), words("note", drop=1), title=head)  # fmt: skip
    for one in drawn.instruments:
        if only in ("", one.instrument):
            seen = found.found.get(one.instrument)
            marks = ["" if seen is None else SIGNS[seen.marks.get(item, "not_seen")] for item in HEADINGS]
            table.add_row(
                one.instrument,
                str(one.level or "–"),
                one.energy_kind,
                *marks,
                _display(seen),
                "" if seen is None else seen.note,
                style="red" if found.wrong(one.instrument) else "",
            )
    screen = console()
    screen.print(table)
    for id_, items in found.uncovered().items():
        if only in ("", id_):
            screen.print(note(f"{id_}: {', '.join(items)} wrong, no finding yet: metergate inspect finding open {found.number} --instrument {id_} …"))  # fmt: skip
    if not only:
        _show_findings(found)


def _show_findings(found: Inspection) -> None:
    if not found.opened:
        return
    table = Grid(figures("no."), "instrument", words("finding 问题"), words("clause 条款"), words("owner 责任人"), "due 期限", words("closed 关闭"), title="Findings 问题")  # fmt: skip
    for number, one in found.opened.items():
        closed = found.closed.get(number)
        said = "" if closed is None else f"{closed.on} {closed.how} ({closed.by})"
        table.add_row(str(number), one.instrument, one.text, one.clause, one.owner, str(one.due), said)
    console().print(table)


def _display(seen: Found | None) -> str:
    if seen is None or seen.display is None:
        return ""
    shown = seen.display
    if shown.difference is None:
        return f"{shown.display}: {shown.note}"
    told = f"{shown.display}; gateway {shown.gateway} {shown.unit}, difference {shown.difference}"
    return f"{told}; {shown.note}" if shown.note else told
