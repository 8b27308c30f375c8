"""The calendar of verifications due as iCalendar text, for any calendar program.

Source: RFC 5545: 3.1 (lines, folding), 3.3.11 (TEXT), 3.6.1 (VEVENT), 3.6.6 (VALARM), 3.8.4.7 (UID), 3.8.7.4 (SEQUENCE).
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.inventory.calendar import STEPS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from gateway.inventory.calendar import Entry

LINE_OCTETS_MAX = 75
_EPOCH = date(1970, 1, 1)


def ics(
    entries: Iterable[Entry], place: str, stamp: datetime, steps: Collection[int] = STEPS, name: str = ""
) -> str:
    """Return a calendar with an all-day event on the last day of each dated entry, and alarms `steps` days ahead.

    place: what makes the ids of events this plant's own. stamp: when it is made, aware. A later calendar moves the events of an
    earlier one: each instrument has one, whose SEQUENCE rises with its last day.
    """
    made = stamp.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Metergate//Verifications due//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{text(f'检定到期 Verifications due {name}'.strip())}",
    ]
    for one in entries:
        if one.last_day is not None:
            lines += _event(one, one.last_day, place, made, steps)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded(line)}\r\n" for line in lines)


def _event(entry: Entry, last_day: date, place: str, made: str, steps: Collection[int]) -> Iterator[str]:
    instrument = entry.instrument
    summary = text(f"检定到期 Verification ends: {instrument.id} {instrument.name}")
    yield from ("BEGIN:VEVENT", f"UID:{text(f'verification-{instrument.id}@{place}')}", f"DTSTAMP:{made}")
    yield f"SEQUENCE:{max((last_day - _EPOCH).days, 0)}"
    yield f"DTSTART;VALUE=DATE:{last_day:%Y%m%d}"
    yield f"DTEND;VALUE=DATE:{last_day + timedelta(days=1):%Y%m%d}"
    yield f"SUMMARY:{summary}"
    yield f"DESCRIPTION:{text(_description(entry))}"
    if instrument.location:
        yield f"LOCATION:{text(instrument.location)}"
    yield "TRANSP:TRANSPARENT"
    for step in steps:
        trigger = f"TRIGGER:-P{step}D"
        yield from ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{summary}", trigger, "END:VALARM")
    yield "END:VEVENT"


def _description(entry: Entry) -> str:
    """Return what whoever sends it away wants to know."""
    instrument = entry.instrument
    newest = max(
        (one for one in instrument.verifications if one.last_day == entry.last_day),
        key=lambda one: one.on,
        default=None,
    )
    rows = [
        ("型号 model", instrument.model),
        ("出厂编号 serial", instrument.serial),
        ("管理编号 own number", instrument.own_number),
        ("上次 last", "" if newest is None else newest.on.isoformat()),
        ("证书 certificate", "" if newest is None else newest.certificate),
        ("检定机构 body", "" if newest is None else newest.body),
        ("常用周期 usual period", entry.usual),
    ]
    return "\n".join(f"{name}: {value}" for name, value in rows if value)


def text(value: str) -> str:
    """Return a value of type TEXT: escaped, a new line as \\n, other control characters left out."""
    unix = value.replace("\r\n", "\n").replace("\r", "\n")
    clean = "".join(one for one in unix if one == "\n" or unicodedata.category(one) != "Cc")
    escaped = clean.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\n", "\\n")


def folded(line: str) -> str:
    """Return a line cut into ones of at most 75 octets, never inside a character."""
    parts, size = [""], 0
    for one in line:
        octets = len(one.encode())
        if size + octets > LINE_OCTETS_MAX:
            parts.append("")
            size = 1  # the space that begins the next one
        parts[-1] += one
        size += octets
    return "\r\n ".join(parts)
