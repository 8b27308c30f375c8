"""Changes a person declares: another meter in the place of the old one, another ratio.

Both are evidence and alter no reading: the event keeps the closing and opening readings, exact, and is in the journal
before the answer. What was typed, because the old meter is dead, is named. Intervals split at the event (counters.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.summary import channels
from gateway.errors import MetergateError
from gateway.quantity import QUANTITIES
from gateway.requests import BadRequest, decimal, decimals, one_of, only, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from decimal import Decimal

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.interfaces import Clock
    from gateway.recorder import Recorder

    ReadMeter = Callable[[str], Awaitable[dict[str, Any]]]

Readings = dict[str, "tuple[Decimal, int]"]


class Changes:
    """The verbs `swap`, `ratio_change` and `commissioned` of a running gateway."""

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        read_meter: ReadMeter,
        ratios: Mapping[str, Mapping[str, str]],
        counters: Mapping[str, frozenset[str]],
    ) -> None:
        """read_meter: an extra read through the link's owner. ratios: meter -> those of the site file.

        counters: meter -> the counters it is read for.
        """
        self._recorder, self._clock, self._read_meter = recorder, clock, read_meter
        self._ratios, self._counters = ratios, counters

    async def swap(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that another meter hangs there now; return the event's detail.

        {"meter", "closing", "opening", "effective_ns", "serial", "by", "why"}: closing and opening are channel ->
        number, or null: the last good reading of the old meter, and one read of the new one now. Raises BadRequest,
        MetergateError.
        """
        only(request, "meter", "closing", "opening", "effective_ns", "serial", "by", "why")
        meter = one_of(request, "meter", self._counters)
        known = self._counters[meter]
        effective_ns = self._effective_ns(request)
        detail: dict[str, object] = {"serial": text(request, "serial", "")}
        detail |= {"by": text(request, "by"), "why": text(request, "why", "")}
        typed_closing = decimals(request, "closing", known)
        typed_opening = decimals(request, "opening", known)
        closing = self._typed(typed_closing, effective_ns)
        if typed_closing is None:
            closing = self._recorder.closing(meter, effective_ns)
            self._complete(meter, closing, "closing", 'read it off the old meter and send it as "closing"')
        opening = self._typed(typed_opening, effective_ns)
        if typed_opening is None:
            opening = await self._read_now(meter)
            self._complete(meter, opening, "opening", 'is the new meter on? Or send its display as "opening"')
        typed = [f"closing.{key}" for key in typed_closing or ()]
        typed += [f"opening.{key}" for key in typed_opening or ()]
        detail |= _sides(closing, opening) | {"typed": typed, "effective_ns": effective_ns}
        self._recorder.swapped(meter)
        await self._recorder.event_for_good("meter_swap", meter, **detail)
        return {"meter": meter} | detail

    async def ratio_change(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that a ratio is another from now on; return the event's detail and what is still to be done.

        {"meter", "ratio", "before", "after", "opening", "effective_ns", "by", "why"}: the closing reading is read now,
        with the ratio in force; the opening one is what the display shows times the new ratio, if somebody noted it.
        Raises BadRequest, MetergateError.
        """
        only(request, "meter", "ratio", "before", "after", "opening", "effective_ns", "by", "why")
        meter = one_of(request, "meter", self._counters)
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
        opening = self._typed(decimals(request, "opening", self._counters[meter]), 0)
        closing = await self._read_now(meter)
        self._complete(meter, closing, "closing", "the meter must answer while its ratio is changed")
        effective_ns = self._effective_ns(request)
        detail: dict[str, object] = {"ratio": ratio, "before": f"{before:f}", "after": f"{after:f}"}
        detail |= _sides(closing, opening) | {"effective_ns": effective_ns}
        detail |= {"by": text(request, "by"), "why": text(request, "why", "")}
        await self._recorder.event_for_good("ratio_change", meter, **detail)
        if ratio in self._ratios.get(meter, {}):
            todo = f'write ratios.{ratio} = "{after:f}" into the table of meter {meter}, then restart the gateway'
        else:
            todo = f"set {ratio} in meter {meter} itself; it is read again within the hour and at every connection"
        return {"meter": meter} | detail | {"todo": todo}

    async def commissioned(self, request: Mapping[str, object]) -> dict[str, object]:
        """Record that a meter was compared on site: {"meter", "record", "passed", "by"}. Raises BadRequest."""
        only(request, "meter", "record", "passed", "by")
        meter = one_of(request, "meter", self._counters)
        detail: dict[str, object] = {
            "record": text(request, "record"),
            "passed": request.get("passed") is True,
        }
        detail["by"] = text(request, "by", "")
        await self._recorder.event_for_good("commissioned", meter, **detail)
        return {"meter": meter} | detail

    def _effective_ns(self, request: Mapping[str, object]) -> int:
        found = request.get("effective_ns")
        now_ns = self._clock.wall_ns()
        if found is None:
            return now_ns
        if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= now_ns:
            raise BadRequest(f"effective_ns: expected a time that is not in the future, found {found!r:.80}")
        return found

    @staticmethod
    def _typed(found: Mapping[str, Decimal] | None, time_ns: int) -> Readings:
        return {key: (value, time_ns) for key, value in (found or {}).items()}

    async def _read_now(self, meter: str) -> Readings:
        answer = await self._read_meter(meter)
        if "error" in answer:
            raise MetergateError(answer["error"]["text"])
        return {
            row["key"]: (decimal(row["exact"], row["key"]), row["time_ns"])
            for row in answer["channels"]
            if row["kind"] == "counter" and row["exact"] is not None
        }

    def _complete(self, meter: str, found: Readings, what: str, hint: str) -> None:
        missing = ", ".join(sorted(self._counters[meter] - found.keys()))
        if missing:
            raise MetergateError(f"{meter}: no {what} reading of {missing} is known; {hint}")


def counters_of(site: Site, library: Library) -> dict[str, frozenset[str]]:
    """Return meter -> the counters it is read for, of every enabled meter."""
    return {meter.id: _counters(meter, library) for meter in site.meters if meter.enabled}


def _counters(meter: MeterConfig, library: Library) -> frozenset[str]:
    if meter.variables:
        quantities = {key: variable.quantity for key, variable in meter.variables.items()}
    else:
        profile = library.get(meter.profile)
        keys = channels(meter, library)
        quantities = {key: profile.channel(key, meter.variant).quantity for key in keys}
    return frozenset(key for key, name in quantities.items() if QUANTITIES[name].kind == "counter")


def _sides(closing: Readings, opening: Readings) -> dict[str, object]:
    """Return both sides of a change as plain JSON values."""
    return {
        "closing": {key: f"{value:f}" for key, (value, _) in closing.items()},
        "opening": {key: f"{value:f}" for key, (value, _) in opening.items()},
        "closing_ns": min((time_ns for _, time_ns in closing.values()), default=None),
        "opening_ns": max((time_ns for _, time_ns in opening.values()), default=None),
    }
