"""Troubles of a serial line by script: what its stations say is delayed, spoiled, or comes from nowhere."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from simulators.faults import GARBAGE, LATE_S, Fault
from simulators.station import Refuses
from simulators.wire import Sound, Troubles, sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.interfaces import Clock
    from simulators.station import Station
    from simulators.wire import Pace

_NOISE = 3
_OF_LINE = frozenset({"echo", "unplugged", "down", "half_open"})  # not of single answers


class LineTroubles(Troubles):
    """Troubles of one line. faults: their times are since `start`; applied: kind -> how often."""

    def __init__(
        self, clock: Clock, pace: Pace, faults: Iterable[Fault], units: Mapping[str, int], seed: int
    ) -> None:
        """units: meter -> Modbus unit, for faults that name units instead of meters."""
        self.faults = list(faults)
        self.applied: Counter[str] = Counter()
        self._clock = clock
        self._pace = pace
        self._units = dict(units)
        self._rng = Random(seed)
        self._start_s = 0.0

    def start(self) -> None:
        """Begin the script's time."""
        self._start_s = self._clock.monotonic()

    @property
    def now_s(self) -> float:
        """Return seconds since the script began."""
        return self._clock.monotonic() - self._start_s

    def add(self, fault: Fault) -> Fault:
        """Put a fault into force from now on (its times are since the start); return it."""
        self.faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault out of force."""
        self.faults.remove(fault)

    def echoes(self) -> bool:
        """Return whether a fault `echo` is in force."""
        return any(fault.kind == "echo" and fault.lasts(self.now_s) for fault in self.faults)

    def sounds(self, key: str, station: Station, request: bytes) -> Iterable[Sound]:
        """Return what the wire carries when a station has heard a request."""
        reply = station.hear(request)
        if reply is None:
            return ()
        fault = self._fault(key)
        if fault is None:
            return (sound(reply),)
        self.applied[fault.kind] += 1
        if fault.kind == "dead":
            return ()
        if fault.kind == "exception":
            refusal = station.refuse(request, fault.code) if isinstance(station, Refuses) else None
            return () if refusal is None else (sound(refusal),)
        return self._spoilt(fault, request, sound(reply))

    def _fault(self, key: str) -> Fault | None:
        now_s = self.now_s
        for fault in self.faults:
            if fault.kind in _OF_LINE or not fault.lasts(now_s) or not self._names(fault, key):
                continue
            if fault.share >= 1 or self._rng.random() < fault.share:
                return fault
        return None

    def _names(self, fault: Fault, key: str) -> bool:
        if fault.meters:
            return key in fault.meters
        return not fault.units or self._units.get(key) in fault.units

    def _spoilt(self, fault: Fault, request: bytes, said: Sound) -> Iterable[Sound]:
        raw = said.raw
        if fault.kind in {"slow", "late"}:
            more_s = fault.delay_s or (LATE_S if fault.kind == "late" else 0.0)
            return (said._replace(delay_s=said.delay_s + more_s),)
        if fault.kind == "crc":
            raw = raw[:-2] + bytes((raw[-2] ^ 0x55,)) + raw[-1:]
            return (said._replace(raw=raw),)
        if fault.kind == "truncated":
            raw = raw[: fault.size or len(raw) // 2]
            return (Sound(raw, said.delay_s, len(raw)),)
        if fault.kind == "garbage":
            raw = self._rng.randbytes(fault.size or GARBAGE)
            return (Sound(raw, said.delay_s, len(raw)),)
        if fault.kind == "noise":
            before, close, after = (self._rng.randbytes(fault.size or _NOISE) for _ in range(3))
            spoilt = Sound(close + raw + after, said.delay_s, len(close + raw))
            return self._after(Sound(before, 0.0, 0), spoilt)
        assert fault.kind == "foreign", fault.kind
        from simulators.rtu_station import foreign_frame

        foreign = foreign_frame(request, self._rng)
        return self._after(Sound(foreign, 0.0, len(foreign)), said)

    def _after(self, first: Sound, second: Sound) -> tuple[Sound, Sound]:
        """Return two sounds with the lawful silence between them."""
        free_s = max(first.delay_s, self._pace.gap_s) + len(first.raw) * self._pace.char_s + self._pace.gap_s
        return first, second._replace(delay_s=max(second.delay_s, free_s))
