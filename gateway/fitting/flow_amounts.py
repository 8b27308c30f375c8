"""What went through a flow in a window, by the instruments on it, and what speaks against trusting that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.fitting.grounds import Words
from gateway.fitting.result import percent
from gateway.fitting.uncertainty import Accuracy, accuracy
from gateway.inventory.terms import VALIDITY
from gateway.inventory.validity import nonconforming, validity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date
    from decimal import Decimal

    from gateway.fitting.evidence import Evidence, Window
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Flow, Instrument, Inventory
    from gateway.inventory.values import Measured

PERCENT = 100
NO_PROOF = Words(
    "the ruleset does not say what share of good readings proves an amount",
    "规则集未规定有效读数达到多少方可证明计量数值",
)


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
    why: tuple[Words, ...]
    doubts: tuple[Words, ...] = ()

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
            return FlowAmount(
                flow.id, (), (Words(f"flow {flow.id} is not measured", f"流向 {flow.id} 未计量"),)
            )
        why = [*_coverage(flow, counting, window)]
        if not self._evidence.whole:
            days = window.first, window.last
            why.append(
                Words(
                    f"the evidence does not cover {days[0]} to {days[1]} whole",
                    f"数据未覆盖 {days[0]} 至 {days[1]} 全期",
                )
            )
        shares: list[Share] = []
        doubts: list[Words] = []
        for instrument in counting:
            why += self._doubtful(instrument)
            doubts += _standing(instrument, window)
            delivered = self._evidence.instruments.get(instrument.id)
            if delivered is not None and delivered.amount is not None:
                shares.append(Share(instrument.id, delivered.amount, accuracy(instrument, self._ladder)))
        known = tuple(shares) if len(shares) == len(counting) else ()
        return FlowAmount(flow.id, known, tuple(why), tuple(doubts))

    def _doubtful(self, instrument: Instrument) -> Iterable[Words]:
        """Yield what keeps an instrument's amount from being trusted."""
        name, name_zh = f"instrument {instrument.id}", f"器具 {instrument.id}"
        for span in nonconforming(instrument):
            window = self._evidence.window
            if span.since <= window.last and (span.until is None or span.until > window.first):
                yield Words(f"{name} does not conform: {span.why}", f"{name_zh} 不合格: {span.why}")
        delivered = self._evidence.instruments.get(instrument.id)
        if delivered is None or delivered.amount is None:
            yield Words(f"{name} has no amount", f"{name_zh} 无计量数值")
        if delivered is not None:
            share = delivered.share
            if self._proof is None:
                yield NO_PROOF
            elif share is None:
                yield Words(
                    f"{name}: nothing was due, so nothing shows that its amount is whole",
                    f"{name_zh} 无应采读数, 无从证明其计量数值完整",
                )
            elif share * PERCENT < Fraction(self._proof.good_percent):
                good, needed = f"{percent(share):g} %", f"{self._proof.good_percent} %"
                yield Words(
                    f"{name}: {good} of its readings are good, {needed} are needed",
                    f"{name_zh} 有效读数 {good}, 要求 {needed}",
                )
        known = accuracy(instrument, self._ladder)
        if known.why.en:
            yield Words(f"{name}: {known.why.en}", f"{name_zh} {known.why.zh}")


def _counts(instrument: Instrument) -> bool:
    """Return whether an instrument's amount is the flow's: a check meter's is not added, a difference is no measurement."""
    return (
        instrument.role == "main" and instrument.measurement == "measured" and instrument.status != "stopped"
    )


def _overlaps(instrument: Instrument, window: Window) -> bool:
    return (instrument.installed is None or instrument.installed <= window.last) and (
        instrument.removed is None or instrument.removed > window.first
    )


def _coverage(flow: Flow, counting: Sequence[Instrument], window: Window) -> Iterable[Words]:
    """Yield on which days nothing, or more than one instrument, measured a flow."""
    following = window.first
    for one in sorted(counting, key=lambda one: one.installed or window.first):
        start = max(one.installed or window.first, window.first)
        if start > following:
            yield _unmeasured(flow, following, start - timedelta(days=1))
        if start < following:
            yield Words(
                f"flow {flow.id} has more than one main instrument on {start}: which one counts? "
                "(the others are check instruments, or on flows of their own)",
                f"流向 {flow.id} 于 {start} 有一台以上主表, 须指明以哪台为准(其余为核查表, 或另有所测流向)",
            )
        end = window.last + timedelta(days=1) if one.removed is None else one.removed
        following = max(following, end)
    if following <= window.last:
        yield _unmeasured(flow, following, window.last)


def _unmeasured(flow: Flow, first: date, last: date) -> Words:
    return Words(
        f"flow {flow.id} is not measured from {first} to {last}",
        f"流向 {flow.id} 自 {first} 至 {last} 未计量",
    )


def _standing(instrument: Instrument, window: Window) -> Iterable[Words]:
    state = validity(instrument, window.last)
    if state in {"expired", "undated", "unverified"}:
        yield Words(
            f"instrument {instrument.id} is {state} on {window.last}: its class is not assured",
            f"器具 {instrument.id} 于 {window.last} {VALIDITY[state].zh}, 其准确度等级无保证",
        )
