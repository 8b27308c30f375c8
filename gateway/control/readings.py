"""The verb `reading`: what somebody read off a meter by eye and entered, its own source, with who and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.clock import local
from gateway.config.reports import reported
from gateway.control.requests import BadRequest, decimals, one_of, only, text
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.control.last_readings import Lasts
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog


class Entered:
    """Takes readings entered by hand, of disabled meters too: those may have nothing else."""

    def __init__(self, site: Site, library: Library, events: EventLog, clock: Clock, lasts: Lasts) -> None:
        """Only reported counters may be entered. lasts: what they are held against."""
        self._units = {
            meter.id: {c.key: c.unit for c in reported(meter, library) if c.kind == "counter"}
            for meter in site.meters
        }
        self._zone, self._events, self._clock, self._lasts = site.site.timezone, events, clock, lasts

    async def answer(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Keep readings: {"meter", "readings" (counter -> number), "time_ns" (null: now), "by", "why"}. Raises BadRequest.

        `warnings` of the answer: which of them look wrong, and why. They are kept all the same: it is a person who stood there.
        """
        only(request, "meter", "readings", "time_ns", "by", "why")
        meter = one_of(request, "meter", self._units)
        by, why = text(request, "by"), text(request, "why")
        time_ns = self._time(request)
        found = decimals(request, "readings", self._units[meter])
        if not found or None in found.values():
            raise BadRequest("readings: expected at least one counter with its number")
        warnings = await self._doubts(meter, found, time_ns)
        kept = [
            {
                "channel": key,
                "reading": f"{value:f}",
                "unit": self._units[meter][key],
                "time_ns": time_ns,
                "by": by,
                "why": why,
            }
            for key, value in found.items()
        ]
        durable = True
        for one in kept:
            durable = await self._events.note_for_good("manual_reading", meter, **one)
        return {"meter": meter, "readings": kept, "durable": durable, "warnings": warnings}

    async def _doubts(self, meter: str, found: Mapping[str, Decimal | None], time_ns: int) -> list[str]:
        """Return what is hard to believe of readings, one text each."""
        texts = []
        try:
            lasts, unknown = await self._lasts.before(meter, self._units[meter], time_ns), ""
        except StorageError as error:
            lasts, unknown = {}, f"the last reading could not be looked up ({error})"
        for key, value in found.items():
            last, unit = lasts.get(key), self._units[meter][key]
            if value is not None and value < 0:
                texts.append(f"{key} {value:f} {unit} is negative, which few counters can be")
            if value is not None and last is not None and value < last.exact:
                at = f"{local(last.time_ns, self._zone)}{', by hand' if last.origin == 'manual' else ''}"
                texts.append(
                    f"{key} {value:f} {unit} is less than the last reading known, {last.exact:f} {unit} at {at}"
                )
        return [*texts, unknown] if unknown else texts

    def _time(self, request: Mapping[str, object]) -> int:
        found, now_ns = request.get("time_ns"), self._clock.wall_ns()
        if found is None:
            return now_ns
        if isinstance(found, bool) or not isinstance(found, int) or found <= 0:
            raise BadRequest(f"time_ns: expected nanoseconds since 1970, found {found!r:.80}")
        if found > now_ns:
            raise BadRequest(
                f"time_ns: {local(found, self._zone)} is in the future; a reading is entered once it is read"
            )
        return found
