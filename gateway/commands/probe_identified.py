"""`metergate probe` of a DL/T 645 or CJ/T 188 meter, and of those that `metergate scan --probe` found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.profiles import channel_keys
from gateway.clock import SystemClock
from gateway.commands.bus_work import DIGITS, politely, progress
from gateway.commissioning.bus import connect
from gateway.commissioning.identified_reads import IdentifiedReads
from gateway.commissioning.probe_identified import (
    coverage,
    identified_candidates,
    rank_identified,
    steps_of,
    trials_of,
    verdict_identified,
)
from gateway.config.links import LineTable
from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drivers.profiles import Library, Profile
    from gateway.commissioning.probe import Candidate
    from gateway.config.models import MeterConfig, Site

ANSWER_WAIT_S = 0.6
"""A DL/T 645 meter may take 500 ms to answer. Source: DL/T 645-2007, 20 ms <= Td <= 500 ms (by public articles).

Of CJ/T 188 no source at hand names a time; its meters are given as much.
"""


def of_protocol(profile: Profile | None, protocol: str) -> None:
    """Raise MetergateError if a meter type is read by another protocol than the meter."""
    if profile is not None and profile.protocol != protocol:
        raise MetergateError(
            f"profile {profile.id} is read by {profile.protocol}, this meter by {protocol}: only Modbus registers, and "
            "identifiers of DL/T 645 and CJ/T 188, are probed"
        )


async def probe_identified(
    site: Site,
    known: Library,
    link: str,
    address: str,
    expected: Profile | None,
    meter: MeterConfig | None,
    timeout_s: float,
) -> dict[str, Any]:
    """Return the ranking as plain JSON values. Raises MetergateError, LinkDown, Busy."""
    protocol = DIGITS[len(address)]
    of_protocol(expected, protocol)
    config = site.link(link)
    if not isinstance(config, LineTable):
        raise MetergateError(
            f"link {link} is of kind {config.kind}: meters with a number are on serial lines"
        )
    trials = trials_of(identified_candidates(known, protocol))
    clock = SystemClock()
    with progress() as bar, politely() as stop:
        async with connect(site, link, clock) as bus:
            task = bar.add_task(f"probe {link} {address}", total=steps_of(trials))
            reads = IdentifiedReads(
                bus,
                protocol,
                address,
                clock,
                timeout_s=max(timeout_s, ANSWER_WAIT_S),
                late_s=config.late_max_s,
                told=lambda: bar.update(task, advance=1),
                stopped=stop.is_set,
            )
            ranked, is_whole = await rank_identified(reads, trials)
    found = verdict_identified(ranked, reads)
    in_place: bool | None = None
    lines: list[str] = []
    if expected is not None and reads.answered:
        in_place, lines = _covered(ranked, expected, meter)
    return {
        "link": link,
        "unit": None,
        "address": address,
        "expected": "" if expected is None else expected.id,
        "in_place": in_place,
        "diagnosis": lines,
        "outcome": found.outcome,
        "verdict": found.text,
        "best": list(found.best),
        "candidates": [one.to_json() for one in ranked if one.reasons] if reads.answered else [],
        "requests": reads.asked,
        "is_whole": is_whole,
    }


def _covered(
    ranked: Sequence[Candidate], expected: Profile, meter: MeterConfig | None
) -> tuple[bool | None, list[str]]:
    """Return whether the meter has what it is read for, and what it has not; None if it was not looked at."""
    is_own = meter is not None and meter.profile == expected.id
    variant = meter.variant if meter is not None and is_own else ""
    same = expected.settings(variant), expected.keys(variant)
    own = [
        c
        for c in ranked
        if c.profile == expected.id
        and c.reasons
        and (expected.settings(c.variant), expected.keys(c.variant)) == same
    ]
    if not own:
        return None, []
    selected = meter.channels if meter is not None and is_own else ()
    return coverage(own[0], channel_keys(expected, selected, variant))
