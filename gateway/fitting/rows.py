"""Needs with their verdicts, counted by energy kind and level. Pure; rates are exact fractions."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from gateway.energy_kinds import ENERGY_KINDS
from gateway.fitting.advice import advice
from gateway.fitting.central import with_central
from gateway.fitting.instruments import proves
from gateway.fitting.limits import common_unit, convert
from gateway.fitting.outcome import Judged, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.fitting.classes import Classes
    from gateway.fitting.evidence import Evidence
    from gateway.fitting.instruments import Instruments
    from gateway.fitting.outcome import Need, Standing
    from gateway.fitting.plant import Plant
    from gateway.fitting.ruleset import Rate, Ruleset

Key = tuple[int, str]
_ORDER = {kind: i for i, kind in enumerate(ENERGY_KINDS)}


class Rows:
    """The rows of one ruleset over one plant."""

    def __init__(
        self, plant: Plant, ruleset: Ruleset, fitted: Instruments, classes: Classes, evidence: Evidence | None
    ) -> None:
        """evidence: None if nobody knows what was delivered."""
        self._plant = plant
        self._ruleset = ruleset
        self._fitted = fitted
        self._classes = classes
        self._evidence = evidence
        self._rates: dict[Key, Rate] = {
            (rate.level, kind): rate
            for rate in ruleset.rates
            if ruleset.holds(rate, plant.on)
            for kind in rate.energy_kinds
        }

    def of(self, needs: Iterable[Need], surplus: Mapping[Key, Sequence[str]]) -> tuple[Row, ...]:
        """Return the rows, energy kind by energy kind. surplus: instruments on flows that nothing needs measured there."""
        grouped: dict[Key, list[Need]] = defaultdict(list)
        for need in needs:
            grouped[need.level, need.energy_kind].append(need)
        keys = sorted({*grouped, *surplus}, key=lambda key: (_ORDER[key[1]], key[0]))
        return tuple(self._row(key, grouped.get(key, []), surplus.get(key, ())) for key in keys)

    def surplus(self, needs: Iterable[Need]) -> dict[Key, list[str]]:
        """Return the fitted instruments that no need counts, by the level and energy kind of their flow."""
        needed = {need.flow for need in needs if not need.exempt}
        resting = {name for need in needs for name in need.rests_on}
        found: dict[Key, list[str]] = defaultdict(list)
        for one in self._plant.inventory.instruments:
            flows = [self._plant.flows[name] for name in one.flows if name in self._plant.flows]
            if not flows or not self._fitted.is_fitted(one) or one.id in resting:
                continue
            if not any(flow.id in needed for flow in flows):
                found[self._plant.level_of(flows[0]), flows[0].energy_kind].append(one.id)
        return found

    def central(self, needs: Iterable[Need]) -> list[Need]:
        """Return the needs with those exempt that central metering meets."""
        grouped: dict[Key, list[Need]] = defaultdict(list)
        for need in needs:
            grouped[need.level, need.energy_kind].append(need)
        return [
            need
            for group in grouped.values()
            for need in with_central(group, self._plant, self._ruleset, self._fitted)
        ]

    def _judge(self, need: Need) -> Judged:
        if need.kept:
            standings = [
                self._fitted.standing(self._plant.instruments[name], need.level)
                for name in sorted(need.rests_on)
            ]
            return Judged(need, need.rests_on, min(standings, key=proves, default=None))
        instruments = tuple(one.id for one in self._fitted.on_flow.get(need.flow, []))
        best = self._fitted.best(need.flow, need.level)
        if best is not None or need.exempt:
            return Judged(need, instruments, best)
        words = advice(need, self._plant, self._classes)
        return Judged(need, instruments, None, words.en, words.zh)

    def _row(self, key: Key, needs: Sequence[Need], surplus: Sequence[str]) -> Row:
        level, kind = key
        judged = tuple(self._judge(need) for need in needs)
        counted = [one for one in judged if one.counts]
        best = [one.best for one in counted if one.best is not None]
        rate = self._rates.get(key)
        need, fitted = len(counted), len(best)
        known = self._evidence is not None
        proved = self._evidence is not None and self._evidence.whole and self._ruleset.proof is not None
        clauses = dict.fromkeys(one.need.clause for one in judged)
        completeness, completeness_of = self._completeness(best)
        return Row(
            ruleset=self._ruleset.ruleset.id,
            level=level,
            energy_kind=kind,
            judged=judged,
            required=None if rate is None else rate.percent,
            clauses=tuple(clauses) or ((f"{self._ruleset.ruleset.id} {rate.clause}",) if rate else ()),
            confidence="" if rate is None else rate.confidence,
            conflict="" if rate is None else rate.conflict,
            surplus=tuple(surplus),
            need=need,
            fitted=fitted,
            connected=_count(best, lambda one: one.is_connected) if known else None,
            effective=_count(best, lambda one: one.is_effective) if proved else None,
            rate=_part(fitted, need),
            intact=_part(_count(best, lambda one: one.is_intact), fitted),
            verified=_part(_count(best, lambda one: one.is_verified), fitted),
            accurate=_part(_count(best, lambda one: one.is_accurate), fitted),
            auto_collected=_part(_count(best, lambda one: one.is_delivering), need) if proved else None,
            completeness=completeness,
            completeness_of=completeness_of,
            covered=self._covered(counted),
        )

    def _completeness(self, best: Sequence[Standing]) -> tuple[Fraction | None, int]:
        """Return good of expected readings of the instruments counted, and of how many: those that any reading was expected of."""
        if self._evidence is None or not self._evidence.whole:
            return None, 0
        delivered = self._evidence.instruments
        found = [delivered[name] for name in {one.instrument for one in best} if name in delivered]
        due = [one for one in found if one.expected]
        return _part(sum(one.good for one in due), sum(one.expected for one in due)), len(due)

    def _covered(self, counted: Sequence[Judged]) -> Fraction | None:
        """Return the share by quantity that is fitted, None unless every yearly amount is known in one unit."""
        flows = [self._plant.flows.get(one.need.flow) for one in counted]
        amounts = [flow.yearly for flow in flows if flow is not None and flow.yearly is not None]
        if len(amounts) < len(counted):
            return None
        kind = counted[0].need.energy_kind if counted else ""
        unit = common_unit(amounts, kind, self._ruleset, self._plant)
        total = metered = Decimal(0)
        for one, amount in zip(counted, amounts, strict=True):
            value = convert(amount, unit, kind, self._ruleset, self._plant)
            if value is None:
                return None
            total += value
            metered += value if one.is_fitted else 0
        return Fraction(metered) / Fraction(total) if total else None


def _count(best: Sequence[Standing], holds: Callable[[Standing], bool | None]) -> int:
    return sum(1 for one in best if holds(one))


def _part(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None
