"""An inventory held against the site file: meters and channels that are there and measure what the ledger says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.channels import channels
from gateway.config.meters import profile_library
from gateway.config.reports import reported
from gateway.errors import Finding
from gateway.inventory.draft import Names, by_name, draft_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.config.reports import Reported
    from gateway.inventory.model import Instrument, Inventory

GAUGED = frozenset({"temperature", "pressure", "gas_analyser", "other"})
"""Categories that need no counter."""
NAMED_MAX = 6


def check_against_site(inventory: Inventory, site: Site) -> list[Finding]:
    """Return every finding of instruments whose meter the site file does not have as the inventory says."""
    return list(_findings(inventory, site, profile_library(site.gateway.profile_dirs)))


def _findings(inventory: Inventory, site: Site, library: Library) -> Iterator[Finding]:
    meters = {meter.id: meter for meter in site.meters}
    kinds = {flow.id: flow.energy_kind for flow in inventory.flows}
    named = by_name({"id": meter.id, "name": meter.name} for meter in site.meters)
    names = Names()
    for entry in draft_of(inventory).instruments:
        one = entry.value
        if one is None or one.removed is not None:
            continue  # its meter may be gone with it
        if not one.meter:
            if one.channel:
                yield Finding(
                    f"{entry.path}.meter", "nothing", "the meter whose channel it is", 'write meter = "…"'
                )
            continue
        meter = meters.get(one.meter)
        if meter is None:
            expected = "the id of a meter of the site file, or nothing if it is not connected"
            yield names.unknown(f"{entry.path}.meter", one.meter, meters, expected, named)
            continue
        kind = next((kinds[flow] for flow in one.flows if flow in kinds), "")
        if kind and kind != meter.energy_kind:
            found = f"{one.meter}, which the site file says is {meter.energy_kind}"
            yield Finding(f"{entry.path}.meter", found, f"a meter of {kind}, as its flow")
        yield from _channel(entry.path, one, meter, library)


def _channel(path: str, one: Instrument, meter: MeterConfig, library: Library) -> Iterator[Finding]:
    """Yield a finding if the channel is not one that enters history, or none is named and there is not just one."""
    known = {channel.key: channel for channel in reported(meter, library)}
    counters = [key for key, channel in known.items() if channel.kind == "counter"]
    if one.channel:
        if one.channel not in known:
            yield _no_channel(f"{path}.channel", one.channel, meter, library, known)
        elif one.channel not in counters and one.category not in GAUGED:
            yield Finding(f"{path}.channel", f"{one.channel}, a gauge", "a counter", _some(counters))
    elif len(counters) > 1:
        found = f"nothing, but {meter.id} counts {_some(counters)}"
        yield Finding(f"{path}.channel", found, "which of them it is", f'write channel = "{counters[0]}"')
    elif not counters and one.category not in GAUGED:
        yield Finding(f"{path}.meter", f"{meter.id}, which counts nothing", "a meter with a counter")


def _no_channel(
    path: str, key: str, meter: MeterConfig, library: Library, known: dict[str, Reported]
) -> Finding:
    if key in channels(meter, library):
        hint = f"meters.{meter.id}.override.{key}: report = true"
        return Finding(path, f"{key}, which is not reported", "a channel that enters history", hint)
    finding = Names().unknown(path, key, known, f"a reported channel of {meter.id}")
    return (
        finding if finding.suggestion else Finding(path, finding.found, finding.expected, _some(list(known)))
    )


def _some(keys: list[str]) -> str:
    more = " …" if len(keys) > NAMED_MAX else ""
    return ", ".join(keys[:NAMED_MAX]) + more
