"""What was told of the inventory, and what is to be told of it now. Pure.

It is made of the events themselves as they are read from the journal, so a kill between journal and history tells nothing twice
and leaves nothing out.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.inventory.validity import expired, nonconforming, validity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.inventory.model import Instrument, Inventory
    from gateway.inventory.validity import Doubt
    from gateway.model import Event

APPLIED = "inventory_applied"
VALID_AGAIN = "instrument_valid_again"
DUE = "verification_due"
KIND_OF = {"nonconforming": "instrument_nonconforming", "expired": "instrument_expired"}
"""State of a span -> kind of the event that tells it."""
KINDS = frozenset({APPLIED, VALID_AGAIN, DUE, *KIND_OF.values()})


class News(NamedTuple):
    """An event to tell: as `EventLog.note` takes it."""

    kind: str
    subject: str
    detail: dict[str, Any]


class Told(NamedTuple):
    """A span as it was told last: the meter the instrument was on, and the first day after it (None: still)."""

    meter: str
    until: str | None


Span = tuple[str, str]
"""State and first day: what names a span of an instrument."""


class Diary:
    """What events told so far: the newest revision, spans of doubt with their ends, reminders."""

    def __init__(self, body: Mapping[str, Any] | None = None) -> None:
        """body: as `body` gave it; None: nothing was told."""
        body = body or {}
        self.revision = int(body.get("revision", 0))
        self.told_ns = int(body.get("told_ns", 0))
        """When the newest event of these was told; 0: never."""
        self._spans: dict[str, dict[Span, Told]] = {}
        for instrument, meter, state, since, until in body.get("spans", ()):
            self._spans.setdefault(instrument, {})[state, since] = Told(meter, until)
        self._doubted: set[str] = set(body.get("doubted", ()))
        self._due: dict[tuple[str, str, int], str] = {
            (instrument, last_day, step): "".join(day)
            for instrument, last_day, step, *day in body.get("due", ())
        }

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "revision": self.revision,
            "told_ns": self.told_ns,
            "spans": [
                [instrument, one.meter, *key, one.until]
                for instrument, spans in self._spans.items()
                for key, one in spans.items()
            ],
            "doubted": sorted(self._doubted),
            "due": [[*key, day] for key, day in sorted(self._due.items())],
        }

    def take(self, event: Event) -> bool:
        """Take note of an event that was told; return whether it is one of these kinds."""
        kind, told = event.kind, event.detail
        if kind not in KINDS:
            return False
        self.told_ns = event.time_ns
        instrument = str(told.get("instrument", ""))
        if kind == APPLIED:
            self.revision = max(self.revision, _whole(told.get("revision")))
        elif kind == VALID_AGAIN:
            self._doubted.discard(instrument)
        elif kind == DUE:
            last_day = str(told.get("last_day", ""))
            self._due[instrument, last_day, _whole(told.get("step"))] = _told_on(last_day, told)
        else:
            until = told.get("until")
            meter, state, since = (str(told.get(name, "")) for name in ("meter", "state", "since"))
            spans = self._spans.setdefault(instrument, {})
            spans[state, since] = Told(meter, None if until is None else str(until))
            if until is None:
                self._doubted.add(instrument)
        return True

    def forget(self, oldest: date) -> None:
        """Forget spans that were over by then, and reminders of verifications before the newest one of each instrument."""
        day = oldest.isoformat()
        for instrument, spans in list(self._spans.items()):
            kept = {key: one for key, one in spans.items() if one.until is None or one.until > day}
            if kept:
                self._spans[instrument] = kept
            else:
                del self._spans[instrument]
        newest: dict[str, str] = {}
        for instrument, last_day, _ in self._due:
            newest[instrument] = max(last_day, newest.get(instrument, ""))
        self._due = {key: told for key, told in self._due.items() if key[1] > day or key[1] == newest[key[0]]}

    # what is to be told

    def reminded(self, today: date) -> set[tuple[str, str, int]]:
        """Return the keys of reminders told (`gateway.inventory.calendar.Reminder.key`).

        Without those told on a day that is still to come: the clock was ahead then, and nobody expects them so early.
        """
        day = today.isoformat()
        return {key for key, told in self._due.items() if told <= day}

    def spans(self, inventory: Inventory, today: date, oldest: date) -> Iterator[News]:
        """Yield what of an inventory's spans of doubt was not told, or ends on another day than was told.

        oldest: a span that was over by then is of no reading anybody has. One that is not there any more was a mistake: it is
        told to end where it began. Of an instrument that has left the inventory nothing is taken back. A span keeps the meter
        it was told with: what was measured there stays in doubt when the instrument moves on.
        """
        for instrument in inventory.instruments:
            yield from self._of(instrument, today, oldest)

    def _of(self, instrument: Instrument, today: date, oldest: date) -> Iterator[News]:
        told = self._spans.get(instrument.id, {})
        day = today.isoformat()
        # Told on a day to come where the clock was ahead then or is back now; they stay as long as they will be true.
        until_day = max((since for _, since in told), default=day)
        there = _by_name(instrument, date.fromisoformat(max(day, until_day)))
        for name, span in there.items():
            until = None if span.until is None else span.until.isoformat()
            if name in told:
                if told[name].until != until:
                    yield _span(instrument.id, name, Told(told[name].meter, until), span.why)
            elif span.since <= today and (span.until is None or span.until > oldest):
                yield _span(instrument.id, name, Told(instrument.meter, until), span.why)
        for name, one in told.items():
            if name not in there and one.until != name[1]:
                why = "taken back: the inventory does not say so any more"
                yield _span(instrument.id, name, Told(one.meter, name[1]), why)
        if instrument.id not in self._doubted or validity(instrument, today) != "valid":
            return
        if any(span.until is None and name[1] > day for name, span in there.items() if name in told):
            return  # the clock is back before the doubt: it is not over
        ends = [one.until for one in there.values() if one.until is not None and one.until <= today]
        newest = instrument.verification(today)
        detail = {
            "instrument": instrument.id,
            "meter": instrument.meter,
            "since": max(ends, default=today).isoformat(),
            "certificate": "" if newest is None else newest.certificate,
        }
        yield News(VALID_AGAIN, instrument.id, detail)


def _by_name(instrument: Instrument, until: date) -> dict[Span, Doubt]:
    """Return the spans that begin up to a day by what names them; of two that begin alike the one that lasts longer."""
    found: dict[Span, Doubt] = {}
    for span in _doubts(instrument, until):
        name = span.state, span.since.isoformat()
        before = found.get(name)
        if before is None or (before.until is not None and (span.until is None or span.until > before.until)):
            found[name] = span
    return found


def _doubts(instrument: Instrument, until: date) -> Iterator[Doubt]:
    """Yield the spans in which somebody may have relied on an instrument that was in doubt."""
    yield from (span for span in nonconforming(instrument) if span.since <= until)
    if instrument.role != "spare":
        for span in expired(instrument, until):
            if instrument.removed is None or span.since < instrument.removed:
                yield span


def _span(instrument: str, name: Span, told: Told, why: str) -> News:
    state, since = name
    detail = {"instrument": instrument, "meter": told.meter, "since": since, "until": told.until}
    return News(KIND_OF[state], instrument, detail | {"why": why, "state": state})


def _told_on(last_day: str, told: Mapping[str, Any]) -> str:
    """Return the day a reminder was told on, "" if it does not say."""
    try:
        return (date.fromisoformat(last_day) - timedelta(days=_whole(told.get("days_left")))).isoformat()
    except (ValueError, OverflowError):
        return ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
