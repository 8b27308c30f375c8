"""The last readings known of a meter's counters before a time: those it gave, and those somebody entered."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.control.sides import Reading, Sides

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.history import History
    from gateway.declared import Declared
    from gateway.interfaces import Clock
    from gateway.journal.journal import Journal

SEARCH_S = 3.0  # for what was entered; further back it is not known


class Lasts:
    """Searches the journal. What another meter showed before a swap says nothing of the one that hangs there now."""

    def __init__(self, journal: Journal, history: History, declared: Declared, clock: Clock) -> None:
        """history: of the events. declared: swaps."""
        self._journal, self._history, self._declared, self._clock = journal, history, declared, clock

    async def before(self, meter: str, units: Mapping[str, str], time_ns: int) -> dict[str, Reading]:
        """Return counter -> its last reading before `time_ns`, where one is near enough to be found. Raises StorageError."""
        await self._journal.flush()
        begin_ns = max(
            (s.effective_ns for s in self._declared.swaps(meter) if s.effective_ns <= time_ns), default=0
        )
        found = await Sides(self._journal, self._clock, meter, units).closing(time_ns)
        for key, one in (await self._entered(meter, units, time_ns)).items():
            if key not in found or found[key].time_ns < one.time_ns:
                found[key] = one
        return {key: one for key, one in found.items() if one.time_ns >= begin_ns}

    async def _entered(self, meter: str, units: Mapping[str, str], time_ns: int) -> dict[str, Reading]:
        """Return counter -> what was entered last before a time. At that very time it is what is being put right."""
        asked = {"subjects": [meter], "kinds": ["manual_reading"], "back": True}
        found: dict[str, Reading] = {}
        end_s, at = self._clock.monotonic() + SEARCH_S, None
        while self._clock.monotonic() < end_s:
            page = await self._history.answer(asked | {"at": at})
            for event in reversed(
                page["events"]
            ):  # the newest first: of two for one time the later one counts
                detail = event["detail"]
                key, read_ns = detail["channel"], detail["time_ns"]
                if key not in units or read_ns >= time_ns or (key in found and found[key].time_ns >= read_ns):
                    continue
                found[key] = Reading(Decimal(detail["reading"]), units[key], read_ns, "manual")
            at = page["at"]
            if page["is_end"]:
                break
        return found
