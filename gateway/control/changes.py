"""Changes a person declares: another meter in the place of the old one, another ratio.

Both are evidence and alter no reading: the event keeps the closing and opening readings, exact, each with its time and where
it is from (the journal, a read, typed). Intervals split at the event (counters.md).
"""

from __future__ import annotations

import asyncio
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import structlog

from drivers.profiles.model import UNITS
from drivers.profiles.ratio import REGISTER_EVIDENCE
from gateway.clock import local
from gateway.config.summary import channels
from gateway.control.requests import BadRequest, decimal, decimals, one_of, only, text
from gateway.control.sides import Reading, Sides
from gateway.declared import Ratio, Swap
from gateway.errors import MetergateError, StorageError
from gateway.model import NS
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.declared import Declared
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal
    from gateway.layout import Layout
    from gateway.polling.recorder import Recorder

    ReadMeter = Callable[[str], Awaitable[dict[str, Any]]]

Readings = dict[str, Reading | None]
"""Counter -> its reading; None: a person said that nobody knows it."""
NOW_S = 60.0  # a change of the last minute is one of now: what is read now is the first reading after it
RESET_AGE_S = 86_400.0  # a counter that fell within this time may have been the new meter's
NO_RATIOS = (
    "neither its profile nor its table in the site file has ratios: its readings are taken as the meter gives them. "
    "If the meter leaves a transformer out, it needs a profile with that ratio (`metergate profiles ID` shows them)"
)

log = structlog.get_logger("changes")


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
        declared: Declared,
        zone: str,
    ) -> None:
        """read_meter: an extra read through the link's owner. ratios: meter -> those of the site file.

        counters: meter -> the counters it is read for -> their canonical units. declared: what was declared before. zone: the site's.
        """
        self._recorder, self._events, self._journal = recorder, events, journal
        self._clock, self._read_meter = clock, read_meter
        self._ratios, self._counters = ratios, counters
        self._declared, self._zone = declared, zone
        self._one = asyncio.Lock()  # what is declared is compared with what was declared before
        if declared.problem:
            log.error("what was declared before cannot be read", error=declared.problem)
        for found in declared.disagreements(ratios, ratios, zone):
            log.warning("a recorded ratio is not in force", meter=found.meter, text=found.text)

    def warnings(self) -> list[str]:
        """Return what a person has still to do about declared changes, one text each."""
        in_force = {meter: self._in_force(meter) for meter in self._counters}
        found = [one.text for one in self._declared.disagreements(in_force, self._ratios, self._zone)]
        return [self._declared.problem, *found] if self._declared.problem else found

    async def swap(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that another meter hangs there now, or take the newest swap back; return the event's detail.

        {"meter", "closing", "opening", "effective_ns", "serial", "by", "why"}: closing and opening are channel -> number, or
        null where nobody knows it; what is not named is taken from the journal on either side of the change; the new meter's
        is read now if the change is of now. {"meter", "undo", "by", "why"}: the newest swap was none.
        Raises BadRequest, MetergateError.
        """
        only(request, "meter", "closing", "opening", "effective_ns", "serial", "by", "why", "undo")
        meter = one_of(request, "meter", self._counters)
        async with self._one:
            return await (self._undo if request.get("undo") is True else self._swap)(request, meter)

    async def _swap(self, request: Mapping[str, object], meter: str) -> dict[str, object]:
        effective_ns, is_now = self._effective(request)
        serial, by, why = text(request, "serial", ""), text(request, "by"), text(request, "why", "")
        self._only_later(meter, serial, effective_ns)
        typed_closing = self._typed(request, "closing", meter, effective_ns)
        typed_opening = self._typed(request, "opening", meter, effective_ns)
        await self._journal.flush()
        counters = self._counters[meter].keys()
        if typed_closing.keys() < counters and request.get("effective_ns") is None:
            self._beware_of_a_reset(meter, effective_ns)
        sides = Sides(self._journal, self._clock, meter, self._counters[meter])
        closing: Readings = {**await sides.closing(self._no_later(meter, effective_ns)), **typed_closing}
        opening: Readings = {**await sides.opening(effective_ns), **typed_opening}
        read_error = ""
        if is_now and opening.keys() < counters:
            read, read_error = await self._read_now(meter)
            opening = {**read, **opening}
        self._complete(meter, closing, opening, read_error)
        detail: dict[str, object] = {"serial": serial, "by": by, "why": why}
        detail |= _sides(closing, opening) | {"effective_ns": effective_ns}
        self._recorder.swapped(meter)
        durable = await self._events.note_for_good("meter_swap", meter, **detail)
        self._declared.add_swap(meter, Swap(serial, effective_ns, by, why))
        await self._keep(durable)
        return {"meter": meter} | detail | {"durable": durable}

    def _only_later(self, meter: str, serial: str, effective_ns: int) -> None:
        """Raise BadRequest unless it is another meter than the one recorded last, and later."""
        last = next(reversed(self._declared.swaps(meter)), None)
        if last is None:
            return
        was = f"the swap to {last.serial or 'a meter without a number'} at {local(last.effective_ns, self._zone)} (by {last.by}: {last.why})"
        undo = f"if that one is wrong, take it back first: metergate swap {meter} --undo --why TEXT"
        if serial and serial == last.serial:
            raise BadRequest(f"{meter}: {was} is recorded already; {undo}")
        if effective_ns <= last.effective_ns:
            at = local(effective_ns, self._zone)
            raise BadRequest(f"{meter}: {at} is not after {was}, which is recorded already; {undo}")

    async def _undo(self, request: Mapping[str, object], meter: str) -> dict[str, object]:
        """Record that the newest swap was none; return the event's detail. What is journaled of it stays."""
        only(request, "meter", "undo", "by", "why")
        by, why = text(request, "by"), text(request, "why")
        swaps = self._declared.swaps(meter)
        if not swaps:
            raise BadRequest(f"{meter}: no swap is recorded that could be taken back")
        undone = swaps[-1]
        detail: dict[str, object] = {
            "undoes": {"serial": undone.serial, "effective_ns": undone.effective_ns},
            "serial": swaps[-2].serial if len(swaps) > 1 else "",
            "closing": {},
            "opening": {},
            "effective_ns": undone.effective_ns,
            "by": by,
            "why": why,
        }
        durable = await self._events.note_for_good("meter_swap", meter, **detail)
        self._declared.drop_swap(meter)
        await self._keep(durable)
        return {"meter": meter} | detail | {"durable": durable}

    async def _keep(self, durable: bool) -> None:
        """Put what was declared on disk, once its event is there: without the event it is to be declared again."""
        if not durable:
            return
        try:
            await asyncio.to_thread(self._declared.save)
        except StorageError as error:
            log.error("what was declared is not kept beside the journal", error=str(error))

    async def ratio_change(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that a ratio is another one; return the event's detail and what is still to be done.

        {"meter", "ratio", "before", "after", "closing", "opening", "effective_ns", "by", "why"}: a closing reading not named is the
        journal's last one before the change, else one read now with the ratio in force if the change is of now. An opening
        one is the journal's first that was decoded with the new ratio, where there is one. Raises BadRequest, MetergateError.
        """
        only(request, "meter", "ratio", "before", "after", "closing", "opening", "effective_ns", "by", "why")
        meter = one_of(request, "meter", self._counters)
        async with self._one:
            return await self._ratio_change(request, meter)

    async def _ratio_change(self, request: Mapping[str, object], meter: str) -> dict[str, object]:
        effective_ns, is_now = self._effective(request)
        ratio, before, after, in_force = self._ratio(request, meter, effective_ns)
        by, why = text(request, "by"), text(request, "why", "")
        typed_closing = self._typed(request, "closing", meter, effective_ns)
        typed_opening = self._typed(request, "opening", meter, effective_ns)
        await self._journal.flush()
        old = self._sides(meter, ratio, before, in_force)
        closing: Readings = {**await old.closing(self._no_later(meter, effective_ns)), **typed_closing}
        read_error = ""
        if is_now and closing.keys() < self._counters[meter].keys():
            read, read_error = await self._read_now(meter)
            closing = {**read, **closing}
            times = [one.time_ns for one in closing.values() if one is not None]
            effective_ns = max([effective_ns, *times])
        self._complete(meter, closing, None, read_error)
        opening: Readings = {**await self._sides(meter, ratio, after).opening(effective_ns), **typed_opening}
        detail: dict[str, object] = {"ratio": ratio, "before": f"{before:f}", "after": f"{after:f}"}
        detail |= _sides(closing, opening) | {"effective_ns": effective_ns, "by": by, "why": why}
        durable = await self._events.note_for_good("ratio_change", meter, **detail)
        self._declared.set_ratio(meter, ratio, Ratio(f"{before:f}", f"{after:f}", effective_ns, by, why))
        await self._keep(durable)
        todo = self._todo(meter, ratio, after) if after != in_force else "nothing: it is in force"
        return {"meter": meter} | detail | {"todo": todo, "durable": durable}

    def _todo(self, meter: str, ratio: str, after: Decimal) -> str:
        if ratio in self._ratios.get(meter, {}):
            return f'write ratios.{ratio} = "{after:f}" into the table of meter {meter}, then restart the gateway'
        return (
            f"set {ratio} in meter {meter} itself; it is read again within the hour and at every connection"
        )

    def _in_force(self, meter: str) -> dict[str, str]:
        """Return ratio -> value, as the newest samples were decoded, else as the site file has it."""
        found = dict(self._ratios.get(meter, {}))
        for layout in self._recorder.layouts(meter):
            found |= {name: value for name, value in layout.ratios.items() if _is_ratio(name, value)}
        return found

    def _ratio(
        self, request: Mapping[str, object], meter: str, effective_ns: int
    ) -> tuple[str, Decimal, Decimal, Decimal]:
        """Return the name of a ratio, the one recorded last (else in force), the new one, the one in force. Raises BadRequest."""
        known = self._in_force(meter)
        if not known:
            raise BadRequest(f"{meter} has no ratio: {NO_RATIOS}")
        name = one_of(request, "ratio", known)
        in_force = decimal(known[name], "before")
        last = self._declared.ratios(meter).get(name)
        before = in_force if last is None else decimal(last.after, "before")
        if request.get("before") is not None and decimal(request["before"], "before") != before:
            raise BadRequest(f"before: {name} of {meter} is {before:f} in force, not {request['before']}")
        after = decimal(request.get("after"), "after")
        if after <= 0:
            raise BadRequest(f"after: expected a ratio above 0, found {after:f}")
        if last is None:
            if after == before:
                raise BadRequest(f"{meter}: {name} is {before:f} already; there is no change to record")
            return name, before, after, in_force
        was = f"{name} = {last.after} is recorded already, from {local(last.effective_ns, self._zone)} on (by {last.by}: {last.why})"
        if after == before:
            left = "" if after == in_force else f". Still to be done: {self._todo(meter, name, after)}"
            raise BadRequest(f"{meter}: {was}{left}")
        if effective_ns <= last.effective_ns:
            raise BadRequest(
                f"{meter}: {local(effective_ns, self._zone)} is not after the last change: {was}"
            )
        if in_force not in (before, after):
            raise BadRequest(
                f"{meter}: {was}, but {in_force:f} is in force. Record that first: metergate ratio {meter} {name}={in_force:f} "
                f"--why TEXT, or do what is left: {self._todo(meter, name, before)}"
            )
        return name, before, after, in_force

    def _sides(self, meter: str, ratio: str, *values: Decimal) -> Sides:
        """Return the search for readings that were decoded with one of these ratios."""

        def fits(layout: Layout) -> bool:
            return ratio in layout.ratios and decimal(layout.ratios[ratio], ratio) in values

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
                f"{meter}: a counter fell at {local(reset_ns, self._zone)}; if that was the new meter already, its reading is not the old "
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
        if isinstance(found, bool) or not isinstance(found, int) or found <= 0:
            raise BadRequest(f"effective_ns: expected nanoseconds since 1970, found {found!r:.80}")
        if found > now_ns:
            raise BadRequest(
                f"effective_ns: {local(found, self._zone)} is in the future; a change is recorded once it is made"
            )
        return found, now_ns - found <= NOW_S * NS

    def _typed(self, request: Mapping[str, object], side: str, meter: str, time_ns: int) -> Readings:
        """Return what a person typed, as of the change. Raises BadRequest."""
        units = self._counters[meter]
        return {
            key: None if value is None else Reading(value, units[key], time_ns, "typed")
            for key, value in decimals(request, side, units).items()
        }

    async def _read_now(self, meter: str) -> tuple[dict[str, Reading], str]:
        """Return the counters of an extra read, and why there are none or not all."""
        answer = await self._read_meter(meter)
        if "error" in answer:
            return {}, answer["error"]["text"]
        found = {
            row["key"]: Reading(decimal(row["exact"], row["key"]), row["unit"], row["time_ns"], "read")
            for row in answer["channels"]
            if row["kind"] == "counter" and row["exact"] is not None
        }
        return found, "; ".join(dict.fromkeys(error["text"] for error in answer["errors"]))

    def _complete(self, meter: str, closing: Readings, opening: Readings | None, read_error: str) -> None:
        """Raise MetergateError that names all that is missing. opening: None where it need not be there."""
        sides = [("closing", "before", closing)] + (
            [("opening", "after", opening)] if opening is not None else []
        )
        missing = []
        for side, where, found in sides:
            if gone := ", ".join(sorted(self._counters[meter].keys() - found.keys())):
                missing.append(
                    f"no {side} reading of {gone} is known just {where} the change; type it with --{side} CHANNEL=VALUE"
                )
        if missing:
            read = f" (the meter could not be read now: {read_error})" if read_error else ""
            unknown = "each counter is needed; one that nobody knows is typed as CHANNEL=unknown"
            raise MetergateError(f"{meter}: {'; '.join(missing)}{read}; {unknown}")


def _is_ratio(name: str, value: str) -> bool:
    """Return whether a layout's entry is a ratio, and not a unit the meter told or the register a ratio is from."""
    if name.startswith(UNITS) or name.endswith(REGISTER_EVIDENCE):
        return False
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False


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
    """Return both sides of a change as plain JSON values; null: nobody knows it."""
    return {
        name: {key: reading and reading.to_json() for key, reading in sorted(side.items())}
        for name, side in (("closing", closing), ("opening", opening))
    }
