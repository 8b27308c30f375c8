"""One interval out of what was collected and what was due. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.intervals.amounts import Tally, between
from gateway.intervals.collecting import Fact, Facts
from gateway.intervals.model import ChannelInterval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.intervals.amounts import Split
    from gateway.intervals.collecting import Candidate, Cell
    from gateway.intervals.expected import Account
    from gateway.intervals.model import Boundary, Reason


def facts_of(
    reports: Mapping[str, tuple[str, str, float, str]],
    learned: Mapping[float, Facts],
    cells: Mapping[float, Cell],
    accounts: Mapping[float, Account],
) -> Facts:
    """Return which channels an interval of a meter reports, and how.

    reports: as its plans say; where one does not, those of its newest layout. learned: period -> facts of its newest layout.
    Channels that came in the interval are in it, whatever the plans say by now.
    """
    newest = {fact.key: fact for facts in learned.values() for fact in facts.channels}
    chosen: dict[str, Fact] = {}
    kinds = [facts.energy_kind for facts in learned.values()]
    for period_s, account in accounts.items():
        known = learned[period_s].channels if period_s in learned else ()
        chosen |= {fact.key: fact for fact in known if fact.key in account.named}
        kinds.append(account.energy_kind)
    for cell in cells.values():
        for facts in cell.facts:
            chosen |= {fact.key: fact for fact in facts.channels}
            kinds.append(facts.energy_kind)
    for key, (unit, kind, period_s, energy_kind) in reports.items():
        as_read = chosen.get(key, newest.get(key))  # one that has left is not in the newest layout
        modulus = None if as_read is None else as_read.modulus
        chosen[key] = Fact(key, unit, "gauge" if kind == "gauge" else "counter", period_s, modulus)
        kinds.append(energy_kind)
    energy_kind = next((kind for kind in reversed(kinds) if kind), "")
    return Facts(energy_kind, tuple(sorted(chosen.values())))


def with_late(facts: Facts, cells: Mapping[float, Cell]) -> Facts:
    """Return facts of an interval with the channels that came after it was closed."""
    known = {fact.key for fact in facts.channels}
    late = {
        f.key: f for cell in cells.values() for one in cell.facts for f in one.channels if f.key not in known
    }
    return Facts(facts.energy_kind, tuple(sorted((*facts.channels, *late.values())))) if late else facts


class Maker:
    """Makes the channels of one meter in one interval."""

    def __init__(
        self,
        accounts: Mapping[float, Account],
        cells: Mapping[float, Cell],
        near: tuple[Mapping[str, Candidate], Mapping[str, Candidate]],
        splits: Sequence[Split],
    ) -> None:
        """near: candidates at start and end. splits: of the meter in the epoch."""
        self._accounts, self._cells, self._splits = accounts, cells, splits
        self._opening, self._closing = near

    def channel(self, fact: Fact) -> ChannelInterval:
        """Return one channel."""
        expected = missing = bad = flags = 0
        gaps: dict[Reason, int] = {}
        for period_s, account in self._accounts.items():
            if fact.key not in account.named:
                continue
            cell = self._cells.get(period_s)
            due, reasons = account.channels.get(fact.key, (account.due, account.missing))
            expected += len(due)
            for reason, number in reasons.items():
                missing += number
                gaps[reason] = gaps.get(reason, 0) + number
            for reason, number in cell.bad_of(fact.key, due) if cell else ():
                bad += number
                gaps[reason] = gaps.get(reason, 0) + number
        for cell in self._cells.values():
            flags |= cell.flags.get(fact.key, 0)
        good = expected - missing - bad
        averaged = self._averaged(fact) if good and fact.kind == "gauge" else {}  # nothing due, no mean
        more = self._counted(fact) if fact.kind == "counter" else averaged
        return ChannelInterval(
            key=fact.key,
            unit=fact.unit,
            kind=fact.kind,
            expected=expected,
            received=expected - missing,
            good=good,
            flags=flags,
            gaps={reason: number for reason, number in sorted(gaps.items()) if number},
            **more,
        )

    def _counted(self, fact: Fact) -> dict[str, Any]:
        first, last = self._opening.get(fact.key), self._closing.get(fact.key)
        opening, closing = _boundary(first), _boundary(last)
        modulus = None if fact.modulus is None else Decimal(fact.modulus)
        same_scale = first is None or last is None or _alike(first.scale, last.scale)
        amount = between(fact.key, opening, closing, self._splits, modulus, same_scale=same_scale)
        return {"opening": opening, "closing": closing, "delta": amount.delta, "how": amount.how}

    def _averaged(self, fact: Fact) -> dict[str, Any]:
        tally = tally_of(fact.key, self._cells.values())
        return {"mean": tally.mean(), "low": tally.low, "high": tally.high}


def tally_of(key: str, cells: Iterable[Cell]) -> Tally:
    """Return the readings of a gauge in all periods it was read with in an interval."""
    tallies = [cell.tallies[key] for cell in cells if key in cell.tallies]
    if len(tallies) == 1:
        return tallies[0]
    tally = Tally()
    for one in tallies:
        tally.add(one)
    return tally


def _boundary(candidate: Candidate | None) -> Boundary | None:
    return None if candidate is None else candidate.boundary()


def _alike(scale: str, other: str) -> bool:
    return scale == other or Decimal(scale) == Decimal(other)
