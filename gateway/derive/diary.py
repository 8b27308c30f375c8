"""What was told of the inventory, and what is to be told of it now. Pure.

It is made of the events themselves as they are read from the journal, so a kill between journal and history tells nothing twice
and leaves nothing out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.inventory.validity import expired, nonconforming, validity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

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


class Diary:
    """What events told so far: the newest revision, spans of doubt with their ends, reminders."""

    def __init__(self, body: Mapping[str, Any] | None = None) -> None:
        """body: as `body` gave it; None: nothing was told."""
        body = body or {}
        self.revision = int(body.get("revision", 0))
        self._spans: dict[tuple[str, str, str, str], str | None] = {
            (instrument, meter, state, since): until
            for instrument, meter, state, since, until in body.get("spans", ())
        }
        self._doubted: set[str] = set(body.get("doubted", ()))
        self.reminders: set[tuple[str, str, int]] = {
            (instrument, last_day, step) for instrument, last_day, step in body.get("due", ())
        }
        """Keys of those told: `gateway.inventory.calendar.Reminder.key`."""

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "revision": self.revision,
            "spans": [[*key, until] for key, until in self._spans.items()],
            "doubted": sorted(self._doubted),
            "due": [list(one) for one in sorted(self.reminders)],
        }

    def take(self, event: Event) -> bool:
        """Take note of an event that was told; return whether it is one of these kinds."""
        kind, told = event.kind, event.detail
        if kind not in KINDS:
            return False
        instrument = str(told.get("instrument", ""))
        if kind == APPLIED:
            self.revision = max(self.revision, _whole(told.get("revision")))
        elif kind == VALID_AGAIN:
            self._doubted.discard(instrument)
        elif kind == DUE:
            self.reminders.add((instrument, str(told.get("last_day", "")), _whole(told.get("step"))))
        else:
            until = told.get("until")
            meter, state, since = (str(told.get(name, "")) for name in ("meter", "state", "since"))
            self._spans[instrument, meter, state, since] = None if until is None else str(until)
            if until is None:
                self._doubted.add(instrument)
        return True

    # what is to be told

    def spans(self, inventory: Inventory, today: date, oldest: date) -> Iterator[News]:
        """Yield what of an inventory's spans of doubt was not told, or ends on another day than was told.

        oldest: a span that was over by then is of no reading anybody has. One that is not there any more was a mistake: it is
        told to end where it began. Of an instrument that has left the inventory nothing is taken back.
        """
        for instrument in inventory.instruments:
            there = _by_key(instrument, today)
            for key, span in there.items():
                until = None if span.until is None else span.until.isoformat()
                if key in self._spans:
                    if self._spans[key] != until:
                        yield _span(key, until, span.why)
                elif span.until is None or span.until > oldest:
                    yield _span(key, until, span.why)
            for key, until in self._spans.items():
                is_gone = key[0] == instrument.id and key not in there and until != key[3]
                if is_gone and key[3] <= today.isoformat():  # else the clock was set back: it is to come
                    yield _span(key, key[3], "taken back: the inventory does not say so any more")
            if instrument.id in self._doubted and validity(instrument, today) == "valid":
                ends = [span.until for span in there.values() if span.until is not None]
                newest = instrument.verification(today)
                detail = {
                    "instrument": instrument.id,
                    "meter": instrument.meter,
                    "since": max(ends, default=today).isoformat(),
                    "certificate": "" if newest is None else newest.certificate,
                }
                yield News(VALID_AGAIN, instrument.id, detail)

    def with_(self, events: Iterable[Event]) -> Diary:
        """Return what it becomes with these events too."""
        other = Diary(self.body())
        for event in events:
            other.take(event)
        return other


def _by_key(instrument: Instrument, today: date) -> dict[tuple[str, str, str, str], Doubt]:
    """Return the spans by what names them; of two that begin alike the one that lasts longer."""
    found: dict[tuple[str, str, str, str], Doubt] = {}
    for span in _doubts(instrument, today):
        key = instrument.id, instrument.meter, span.state, span.since.isoformat()
        before = found.get(key)
        if before is None or (before.until is not None and (span.until is None or span.until > before.until)):
            found[key] = span
    return found


def _doubts(instrument: Instrument, today: date) -> Iterator[Doubt]:
    """Yield the spans in which somebody may have relied on an instrument that was in doubt."""
    yield from (span for span in nonconforming(instrument) if span.since <= today)
    if instrument.role != "spare":
        for span in expired(instrument, today):
            if instrument.removed is None or span.since < instrument.removed:
                yield span


def _span(key: tuple[str, str, str, str], until: str | None, why: str) -> News:
    instrument, meter, state, since = key
    detail = {"instrument": instrument, "meter": meter, "since": since, "until": until}
    return News(KIND_OF[state], instrument, detail | {"why": why, "state": state})


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
