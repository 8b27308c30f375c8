"""What went through a flow in a window, by the instruments on it, and what speaks against trusting that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.fitting.result import percent
from gateway.fitting.uncertainty import Accuracy, accuracy
from gateway.inventory.validity import nonconforming, validity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Flow, Instrument, Inventory
    from gateway.inventory.values import Measured

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Share:
    """An instrument's part in a flow's amount."""

    instrument: str
    amount: Measured
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class FlowAmount:
    """What went through one flow. why: what keeps it from being trusted, empty if nothing; doubts: what is to be known besides."""

    flow: str
    shares: tuple[Share, ...]
    why: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Return whether there is an amount, trusted or not."""
        return bool(self.shares)

    def value(self, unit: str) -> Decimal | None:
        """Return the amount in a unit, None if it is not known or does not convert."""
        values = [share.amount.to(unit) for share in self.shares]
        known = [value for value in values if value is not None]
        return sum(known[1:], known[0]) if known and len(known) == len(values) else None


class FlowAmounts:
    """The amounts of all flows of an inventory in the window of the evidence."""

    def __init__(self, inventory: Inventory, evidence: Evidence, ruleset: Ruleset) -> None:
        """ruleset: says what share of good readings proves something, and what lettered classes mean."""
        self._evidence = evidence
        self._ladder = ruleset.ladder
        self._proof = ruleset.proof
        self._on: dict[str, list[Instrument]] = {}
        for instrument in inventory.instruments:
            for flow in instrument.flows:
                self._on.setdefault(flow, []).append(instrument)

    def of(self, flow: Flow) -> FlowAmount:
        """Return what went through a flow."""
        window = self._evidence.window
        counting = [one for one in self._on.get(flow.id, ()) if _counts(one) and _overlaps(one, window)]
        if not counting:
            return FlowAmount(flow.id, (), (f"flow {flow.id} is not measured",))
        why = [*_coverage(flow, counting, window)]
        if not self._evidence.whole:
            why.append(f"the evidence does not cover {window.first} to {window.last} whole")
        shares: list[Share] = []
        doubts: list[str] = []
        for instrument in counting:
            why += self._doubtful(instrument)
            doubts += _standing(instrument, window)
            delivered = self._evidence.instruments.get(instrument.id)
            if delivered is not None and delivered.amount is not None:
                shares.append(Share(instrument.id, delivered.amount, accuracy(instrument, self._ladder)))
        known = tuple(shares) if len(shares) == len(counting) else ()
        return FlowAmount(flow.id, known, tuple(why), tuple(doubts))

    def _doubtful(self, instrument: Instrument) -> Iterable[str]:
        """Yield what keeps an instrument's amount from being trusted."""
        name = f"instrument {instrument.id}"
        for span in nonconforming(instrument):
            window = self._evidence.window
            if span.since <= window.last and (span.until is None or span.until > window.first):
                yield f"{name} does not conform: {span.why}"
        delivered = self._evidence.instruments.get(instrument.id)
        if delivered is None or delivered.amount is None:
            yield f"{name} has no amount"
        if delivered is not None:
            share = delivered.share
            if self._proof is None:
                yield "the ruleset does not say what share of good readings proves an amount"
            elif share is None:
                yield f"{name}: nothing was due, so nothing shows that its amount is whole"
            elif share * PERCENT < Fraction(self._proof.good_percent):
                yield f"{name}: {percent(share):g} % of its readings are good, {self._proof.good_percent} % are needed"
        known = accuracy(instrument, self._ladder)
        if known.why:
            yield f"{name}: {known.why}"


def _counts(instrument: Instrument) -> bool:
    """Return whether an instrument's amount is the flow's: a check meter's is not added, a difference is no measurement."""
    return (
        instrument.role == "main" and instrument.measurement == "measured" and instrument.status != "stopped"
    )


def _overlaps(instrument: Instrument, window: Window) -> bool:
    return (instrument.installed is None or instrument.installed <= window.last) and (
        instrument.removed is None or instrument.removed > window.first
    )


def _coverage(flow: Flow, counting: Sequence[Instrument], window: Window) -> Iterable[str]:
    """Yield on which days nothing, or more than one instrument, measured a flow."""
    following = window.first
    for one in sorted(counting, key=lambda one: one.installed or window.first):
        start = max(one.installed or window.first, window.first)
        if start > following:
            yield f"flow {flow.id} is not measured from {following} to {start - timedelta(days=1)}"
        if start < following:
            yield (
                f"flow {flow.id} has more than one main instrument on {start}: which one counts? "
                "(the others are check instruments, or on flows of their own)"
            )
        end = window.last + timedelta(days=1) if one.removed is None else one.removed
        following = max(following, end)
    if following <= window.last:
        yield f"flow {flow.id} is not measured from {following} to {window.last}"


def _standing(instrument: Instrument, window: Window) -> Iterable[str]:
    state = validity(instrument, window.last)
    if state in {"expired", "undated", "unverified"}:
        yield f"instrument {instrument.id} is {state} on {window.last}: its class is not assured"
