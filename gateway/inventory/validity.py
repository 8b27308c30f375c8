"""How an instrument's verification stands on a day, and the days its readings are in doubt. Pure.

Source: GB 17167-2006 5.3.6 (out of period or failed: must not be used); the last day of a certificate is included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gateway.inventory.model import Instrument, Nonconformity

Validity = Literal["valid", "expired", "nonconforming", "undated", "unverified"]
"""valid: conforming and in its period. undated: verified, but nothing says until when. unverified: no verification is recorded."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Days from `since` up to, not including, `until` (None: still) on which an instrument's readings are in doubt."""

    since: date
    until: date | None
    state: Validity
    why: str


def validity(instrument: Instrument, on: date) -> Validity:
    """Return how an instrument's verification stands on a day, with all the inventory knows now."""
    if any(_covers(span, on) for span in nonconforming(instrument)):
        return "nonconforming"
    newest = instrument.verification(on)
    if newest is None:
        return "unverified"
    if newest.last_day is None:
        return "undated"
    return "valid" if on <= newest.last_day else "expired"


def nonconforming(instrument: Instrument) -> list[Doubt]:
    """Return the spans in which an instrument did not conform, by a finding or by a verification it failed.

    It is doubted from its last conforming verification before (不合格测量设备追溯), if none from its installation.
    """
    return sorted([*_found(instrument), *_failed(instrument)], key=lambda span: span.since)


def expired(instrument: Instrument, until: date) -> list[Doubt]:
    """Return the spans up to a day in which no conforming verification was valid although one had been."""
    spans: list[Doubt] = []
    conforming = sorted((one for one in instrument.verifications if one.conforming), key=lambda one: one.on)
    for i, one in enumerate(conforming):
        following = conforming[i + 1].on if i + 1 < len(conforming) else None
        if one.last_day is None or one.last_day >= until:
            continue
        since = one.last_day + timedelta(days=1)
        if following is None or since < following:
            spans.append(
                Doubt(since, following, "expired", f"its verification of {one.on} ended on {one.last_day}")
            )
    return spans


def doubts(instrument: Instrument, until: date) -> list[Doubt]:
    """Return every span up to a day in which an instrument's readings are in doubt, in order of time."""
    return sorted([*nonconforming(instrument), *expired(instrument, until)], key=lambda span: span.since)


def _covers(span: Doubt, on: date) -> bool:
    return span.since <= on and (span.until is None or on < span.until)


def _found(instrument: Instrument) -> list[Doubt]:
    return [
        Doubt(_since(instrument, one), one.until, "nonconforming", f"found on {one.found}: {one.why}")
        for one in instrument.nonconformities
    ]


def _since(instrument: Instrument, found: Nonconformity) -> date:
    return found.since or _last_conforming(instrument, found.found) or instrument.installed or found.found


def _failed(instrument: Instrument) -> list[Doubt]:
    spans = []
    for i, one in enumerate(instrument.verifications):
        if one.conforming:
            continue
        since = _last_conforming(instrument, one.on) or instrument.installed or one.on
        later = [  # of one day the last that is listed speaks: adjusted and passed, or passed and found broken
            other.on
            for j, other in enumerate(instrument.verifications)
            if other.conforming and (other.on, j) > (one.on, i)
        ]
        spans.append(
            Doubt(since, min(later, default=None), "nonconforming", f"failed its {one.kind} of {one.on}")
        )
    return spans


def _last_conforming(instrument: Instrument, before: date) -> date | None:
    done = [one.on for one in instrument.verifications if one.conforming and one.on < before]
    return max(done, default=None)
