"""How the instruments behind meters stand by the inventory in force now: for exports and reports of the past."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gateway.derive.marks import Marks
from gateway.inventory.in_force import revisions
from gateway.inventory.validity import doubts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gateway.config.models import Site
    from gateway.intervals.grid import Span


def applied_marks(site: Site) -> Marks:
    """Return the marks by the newest applied inventory; without one they mark nothing. Raises StorageError if it is damaged."""
    newest = revisions(site).newest()
    return Marks(site.site.timezone, None if newest is None else newest.inventory)


def in_doubt(marks: Marks, span: Span, meters: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the spans of days in which the main instrument of a meter is in doubt and that touch a period, as plain JSON values."""
    first, last = marks.day(span.start_ns), marks.day(span.end_ns - 1)
    for meter in meters:
        for instrument in marks.instruments(meter):
            for doubt in doubts(instrument, last + timedelta(days=1)):
                if doubt.since <= last and (doubt.until is None or doubt.until > first):
                    yield {
                        "meter": meter,
                        "instrument": instrument.id,
                        "state": doubt.state,
                        "since": doubt.since.isoformat(),
                        "until": None if doubt.until is None else doubt.until.isoformat(),
                        "why": doubt.why,
                    }
