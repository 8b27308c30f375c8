"""Changes a person declares: another meter in the place of the old one, another ratio.

Both are evidence and alter no reading: the event keeps the closing and opening readings, exact, each with its time and where
it is from (the journal, a read, typed). Intervals split at the event (counters.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.clock import iso
from gateway.config.summary import channels
from gateway.control.requests import BadRequest, decimal, decimals, one_of, only, text
from gateway.control.sides import Reading, Sides
from gateway.errors import MetergateError
from gateway.model import NS
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from decimal import Decimal

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal
    from gateway.layout import Layout
    from gateway.polling.recorder import Recorder

    ReadMeter = Callable[[str], Awaitable[dict[str, Any]]]

Readings = dict[str, Reading]
NOW_S = 60.0  # a change of the last minute is one of now: what is read now is the first reading after it
RESET_AGE_S = 86_400.0  # a counter that fell within this time may have been the new meter's


class Changes:
    """The verbs `swap`, `ratio_change` and `commissioned` of a running gateway."""

    def __init__(
        self,
        recorder: Recorder,
        events: EventLog,
        journal: Journal,
        clock: Clock,
        read_meter: ReadMeter,
        ratios: Mapping[str, Mapping[str, str]],
        counters: Mapping[str, Mapping[str, str]],
    ) -> None:
        """read_meter: an extra read through the link's owner. ratios: meter -> those of the site file.

        counters: meter -> the counters it is read for -> their canonical units.
        """
        self._recorder, self._events, self._journal = recorder, events, journal
        self._clock, self._read_meter = clock, read_meter
        self._ratios, self._counters = ratios, counters

    async def swap(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that another meter hangs there now; return the event's detail.

        {"meter", "closing", "opening", "effective_ns", "serial", "by", "why"}: closing and opening are channel -> number,
        or null: those of the journal on either side of the change; the new meter's is read now if the change is of now.
        Raises BadRequest, MetergateError.
        """
        only(request, "meter", "closing", "opening", "effective_ns", "serial", "by", "why")
        meter = one_of(request, "meter", self._counters)
        effective_ns, is_now = self._effective(request)
        detail: dict[str, object] = {"serial": text(request, "serial", "")}
        detail |= {"by": text(request, "by"), "why": text(request, "why", "")}
        typed_closing = self._typed(request, "closing", meter, effective_ns)
        typed_opening = self._typed(request, "opening", meter, effective_ns)
        await self._journal.flush()
        if not typed_closing and request.get("effective_ns") is None:
            self._beware_of_a_reset(meter, effective_ns)
        sides = Sides(self._journal, self._clock, meter, self._counters[meter])
        closing = await sides.closing(self._no_later(meter, effective_ns)) | typed_closing
        if not typed_closing:
            self._complete(meter, closing, "closing")
        opening = await sides.opening(effective_ns) | typed_opening
        if not typed_opening and is_now and opening.keys() < self._counters[meter].keys():
            opening = await self._read_now(meter) | opening
        if not typed_opening:
            self._complete(meter, opening, "opening")
        detail |= _sides(closing, opening) | {"effective_ns": effective_ns}
        self._recorder.swapped(meter)
        durable = await self._events.note_for_good("meter_swap", meter, **detail)
        return {"meter": meter} | detail | {"durable": durable}

    async def ratio_change(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that a ratio is another one; return the event's detail and what is still to be done.

        {"meter", "ratio", "before", "after", "closing", "opening", "effective_ns", "by", "why"}: null closing: the journal's
        last reading before the change, else one read now with the ratio in force if the change is of now. Null opening: the
        journal's first one that was decoded with the new ratio, where there is one. Raises BadRequest, MetergateError.
        """
        only(request, "meter", "ratio", "before", "after", "closing", "opening", "effective_ns", "by", "why")
        meter = one_of(request, "meter", self._counters)
        ratio, before, after = self._ratio(request, meter)
        effective_ns, is_now = self._effective(request)
        detail: dict[str, object] = {"ratio": ratio, "before": f"{before:f}", "after": f"{after:f}"}
        who: dict[str, object] = {"by": text(request, "by"), "why": text(request, "why", "")}
        typed_closing = self._typed(request, "closing", meter, effective_ns)
        typed_opening = self._typed(request, "opening", meter, effective_ns)
        await self._journal.flush()
        old = self._sides(meter, ratio, before)
        closing = await old.closing(self._no_later(meter, effective_ns)) | typed_closing
        if not typed_closing:
            if is_now and closing.keys() < self._counters[meter].keys():
                closing = await self._read_now(meter) | closing
                effective_ns = max([effective_ns, *(one.time_ns for one in closing.values())])
            self._complete(meter, closing, "closing")
        opening = await self._sides(meter, ratio, after).opening(effective_ns) | typed_opening
        detail |= _sides(closing, opening) | {"effective_ns": effective_ns} | who
        durable = await self._events.note_for_good("ratio_change", meter, **detail)
        if ratio in self._ratios.get(meter, {}):
            todo = f'write ratios.{ratio} = "{after:f}" into the table of meter {meter}, then restart the gateway'
        else:
            todo = f"set {ratio} in meter {meter} itself; it is read again within the hour and at every connection"
        return {"meter": meter} | detail | {"todo": todo, "durable": durable}

    def _ratio(self, request: Mapping[str, object], meter: str) -> tuple[str, Decimal, Decimal]:
        """Return the name of a ratio, the one in force and the new one. Raises BadRequest."""
        in_force: dict[str, str] = dict(self._ratios.get(meter, {}))
        for layout in self._recorder.layouts(meter):
            in_force |= layout.ratios
        ratio = one_of(request, "ratio", in_force)
        before = decimal(in_force[ratio], "before")
        if request.get("before") is not None and decimal(request["before"], "before") != before:
            raise BadRequest(f"before: {ratio} of {meter} is {before:f} in force, not {request['before']}")
        after = decimal(request.get("after"), "after")
        if after <= 0 or after == before:
            raise BadRequest(f"after: expected a ratio above 0 other than {before:f}")
        return ratio, before, after

    def _sides(self, meter: str, ratio: str, value: Decimal) -> Sides:
        """Return the search for readings that were decoded with this ratio."""

        def fits(layout: Layout) -> bool:
            return ratio in layout.ratios and decimal(layout.ratios[ratio], ratio) == value

        return Sides(self._journal, self._clock, meter, self._counters[meter], fits)

    def _no_later(self, meter: str, effective_ns: int) -> int:
        """Return the time to search back from: a meter that has long been silent has its last reading there."""
        newest_ns = self._recorder.newest_ns(meter)
        return effective_ns if newest_ns is None else min(effective_ns, newest_ns)

    def _beware_of_a_reset(self, meter: str, now_ns: int) -> None:
        """Raise MetergateError if what was journaled last may be the new meter's: it would be taken for the old one's."""
        reset_ns = self._recorder.reset_ns(meter)
        if reset_ns and now_ns - reset_ns < RESET_AGE_S * NS:
            raise MetergateError(
                f"{meter}: a counter fell at {iso(reset_ns)}; if that was the new meter already, its reading is not the old "
                "one's last: say --at with the time of the exchange, or type --closing"
            )

    async def commissioned(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that a meter was compared on site: {"meter", "record", "passed", "by"}. Raises BadRequest."""
        only(request, "meter", "record", "passed", "by")
        meter = one_of(request, "meter", self._counters)
        detail: dict[str, object] = {
            "record": text(request, "record"),
            "passed": request.get("passed") is True,
        }
        detail["by"] = text(request, "by", "")
        durable = await self._events.note_for_good("commissioned", meter, **detail)
        return {"meter": meter} | detail | {"durable": durable}

    def _effective(self, request: Mapping[str, object]) -> tuple[int, bool]:
        """Return when it took effect, and whether that is now. Raises BadRequest."""
        found = request.get("effective_ns")
        now_ns = self._clock.wall_ns()
        if found is None:
            return now_ns, True
        if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= now_ns:
            raise BadRequest(f"effective_ns: expected a time that is not in the future, found {found!r:.80}")
        return found, now_ns - found <= NOW_S * NS

    def _typed(self, request: Mapping[str, object], side: str, meter: str, time_ns: int) -> Readings:
        """Return what a person typed, as of the change. Raises BadRequest."""
        units = self._counters[meter]
        found = decimals(request, side, units) or {}
        return {key: Reading(value, units[key], time_ns, "typed") for key, value in found.items()}

    async def _read_now(self, meter: str) -> Readings:
        answer = await self._read_meter(meter)
        if "error" in answer:
            raise MetergateError(answer["error"]["text"])
        return {
            row["key"]: Reading(decimal(row["exact"], row["key"]), row["unit"], row["time_ns"], "read")
            for row in answer["channels"]
            if row["kind"] == "counter" and row["exact"] is not None
        }

    def _complete(self, meter: str, found: Readings, side: str) -> None:
        missing = ", ".join(sorted(self._counters[meter].keys() - found.keys()))
        if missing:
            where = "before" if side == "closing" else "after"
            raise MetergateError(
                f"{meter}: no {side} reading of {missing} is known just {where} the change; type it with --{side}"
            )


def counters_of(site: Site, library: Library) -> dict[str, dict[str, str]]:
    """Return meter -> the counters it is read for -> their canonical units, of every enabled meter."""
    return {meter.id: _counters(meter, library) for meter in site.meters if meter.enabled}


def _counters(meter: MeterConfig, library: Library) -> dict[str, str]:
    if meter.variables:
        quantities = {key: variable.quantity for key, variable in meter.variables.items()}
    else:
        profile = library.get(meter.profile)
        keys = channels(meter, library)
        quantities = {key: profile.channel(key, meter.variant).quantity for key in keys}
    known = {key: QUANTITIES[name] for key, name in quantities.items()}
    return {key: quantity.unit for key, quantity in known.items() if quantity.kind == "counter"}


def _sides(closing: Readings, opening: Readings) -> dict[str, object]:
    """Return both sides of a change as plain JSON values."""
    return {
        "closing": {key: reading.to_json() for key, reading in sorted(closing.items())},
        "opening": {key: reading.to_json() for key, reading in sorted(opening.items())},
    }
