"""What is wrong with the links of a site before anything is started, and what would mend it.

What fills a link without any assumption about its meters is certain: `metergate check` and the start refuse it. What
does so only under assumptions is said by `metergate plan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.declared import Declared, ratios_of
from gateway.errors import Finding
from gateway.planning.links import FULL, TIGHT, LinkPlan, Planner, percent
from gateway.planning.proposals import proposals
from gateway.planning.storage import storage, storage_warnings
from gateway.planning.wire_time import NOTHING_ASSUMED, Assumptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.planning.proposals import Proposal
    from gateway.planning.storage import Storage

ROUND_MAX_S = 60.0
"""A round that takes longer spreads readings past the tolerance of an interval's boundary, one minute."""


@dataclass(frozen=True, slots=True)
class SitePlan:
    """Plans of all links by id. proposed: link id -> what would make a link fit that is tight or full."""

    links: dict[str, LinkPlan]
    proposed: dict[str, list[Proposal]]
    findings: list[Finding]
    warnings: list[str]
    storage: Storage


def examine(site: Site, library: Library, assumed: Assumptions) -> SitePlan:
    """Return the plans of a checked site with everything there is to say about them."""
    planner = Planner(library, assumed)
    found = SitePlan(planner.site(site), {}, [], [], storage(site, library))
    for link_id, plan in found.links.items():
        found.findings.extend(plan.problems)
        over = plan.occupancy is not None and plan.occupancy > TIGHT
        offers = proposals(planner, plan.link, meters_of(site, link_id)) if over else []
        found.proposed[link_id] = offers
        texts = [offer.text for offer in offers]
        if (plan.occupancy or 0) > FULL:
            found.findings.append(overfull(plan, texts))
        elif warning := tight(plan, texts):
            found.warnings.append(warning)
    found.warnings.extend(storage_warnings(site, found.storage))
    return found


def meters_of(site: Site, link_id: str) -> list[MeterConfig]:
    """Return the enabled meters on a link."""
    return [meter for meter in site.meters if meter.enabled and meter.link == link_id]


def certain_findings(site: Site, library: Library) -> list[Finding]:
    """Return what no assumption can mend: channels that cannot be read, links whose wire alone takes too long."""
    planner = Planner(library, NOTHING_ASSUMED)
    found: list[Finding] = []
    for plan in planner.site(site).values():
        found += plan.problems
        if (plan.occupancy or 0) > FULL:
            usual = Planner(library, Assumptions())
            offers = proposals(usual, plan.link, meters_of(site, plan.link.id))
            found.append(
                overfull(plan, [offer.text for offer in offers], "even if every meter answered at once, ")
            )
    return found


def assumed_warnings(site: Site, library: Library) -> list[str]:
    """Return what is tight or full under the usual assumptions about meters, for a site that has no certain findings.

    And, where the state folder is there to be read, each ratio that was recorded otherwise than the site file has it.
    """
    found = examine(site, library, Assumptions())
    advice = "; `metergate plan` has the figures"
    ratios = ratios_of(site.meters)
    recorded = Declared(site.gateway.state_dir).disagreements(ratios, ratios, site.site.timezone)
    plans = [f"{text}{advice}" for text in (*found.warnings, *map(str, found.findings))]
    return plans + [f"meters.{one.text}" for one in recorded]


def overfull(plan: LinkPlan, proposed: Sequence[str], whatever: str = "") -> Finding:
    """Return the finding of a link that cannot keep up. whatever: under which assumptions, in words."""
    return Finding(
        f"links.{plan.link.id}",
        f"{whatever}{percent(plan.occupancy)} of its time needed: {plan.requests} requests take {plan.busy_s or 0:.1f} s, "
        f"and everything is due again after {plan.cycle_s:g} s",
        f"at most {percent(TIGHT)}",
        "\nor ".join(proposed) or "spread the meters over several lines",
    )


def tight(plan: LinkPlan, proposed: Sequence[str]) -> str | None:
    """Return the warning of a link that has little time left, or whose rounds are long; None if all is well."""
    if plan.occupancy is not None and TIGHT < plan.occupancy <= FULL:
        hint = f"; try {' or '.join(proposed)}" if proposed else ""
        return f"links.{plan.link.id}: {percent(plan.occupancy)} of its time needed, above {percent(TIGHT)}{hint}"
    if plan.occupancy is not None and plan.occupancy <= TIGHT and plan.targets:
        shortest_s = min(target.period_s for target in plan.targets)
        if plan.round_s > min(shortest_s, ROUND_MAX_S):
            skipped = math.ceil(plan.round_s / shortest_s) - 1
            what = (
                f"polls of {shortest_s:g} s are late, {skipped} skipped"
                if skipped
                else "readings spread that far"
            )
            return f"links.{plan.link.id}: when all periods fall due together a round takes {plan.round_s:.1f} s: {what}"
    return None
