"""Doubts about values, written into flags; a value is never altered and never dropped.

RANGE: outside the channel's plausible limits. ROLLBACK: a counter fell and its modulus does not explain it.
JUMP: a counter rose by more than its declared `rate_max` allows, and by more than one count. STUCK: it stands still
while its meter's own gauge says it should move. What happened to a counter is a finding as well, with the exact
readings on both sides of it; exact arithmetic is done only then.
"""

from __future__ import annotations

import math
from decimal import Decimal
from operator import le
from typing import TYPE_CHECKING, NamedTuple

from gateway import wire
from gateway.counters import delta
from gateway.model import ABSENT, NS, Flag
from gateway.stuck import watches

if TYPE_CHECKING:
    from array import array

    from gateway.layout import Layout, Slot

_WIDEST = math.inf
_FLOAT_STEP = 2.0**-22  # one step of a float32 against its value
_F32_STEPS = (
    2.0**24
)  # from here on a float32 cannot hold every whole number (IEEE 754: 24 bits of significand)
_ABSENT, _RANGE, _ROLLBACK, _JUMP = int(ABSENT), int(Flag.RANGE), int(Flag.ROLLBACK), int(Flag.JUMP)
_STUCK, _SENTINEL = int(Flag.STUCK), int(Flag.SENTINEL)


class Finding(NamedTuple):
    """What happened to the counter `channel` (index): an event's kind and detail (docs/specs/journal.md)."""

    kind: str
    channel: int
    detail: dict[str, object]


class _Kept(NamedTuple):
    """The last good reading of a counter that has no value just now."""

    value: float
    time_ns: int
    raw: bytes
    is_sentinel: bool


class Checker:
    """The checks of one layout; remembers the last reading of each counter.

    findings: what happened since its owner emptied the list.
    """

    def __init__(self, layout: Layout) -> None:
        """layout: gives limits, kinds, moduli and rates."""
        channels = layout.channels
        self._layout = layout
        self._lows = [-_WIDEST if c.low is None else c.low for c in channels]
        self._highs = [_WIDEST if c.high is None else c.high for c in channels]
        self._counters = [i for i, c in enumerate(channels) if c.kind == "counter"]
        self._rates = [c.rate_max for c in channels]
        self._moduli = [None if c.modulus is None else Decimal(c.modulus) for c in channels]
        self._counts = [_count(slot) for slot in layout.slots]
        self._watches = watches(layout, self._counts.__getitem__)
        self._coarse = {i: limit for i in self._counters if (limit := _coarse_from(layout.slots[i]))}
        self.findings: list[Finding] = []
        self.swapped()

    def swapped(self) -> None:
        """Forget every reading: what comes next is another device's."""
        count = len(self._layout.channels)
        self._last = [math.nan] * count
        self._last_ns = [0] * count  # 0: unknown
        self._raw = (
            b""  # of the sample before; it holds the last reading of each counter that is not in `_kept`
        )
        self._kept: dict[int, _Kept] = {}
        self.reset_ns = 0  # when a counter was last found reset, 0: never
        for watch in self._watches:
            watch.forget()

    def check(self, time_ns: int, values: array[float], flags: array[int], raw: bytes = b"") -> None:
        """Add flags to the doubtful ones of `values`, read at `time_ns` as the bytes `raw`."""
        # NaN compares false, so an absent value takes the slow way, and finds its flag there.
        if not (all(map(le, self._lows, values)) and all(map(le, values, self._highs))):
            self._range(values, flags)
        lasts, times, rates = self._last, self._last_ns, self._rates
        for i in self._counters:
            value = values[i]
            rise = value - lasts[i]
            if rise == 0.0:
                times[i] = time_ns
            elif rise > 0.0 and rates[i] is None:
                lasts[i] = value
                times[i] = time_ns
            else:
                self._counter(i, time_ns, value, flags, raw)
        if self._watches:
            self._stuck(time_ns, values, flags, raw)
        for i, limit in self._coarse.items():
            if values[i] >= limit:
                self._coarser(i, time_ns, values[i], raw)
                break  # the table has changed; the others come with the next sample
        self._raw = raw

    def clock_stepped(self) -> None:
        """Forget when the counters were read: across a step of the clock no rate is known."""
        self._last_ns = [0] * len(self._last_ns)
        self._kept = {i: kept._replace(time_ns=0) for i, kept in self._kept.items()}
        for watch in self._watches:
            watch.forget()

    def readings(self) -> dict[str, tuple[Decimal, int]]:
        """Return counter -> (last good reading, exact; its time, 0 if the clock has stepped since)."""
        found = {}
        for i in self._counters:
            kept = self._kept.get(i)
            raw, value, time_ns = (
                (self._raw, self._last[i], self._last_ns[i])
                if kept is None
                else (kept.raw, kept.value, kept.time_ns)
            )
            exact = self._exact(i, value, raw)
            if exact is not None:
                found[self._layout.channels[i].key] = exact, time_ns
        return found

    def _range(self, values: array[float], flags: array[int]) -> None:
        for i, (value, low, high) in enumerate(zip(values, self._lows, self._highs, strict=True)):
            if not low <= value <= high and not flags[i] & _ABSENT:
                flags[i] |= _RANGE

    def _counter(self, i: int, time_ns: int, value: float, flags: array[int], raw: bytes) -> None:
        """Look at a counter that fell, jumped, has a rate to watch, or has no value now or had none before."""
        if flags[i] & _ABSENT or math.isnan(value):
            self._absent(i, time_ns, flags)
            return
        kept = self._kept.pop(i, None)
        if kept is None:
            kept = _Kept(self._last[i], self._last_ns[i], self._raw, is_sentinel=False)
        self._last[i], self._last_ns[i] = value, time_ns
        if kept.is_sentinel:
            self._find("counter_sentinel", i, kept, (value, time_ns, raw))
        if math.isnan(kept.value):
            return
        rise = value - kept.value
        if rise < 0:
            closing, opening = self._exact(i, kept.value, kept.raw), self._exact(i, value, raw)
            change = delta(closing, opening, self._moduli[i])
            if change.amount is None:
                flags[i] |= _ROLLBACK
                self.reset_ns = time_ns
                self._find("counter_reset", i, kept, (value, time_ns, raw))
                return
            rise = float(change.amount)
            if change.kind == "rollover":
                self._find("counter_rollover", i, kept, (value, time_ns, raw))
        rate_max = self._rates[i]
        if rate_max is None or not kept.time_ns:
            return
        count = self._counts[i] or abs(value) * _FLOAT_STEP
        if rise > rate_max * max(time_ns - kept.time_ns, 0) / NS + count * 1.5:
            flags[i] |= _JUMP
            self._find("counter_jump", i, kept, (value, time_ns, raw))

    def _absent(self, i: int, time_ns: int, flags: array[int]) -> None:
        """Keep the last good reading of a counter that has no value; tell that it shows its mark for none."""
        kept = self._kept.get(i)
        if kept is None:
            kept = _Kept(self._last[i], self._last_ns[i], self._raw, is_sentinel=False)
            self._last[i] = math.nan  # so that its next value takes the slow way
        if flags[i] & _SENTINEL and not kept.is_sentinel:
            kept = kept._replace(is_sentinel=True)
            self._find("counter_sentinel", i, kept, (math.nan, time_ns, b""))
        self._kept[i] = kept

    def _find(self, kind: str, i: int, closing: _Kept, opening: tuple[float, int, bytes]) -> None:
        """Note what happened between two readings."""
        value, time_ns, raw = opening
        modulus = self._moduli[i]
        self.findings.append(
            Finding(
                kind,
                i,
                {
                    "closing": _text(self._exact(i, closing.value, closing.raw)),
                    "opening": _text(self._exact(i, value, raw)),
                    "closing_ns": closing.time_ns or None,
                    "opening_ns": time_ns,
                    "modulus": _text(modulus),
                },
            )
        )

    def _stuck(self, time_ns: int, values: array[float], flags: array[int], raw: bytes) -> None:
        for watch in self._watches:
            i = watch.counter
            if watch.see(time_ns, values, flags):
                kind = "counter_stuck" if watch.stuck else "counter_moves"
                reading = _text(self._exact(i, values[i], raw))
                self.findings.append(Finding(kind, i, {"reading": reading, "since_ns": watch.since_ns}))
            if watch.stuck and not flags[i] & _ABSENT:
                flags[i] |= _STUCK

    def _coarser(self, i: int, time_ns: int, value: float, raw: bytes) -> None:
        """Tell once for each doubling that a float32 total moves in steps above its register's unit."""
        limit = self._coarse[i]
        limit *= 2.0 ** math.frexp(value / limit)[1]  # the exponent is 1 at the limit itself
        self._coarse[i] = limit
        step = Decimal(repr(limit / _F32_STEPS))
        reading = _text(self._exact(i, value, raw))
        detail: dict[str, object] = {"reading": reading, "step": _text(step), "since_ns": time_ns}
        self.findings.append(Finding("counter_resolution", i, detail))

    def _exact(self, i: int, value: float, raw: bytes) -> Decimal | None:
        """Return a reading as an exact decimal; None where there is none."""
        if math.isnan(value):
            return None
        return self._layout.exact(raw, i) if raw else Decimal(repr(value))


def _text(number: Decimal | None) -> str | None:
    """Return an exact decimal as text without an exponent."""
    return None if number is None else f"{number:f}"


def _count(slot: Slot) -> float:
    """Return the smallest rise an integer register can show (a coarse counter ticks in whole counts); 0 for floats."""
    kind = slot.parts[0].type
    if kind == "ua" or wire.TYPES[kind].code in {"f", "d"}:
        return 0.0
    return abs(float(slot.coefficient)) * min(float(part.factor) for part in slot.parts)


def _coarse_from(slot: Slot) -> float:
    """Return the total from which a float32 register moves in steps of more than its own unit; 0 for other types."""
    if len(slot.parts) != 1 or slot.parts[0].type != "f32" or slot.transform:
        return 0.0
    return _F32_STEPS * abs(float(slot.coefficient))
