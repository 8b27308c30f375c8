"""Cross checks of instruments: their flows, their meters, their days, and that none stands in the ledger twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from gateway.energy_kinds import ENERGY_KINDS, plausible
from gateway.errors import Finding
from gateway.inventory.check_files import is_inside
from gateway.inventory.check_joints import Joints
from gateway.inventory.draft import by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.config.draft import Entry
    from gateway.inventory.draft import Draft, Names
    from gateway.inventory.model import Flow, Instrument, Verification

WEIGHED = frozenset(ENERGY_KINDS) - {
    "electricity",
    "steam",
    "hot_water",
    "compressed_air",
    "cooling",
    "carbon",
}
"""What a weighing instrument can stand for: anything that is moved in vessels, trucks and on belts."""
OILS = frozenset(
    {"crude_oil", "heavy_oil", "residual_oil", "refined_oil", "lpg", "biomass", "other", "waste_energy"}
)
PLAUSIBLE: Mapping[str, frozenset[str]] = {
    "weighing": WEIGHED,
    "electricity_meter": plausible("electricity"),
    "oil_flow_meter": OILS,
    "gas_flow_meter": plausible("gas"),
    "steam_flow_meter": plausible("steam"),
    "water_flow_meter": plausible("water"),
    "heat_meter": plausible("heat"),
    "gas_analyser": plausible("gas_analysis"),
}
"""Energy kinds an instrument of a category can measure; a category that is not here: any."""


def check_instruments(tables: Draft, names: Names) -> Iterator[Finding]:
    """Yield every finding about instruments that needs no disk."""
    ids = Counter(str(entry.body.get("id")) for entry in tables.flows)
    flows = {one.value.id: one for one in tables.flows if one.value is not None and ids[one.value.id] == 1}
    ends = tables.owner_ids()
    joints = Joints(tables.flows, tables.equipment, tables.units)
    by = by_name(entry.body for entry in tables.flows)
    for entry in tables.instruments:
        instrument = entry.value
        if instrument is None:
            continue
        yield from _days(entry.path, instrument)
        if "flows" in entry.doubtful:
            continue
        measured, named = [], set()
        for i, flow_id in enumerate(instrument.flows, 1):
            if flow_id not in ids:
                yield names.unknown(f"{entry.path}.flows[{i}]", flow_id, ids, "the id of a flow", by)
            elif flow_id in named:
                yield Finding(f"{entry.path}.flows[{i}]", f'"{flow_id}" again', "each flow once", "remove it")
            elif flow_id in flows:
                measured.append(flows[flow_id])
            named.add(flow_id)
        if len(measured) == len(instrument.flows):
            yield from _measured(entry, measured, joints, ends)
    yield from _meters(tables.instruments)
    yield from _twice(tables.instruments)


def _measured(
    entry: Entry[Instrument], measured: Sequence[Entry[Flow]], joints: Joints, ends: set[str]
) -> Iterator[Finding]:
    """Yield what is wrong with the flows of an instrument, which are all there."""
    flows = [flow.value for flow in measured if flow.value is not None and "energy_kind" not in flow.doubtful]
    if len(flows) < len(measured) or not flows or entry.value is None:
        return
    kinds = list(dict.fromkeys(flow.energy_kind for flow in flows))
    if len(kinds) > 1:
        yield Finding(f"{entry.path}.flows", " and ".join(kinds), "flows of one energy kind")
        return
    category = entry.value.category
    if kinds[0] not in PLAUSIBLE.get(category, ENERGY_KINDS) and "category" not in entry.doubtful:
        found = f"{category}, on a flow of {kinds[0]}"
        fits = [name for name, own in PLAUSIBLE.items() if kinds[0] in own]
        hint = f"{flows[0].id} is {kinds[0]}: " + (f"one of {', '.join(fits)}, or other" if fits else "other")
        yield Finding(f"{entry.path}.category", found, "a category that fits the energy kind", hint)
    doubted = any({"from", "to", "state"} & flow.doubtful for flow in measured)
    if len(flows) > 1 and not doubted and all(flow.from_end != flow.to_end for flow in flows):
        yield from joints.findings(f"{entry.path}.flows", flows, ends)


def _days(path: str, instrument: Instrument) -> Iterator[Finding]:
    """Yield days that are not in order."""
    if instrument.installed and instrument.removed and instrument.removed < instrument.installed:
        found = f"{instrument.removed}, before it was installed on {instrument.installed}"
        yield Finding(f"{path}.removed", found, "a later day")
    before: Verification | None = None
    for i, one in enumerate(instrument.verifications, 1):
        where = f"{path}.verifications[{i}]"
        if before is not None and one.on < before.on:
            found = f"{one.on}, after one of {before.on}"
            yield Finding(f"{where}.on", found, "the days in order, the newest last", "put them in order")
        before = one
        if one.until is not None and one.until < one.on:
            yield Finding(f"{where}.until", f"{one.until}, before {one.on}", "a day not before `on`")
        if one.file and not is_inside(one.file):
            expected = "a file in the inventory's folder or below it"
            yield Finding(f"{where}.file", f'"{one.file}"', expected, "put a copy there")
        if one.sha256 and not one.file:
            yield Finding(f"{where}.sha256", f"{one.sha256[:8]}…", "the file it is of", 'write file = "…"')
    for i, found_bad in enumerate(instrument.nonconformities, 1):
        where = f"{path}.nonconformities[{i}]"
        if found_bad.since and found_bad.since > found_bad.found:
            yield Finding(
                f"{where}.since", str(found_bad.since), f"a day not after it was found, {found_bad.found}"
            )
        if found_bad.until and found_bad.until < found_bad.found:
            yield Finding(
                f"{where}.until", str(found_bad.until), f"a day not before it was found, {found_bad.found}"
            )


def _overlap(one: Instrument, other: Instrument) -> bool:
    """Return whether two instruments are there on some day both; after an exchange they are not."""
    return not (
        (one.removed is not None and other.installed is not None and one.removed <= other.installed)
        or (other.removed is not None and one.installed is not None and other.removed <= one.installed)
    )


def _meters(instruments: Sequence[Entry[Instrument]]) -> Iterator[Finding]:
    """Yield meters that stand behind two instruments at a time; a channel that is not named may be any of the meter."""
    behind: dict[str, list[tuple[str, Instrument]]] = defaultdict(list)
    for entry in instruments:
        new = entry.value
        if new is None or not new.meter or {"meter", "channel"} & entry.doubtful:
            continue
        for path, other in behind[new.meter]:
            same = new.channel == other.channel or not new.channel or not other.channel
            if same and _overlap(new, other):
                hint = f"{path} has it already"
                if new.channel != other.channel:
                    hint += "; name the channel of both"
                what = f"{new.meter} {new.channel}".strip()
                yield Finding(
                    f"{entry.path}.meter", f'"{what}" again', "a meter and channel of its own", hint
                )
                break
        behind[new.meter].append((entry.path, new))


def _twice(instruments: Sequence[Entry[Instrument]]) -> Iterator[Finding]:
    """Yield instruments that stand in the ledger twice: by the organisation's own number, or by maker, type and serial number."""
    yield from _same(instruments, "own_number", lambda one: (one.own_number.strip(),))
    yield from _same(
        instruments, "serial", lambda one: (one.serial.strip(), one.manufacturer.strip(), one.model.strip())
    )


def _same(
    instruments: Sequence[Entry[Instrument]], key: str, of: Callable[[Instrument], tuple[str, ...]]
) -> Iterator[Finding]:
    first: dict[tuple[str, ...], list[tuple[str, Instrument]]] = defaultdict(list)
    for entry in instruments:
        new = entry.value
        if new is None or not of(new)[0]:
            continue
        for path, other in first[of(new)]:
            if _overlap(new, other):
                yield Finding(
                    f"{entry.path}.{key}",
                    f'"{of(new)[0]}" again',
                    "an instrument of its own",
                    f"{path} has it already",
                )
                break
        first[of(new)].append((entry.path, new))
