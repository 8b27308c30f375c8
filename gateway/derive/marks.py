"""How the verification (检定) of each meter's instrument stands, day by day: what intervals and births are marked with. Pure."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from gateway.inventory.validity import validity
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from gateway.inventory.model import Instrument, Inventory
    from gateway.inventory.validity import Validity

WORST_FIRST: tuple[Validity, ...] = ("nonconforming", "expired", "unverified", "undated", "valid")
"""Of several instruments on one meter the worst one speaks: an interval called valid must not hide another one."""
KEPT_MAX = 20_000  # answers kept; more are found anew


class Marks:
    """What an inventory says of meters. `follow` another one; what was marked before stays as it was marked."""

    def __init__(self, timezone: str, inventory: Inventory | None = None) -> None:
        """timezone: of the site, IANA. inventory: None: there is none, and nothing is marked."""
        self._zone = ZoneInfo(timezone)
        self._by_meter: dict[str, list[Instrument]] = {}
        self._states: dict[tuple[str, date], str] = {}
        self.inventory: Inventory | None = None
        self.follow(inventory)

    def follow(self, inventory: Inventory | None) -> None:
        """Mark by this inventory from now on."""
        if inventory is self.inventory:
            return
        by_meter: dict[str, list[Instrument]] = defaultdict(list)
        for instrument in () if inventory is None else inventory.instruments:
            if instrument.meter and instrument.role == "main" and instrument.measurement == "measured":
                by_meter[instrument.meter].append(instrument)
        self.inventory, self._by_meter = inventory, dict(by_meter)
        self._states.clear()

    def instruments(self, meter: str) -> Sequence[Instrument]:
        """Return the main instruments on a meter, whatever the day."""
        return self._by_meter.get(meter, ())

    def day(self, time_ns: int) -> date:
        """Return the day a time lies in, in the site's zone."""
        return datetime.fromtimestamp(time_ns // NS, self._zone).date()

    def of(self, meter: str, time_ns: int) -> str:
        """Return the state of a meter's verification on the day of a time, "" where no instrument is known."""
        if meter not in self._by_meter:
            return ""
        key = meter, self.day(time_ns)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= KEPT_MAX:
                self._states.clear()
            found = self._speaker(*key)
            state = self._states[key] = "" if found is None else found[1]
        return state

    def _speaker(self, meter: str, day: date) -> tuple[Instrument, Validity] | None:
        """Return the instrument that speaks for a meter on a day, and how its verification stands."""
        there = [(one, validity(one, day)) for one in self._by_meter.get(meter, ()) if one.is_installed(day)]
        return min(there, key=lambda pair: WORST_FIRST.index(pair[1]), default=None)

    def about(self, meter: str, time_ns: int) -> dict[str, Any]:
        """Return what the birth of a meter says of its instrument: of `contract.About`, null where nobody knows."""
        day = self.day(time_ns)
        found = self._speaker(meter, day)
        if found is None:
            return {"accuracy_class": None, "verification": None}
        instrument, state = found
        told: dict[str, Any] = {"instrument": instrument.id, "state": state}
        newest = instrument.verification(day)
        if newest is not None:
            told |= {
                "kind": newest.kind,
                "on": newest.on.isoformat(),
                "until": None if newest.last_day is None else newest.last_day.isoformat(),
                "certificate": newest.certificate,
                "body": newest.body,
            }
        return {"accuracy_class": instrument.accuracy_class or None, "verification": told}
