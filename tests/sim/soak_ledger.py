"""What every poll of a long run showed and who got it, checked as it arrives, in memory that does not grow.

A soak measures memory, so its own bookkeeping must stand still: for each meter and poll one byte a sink, its time and
its epoch, all allocated beforehand. What a meter shows follows from the number of its poll, and channel 0 is that
number; so a frame says by itself which poll it is, and every value can be checked without having been kept.
"""

from __future__ import annotations

import math
import struct
from array import array
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from tests.sim.site import CT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Frame

COUNTER_FACTOR = 0.1
PHASES = 509  # a gauge repeats after so many polls; a prime, so meters and channels drift apart
_COUNTS = 2**32
_EXACT_MAX = 2**24  # whole numbers a float32 holds exactly


class MeterLedger:
    """One meter. polls: answered so far; wall_ns, identity, seen: by number of the poll, `seen` for each sink."""

    def __init__(self, meter: str, channels: int, polls_max: int, sinks: int) -> None:
        """polls_max: how many polls there is room for."""
        assert polls_max < _EXACT_MAX
        self.polls = 0
        self.wall_ns = array("q", bytes(8 * polls_max))
        self.time_ns = array("q", bytes(8 * polls_max))
        self.epochs = array("H", bytes(2 * polls_max))
        self.seen = [bytearray(polls_max) for _ in range(sinks)]
        self.newest = [[-1, -1] for _ in range(sinks)]  # newest poll each sink got live, and as backfill
        rng = Random(meter)
        self._pack = struct.Struct(f">{channels}I").pack
        self._scales = [_scale(i) for i in range(channels)]
        self._counters = [
            (i, rng.randrange(_COUNTS - 300_000, _COUNTS) if i % 2 else rng.randrange(100_000), 1 + i)
            for i in range(2, channels, 3)
        ]
        levels = [rng.uniform(10, 1000) for _ in range(channels)]
        self._phases = [
            [level * (1 + 0.2 * math.sin(phase * 0.1 + i)) for i, level in enumerate(levels)]
            for phase in range(PHASES)
        ]
        self._words = [[_word(value, i) for i, value in enumerate(row)] for row in self._phases]
        self._phases = [[_float(value) * s for value, s in zip(row, self._scales, strict=True)]
                        for row in self._phases]  # fmt: skip

    def show(self, wall_ns: int) -> bytes:
        """Return the registers of the next poll, answered at `wall_ns`."""
        n = self.polls
        self.polls += 1
        self.wall_ns[n] = wall_ns
        words = self._words[n % PHASES][:]
        words[0] = _word(float(n), 0)
        for i, start, step in self._counters:
            words[i] = (start + n * step) % _COUNTS
        return self._pack(*words)

    def values(self, n: int) -> list[float]:
        """Return what the meter showed at its poll `n`, canonical units."""
        values = self._phases[n % PHASES][:]
        values[0] = n * self._scales[0]
        for i, start, step in self._counters:
            values[i] = (start + n * step) % _COUNTS * self._scales[i]
        return values

    def arrived(self, sink: int, frame: Frame, *, backfill: bool) -> None:
        """Take note of a frame a sink keeps. Raises AssertionError unless it is true, itself and in order."""
        told = frame.values.tolist()
        n = round(told[0] / self._scales[0])
        assert 0 <= n < self.polls, f"{frame.layout.meter}: a poll that never was: {told[0]}"
        shown = self.values(n)
        if told != shown:
            pairs = zip(told, shown, strict=True)
            assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in pairs), (
                frame.layout.meter,
                n,
                told,
                shown,
            )
        if self.time_ns[n]:
            here = self.epochs[n], self.time_ns[n]
            assert here == (frame.epoch, frame.time_ns), (frame.layout.meter, n)
        self.epochs[n], self.time_ns[n] = frame.epoch, frame.time_ns
        seen = self.seen[sink]
        if not seen[n]:
            newest = self.newest[sink]
            assert n > newest[backfill], f"{frame.layout.meter}: poll {n} after {newest[backfill]}"
            newest[backfill] = n
        seen[n] = min(seen[n] + 1, 255)

    def missing(self, sink: int) -> int:
        """Return how many polls never reached a sink."""
        return self.seen[sink].count(0, 0, self.polls)

    def moved(self) -> int:
        """Return how many polls have another time than the one they were answered at."""
        pairs = zip(self.time_ns[: self.polls], self.wall_ns[: self.polls], strict=True)
        return sum(told not in (0, shown) for told, shown in pairs)

    def rising(self) -> bool:
        """Return whether (epoch, time) of what arrived anywhere rises strictly from poll to poll."""
        known = [(e, t) for e, t in zip(self.epochs[: self.polls], self.time_ns, strict=False) if t]
        return all(a < b for a, b in pairwise(known))


class Ledger:
    """All meters of a run. sinks: their names; the number of one is its place."""

    def __init__(self, meters: Sequence[str], channels: int, polls_max: int, sinks: Sequence[str]) -> None:
        """polls_max: of one meter."""
        self.sinks = list(sinks)
        self.meters = {id_: MeterLedger(id_, channels, polls_max, len(self.sinks)) for id_ in meters}

    @property
    def polls(self) -> int:
        """Return how many polls were answered."""
        return sum(meter.polls for meter in self.meters.values())

    def missing(self, sink: str) -> int:
        """Return how many answered polls never reached a sink."""
        place = self.sinks.index(sink)
        return sum(meter.missing(place) for meter in self.meters.values())


def _scale(i: int) -> float:
    """Return raw count -> canonical unit of channel `i` of the fake profile (tests/sim/site.py)."""
    if i % 3 == 2:
        return COUNTER_FACTOR * CT
    return (1000.0 if i % 4 == 3 else 1.0) * CT


def _word(value: float, i: int) -> int:
    """Return a float32 as two registers; every odd channel has them swapped."""
    (word,) = struct.unpack(">I", struct.pack(">f", value))
    return (word >> 16 | word << 16) & 0xFFFFFFFF if i % 2 else int(word)


def _float(value: float) -> float:
    """Return a value as a float32 holds it."""
    (rounded,) = struct.unpack(">f", struct.pack(">f", value))
    return float(rounded)
