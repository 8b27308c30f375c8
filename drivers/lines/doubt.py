"""Which requests on a line may still be answered late, and what may therefore not be asked or believed. Pure.

A line has no transaction ids. What makes a late answer harmless:

1. A request is not sent to a meter while one that was given up may still be answered with a frame that looks the same
   (equal `LineAsk.signature`).
2. So an answer of values that comes fits exactly one request: the present one, or one that was given up.
3. A meter answers in order. Its answer of values to a later request says that no earlier one will be answered any more.
4. A refusal shows no signature: it may belong to any of several requests, and a converter may refuse on a meter's behalf
   that answers afterwards. While another request of its meter could be meant, it is not believed. It ends a doubt only if
   none but the meter can have given it, and it can only mean the present request.
5. Nothing comes later than `late_max` after it was given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable

    from drivers.lines.contract import Found, LineAsk

OPEN_MAX = 32
"""Requests of one meter in doubt; further ones are not sent (a reader asks a handful of different ones)."""


class _Open(NamedTuple):
    """A request given up; its answer may come until then."""

    ask: LineAsk
    until_s: float


class Doubts:
    """The doubts of one line. Times are monotonic seconds."""

    def __init__(self, late_max_s: float) -> None:
        """late_max_s: how late an answer may come after it was given up."""
        self._late_max_s = late_max_s
        self._open: dict[Hashable, list[_Open]] = {}  # meter -> oldest first

    def rest_s(self, ask: LineAsk, now_s: float) -> float:
        """Return for how long this may not be asked, 0 if it may."""
        doubts = self._of(ask.meter, now_s)
        if len(doubts) >= OPEN_MAX:
            return doubts[0].until_s - now_s
        alike = [one.until_s for one in doubts if one.ask.signature == ask.signature]
        return max(alike) - now_s if alike else 0.0

    def give_up(self, ask: LineAsk, now_s: float) -> None:
        """Doubt a request that was sent and is not waited for any longer."""
        if self._late_max_s > 0:
            self._open.setdefault(ask.meter, []).append(_Open(ask, now_s + self._late_max_s))

    def believe(self, ask: LineAsk, found: Found, frame: bytes, now_s: float) -> bool:
        """Return whether `frame`, found for the request that is waited for, is its answer for certain.

        An answer of values, or a refusal of the meter itself, ends the doubts of this meter and of no other.
        """
        doubts = self._of(ask.meter, now_s)
        if not doubts:
            return True
        if any(one.ask.find(frame) for one in doubts):
            return False
        if not found.refusal or found.by_meter:
            del self._open[ask.meter]
        return True

    def came(self, stray: bytes, now_s: float) -> int:
        """Return how many late answers lie in bytes that answer nothing that is waited for; they end their doubts."""
        count = 0
        for meter in list(self._open) if stray else ():
            doubts = self._of(meter, now_s)
            for n in range(len(doubts) - 1, -1, -1):
                found = doubts[n].ask.find(stray)
                if found is None:
                    continue
                count += 1
                if not found.refusal:  # what was asked before it will not be answered either
                    del doubts[: n + 1]
                    break
            if not doubts:
                self._open.pop(meter, None)
        return count

    def __len__(self) -> int:
        """Return how many requests are in doubt, those whose time is over but for a later look included."""
        return sum(map(len, self._open.values()))

    def _of(self, meter: Hashable, now_s: float) -> list[_Open]:
        """Return the doubts of a meter that are not over."""
        doubts = self._open.get(meter)
        if doubts is None:
            return []
        while doubts and doubts[0].until_s <= now_s:
            del doubts[0]
        if not doubts:
            del self._open[meter]
        return doubts
