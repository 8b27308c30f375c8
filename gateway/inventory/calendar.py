"""When verifications (检定) and calibrations end, and which reminders are due. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.inventory.validity import validity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import date

    from gateway.inventory.model import Instrument, Inventory
    from gateway.inventory.validity import Validity

STEPS = (90, 30, 7)
"""So many days before the last day a reminder is told."""
OVERDUE = -1
"""The step of what is over."""

Due = Literal["nonconforming", "overdue", "due", "undated", "unverified"]
"""due: valid until a day to come. undated: verified, nothing says until when. unverified: no verification is recorded."""
ORDER: tuple[Due, ...] = ("nonconforming", "overdue", "unverified", "undated", "due")

_STATES: dict[Validity, Due] = {
    "nonconforming": "nonconforming",
    "expired": "overdue",
    "unverified": "unverified",
    "undated": "undated",
    "valid": "due",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One instrument in the calendar. last_day: of its newest verification, None if nothing tells; days_left: 0 on that day.

    usual: period in force for its kind, as advice; "" if none is known.
    """

    instrument: Instrument
    state: Due
    last_day: date | None
    days_left: int | None
    usual: str = ""


@dataclass(frozen=True, slots=True)
class Reminder:
    """A verification that ends, or has ended, as it is told once. step: of STEPS, `OVERDUE` once it is over."""

    instrument: str
    last_day: date
    days_left: int
    step: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what is told once: a reminder of the same instrument, day and step is the same."""
        return self.instrument, self.last_day.isoformat(), self.step


def calendar(
    inventory: Inventory, today: date, usual: Callable[[Instrument], str] = lambda _: ""
) -> list[Entry]:
    """Return every instrument that is in its place or to come, what is worst first, then by last day and id.

    Stopped (停用) and spare ones are in it too: they must be verified before they are used again. usual: tells the usual period.
    """
    found = [_entry(one, today, usual(one)) for one in _kept(inventory, today)]
    return sorted(
        found,
        key=lambda one: (ORDER.index(one.state), one.last_day or today, one.instrument.id),
    )


def _kept(inventory: Inventory, today: date) -> Iterable[Instrument]:
    return (one for one in inventory.instruments if one.removed is None or today < one.removed)


def _entry(instrument: Instrument, today: date, usual: str) -> Entry:
    last_day = _last_day(instrument, today)
    left = None if last_day is None else (last_day - today).days
    return Entry(instrument, _STATES[validity(instrument, today)], last_day, left, usual)


def _last_day(instrument: Instrument, today: date) -> date | None:
    """Return the last day of its newest verification; None if it failed that, or nothing tells."""
    newest = instrument.verification(today)
    return newest.last_day if newest is not None and newest.conforming else None


def due_reminders(
    inventory: Inventory,
    today: date,
    told: Collection[tuple[str, str, int]] = (),
    steps: Collection[int] = STEPS,
) -> list[Reminder]:
    """Return the reminders that are due and were not told yet, by last day and instrument.

    told: keys of reminders told before. Of the steps that have passed only the latest is told, so a gateway that was off or an
    inventory that is new tells one of each instrument. Stopped and spare ones are not reminded of, nor what is not dated.
    """
    found = []
    for instrument in _kept(inventory, today):
        last_day = _last_day(instrument, today)
        if last_day is None or not _is_used(instrument):
            continue
        left = (last_day - today).days
        step = OVERDUE if left < 0 else min((step for step in steps if left <= step), default=None)
        if step is not None:
            reminder = Reminder(instrument.id, last_day, left, step)
            if reminder.key not in told:
                found.append(reminder)
    return sorted(found, key=lambda one: (one.last_day, one.instrument))


def _is_used(instrument: Instrument) -> bool:
    return (
        instrument.status != "stopped" and instrument.role != "spare" and instrument.measurement == "measured"
    )
