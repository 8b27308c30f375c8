"""What would make a link's plan fit; each proposal has been planned anew and fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from gateway.config.links import LineTable
from gateway.config.values import PERIODS, seconds
from gateway.planning.links import TIGHT, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config.links import LinkConfig
    from gateway.config.models import MeterConfig
    from gateway.planning.links import LinkPlan, Planner

BAUDS: tuple[int, ...] = get_args(LineTable.model_fields["baud"].annotation)
_Kind = tuple[
    str, str, tuple[str, ...]
]  # profile, variant, selection of channels: meters that are read alike


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change that makes a link fit. change: what to write, as plain JSON values."""

    text: str
    occupancy: float
    change: Mapping[str, object]


def proposals(planner: Planner, link: LinkConfig, meters: Sequence[MeterConfig]) -> list[Proposal]:
    """Return the smallest changes, one of a kind, under which the link is not tight; none where none helps."""
    found = (_slower(planner, link, meters), _faster(planner, link, meters), _fewer(planner, link, meters))
    return [proposal for proposal in found if proposal is not None]


def _fits(plan: LinkPlan) -> bool:
    return not plan.problems and plan.occupancy is not None and plan.occupancy <= TIGHT


def slowed(meter: MeterConfig, period_s: float) -> MeterConfig:
    """Return a meter none of whose channels is read oftener than every `period_s`."""
    override = {
        key: o.model_copy(update={"period_s": max(o.period_s, period_s)}) if o.period_s is not None else o
        for key, o in meter.override.items()
    }
    return meter.model_copy(update={"period_s": max(meter.period_s, period_s), "override": override})


def _slower(planner: Planner, link: LinkConfig, meters: Sequence[MeterConfig]) -> Proposal | None:
    shortest_s = min(target.period_s for target in planner.link(link, meters).targets)
    for text in PERIODS:
        period_s = seconds(text)
        if period_s <= shortest_s:
            continue
        plan = planner.link(link, [slowed(meter, period_s) for meter in meters])
        if _fits(plan) and plan.occupancy is not None:
            words = f'period = "{text}" for meters that are read oftener ({percent(plan.occupancy)})'
            return Proposal(words, plan.occupancy, {"period": text})
    return None


def _faster(planner: Planner, link: LinkConfig, meters: Sequence[MeterConfig]) -> Proposal | None:
    if not isinstance(link, LineTable):
        return None
    for baud in BAUDS:
        if baud > link.baud:
            plan = planner.link(link.model_copy(update={"baud": baud}), meters)
            if _fits(plan) and plan.occupancy is not None:
                words = f"baud = {baud}, set in every meter of the line too ({percent(plan.occupancy)})"
                return Proposal(words, plan.occupancy, {"baud": baud})
    return None


def _fewer(planner: Planner, link: LinkConfig, meters: Sequence[MeterConfig]) -> Proposal | None:
    """Return which channels to leave out: whole requests, the dearest first, counters last."""
    kinds = {meter.id: (meter.profile, meter.variant, meter.channels) for meter in meters}
    dropped: dict[_Kind, list[str]] = {}
    for kind, keys in _by_price(planner.link(link, meters), kinds):
        dropped.setdefault(kind, []).extend(keys)
        rest = [_without(planner, link, meter, dropped.get(kinds[meter.id], [])) for meter in meters]
        if any(meter is None for meter in rest):
            del dropped[kind][-len(keys) :]  # it would have nothing left
            continue
        plan = planner.link(link, [meter for meter in rest if meter is not None])
        if _fits(plan) and plan.occupancy is not None:
            return Proposal(
                f"{'; '.join(_left_out(*item) for item in dropped.items() if item[1])} ({percent(plan.occupancy)})",
                plan.occupancy,
                {"without": {kind[0]: tuple(keys) for kind, keys in dropped.items() if keys}},
            )
    return None


def _by_price(plan: LinkPlan, kinds: Mapping[str, _Kind]) -> Iterator[tuple[_Kind, tuple[str, ...]]]:
    """Yield the channels of each request with the kind of meter that has it."""
    prices: dict[tuple[bool, _Kind, tuple[str, ...]], float] = {}
    for target in plan.targets:
        for exchange in target.exchanges or ():
            counts = not target.counters.isdisjoint(exchange.channels)
            key = counts, kinds[target.meter], exchange.channels
            prices[key] = prices.get(key, 0.0) + exchange.busy_s / target.period_s
    for _, kind, keys in sorted(prices, key=lambda key: (key[0], -prices[key])):
        yield kind, keys


def _without(
    planner: Planner, link: LinkConfig, meter: MeterConfig, keys: Sequence[str]
) -> MeterConfig | None:
    """Return a meter that is not read for these channels, None if nothing is left of it."""
    if not keys:
        return meter
    left = tuple(
        key for target in planner.link(link, [meter]).targets for key in target.keys if key not in keys
    )
    return meter.model_copy(update={"channels": left}) if left else None


def _left_out(kind: _Kind, keys: Sequence[str]) -> str:
    return f"channels of {kind[0]} without {', '.join(keys)}"
