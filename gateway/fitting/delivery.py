"""What instruments delivered in the window, against the share of good readings a ruleset asks for. Pure.

An instrument that was put in place within the window answers for the one before it: what is asked is whether the flow was
measured, and days on which nothing was there count as days without good readings.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from gateway.fitting.grounds import Words
from gateway.fitting.result import percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from gateway.fitting.evidence import Evidence
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Instrument


class Delivery(NamedTuple):
    """Whether a good reading came, whether enough came, and the share of good readings; None: nobody can tell.

    good, expected: readings of the instrument itself. why: what speaks against it, None if nothing does.
    """

    is_connected: bool | None = None
    is_delivering: bool | None = None
    share: Fraction | None = None
    why: Words | None = None


class Deliveries:
    """What the evidence says of each instrument."""

    def __init__(self, plant: Plant, ruleset: Ruleset, evidence: Evidence | None) -> None:
        """evidence: None if nobody knows what was delivered."""
        self._plant = plant
        self._proof = ruleset.proof
        self._evidence = evidence
        self._on_flow: dict[str, list[Instrument]] = defaultdict(list)
        for one in plant.inventory.instruments:
            if one.role == "main" and one.measurement == "measured":
                for flow in one.flows:
                    self._on_flow[flow].append(one)

    def of(self, one: Instrument) -> Delivery:
        """Return what an instrument delivered, together with those whose place it took within the window."""
        if self._evidence is None:
            return Delivery()
        is_whole = self._evidence.whole and self._proof is not None
        line = [one, *self._before(one)]
        good, share = self._shared(line)
        if not good:
            return Delivery(
                False, False if is_whole else None, share if is_whole else None, self._nothing(line)
            )
        if not is_whole:
            return Delivery(True)
        assert self._proof is not None
        least = self._proof.good_percent
        if share is not None and share * 100 >= least:
            return Delivery(True, True, share)
        shown = "–" if share is None else f"{percent(share):g}"
        words = Words(
            f"{shown} % of its readings are good, {least} % are demanded",
            f"有效数据 {shown} %, 要求 {least} %",
        )
        return Delivery(True, False, share, words)

    def _before(self, one: Instrument) -> list[Instrument]:
        """Return the instruments that measured its flow earlier in the window, until it was put in place."""
        assert self._evidence is not None
        if one.installed is None or one.installed <= self._evidence.first or not one.flows:
            return []
        return [
            other
            for other in self._on_flow[one.flows[0]]
            if other.removed is not None and self._evidence.first < other.removed <= one.installed
        ]

    def _shared(self, line: Sequence[Instrument]) -> tuple[int, Fraction | None]:
        """Return the good readings of instruments that took each other's place, and their share over the whole window."""
        assert self._evidence is not None
        first, after = self._evidence.first, self._evidence.last + timedelta(days=1)
        good = expected = 0
        covered: set[date] = set()
        for one in line:
            begin = max(one.installed or first, first)
            end = min(one.removed or after, after)
            if begin >= end:
                continue
            covered |= {begin + timedelta(days=n) for n in range((end - begin).days)}
            found = self._evidence.instruments.get(one.id)
            if found is not None:
                good += found.good
                expected += found.expected
        if not expected:
            return good, None
        return good, Fraction(good, expected) * Fraction(len(covered), (after - first).days)

    def _nothing(self, line: Sequence[Instrument]) -> Words:
        assert self._evidence is not None
        if line[0].meter or any(one.id in self._evidence.instruments for one in line):
            return Words("no good reading in the window", "统计期内无有效数据")
        return Words("no evidence that it delivers: it is not connected", "无数据证明: 未接入")
