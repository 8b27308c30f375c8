"""The fitting rates (配备率) for the feed: worked out in a thread, from the inventory in force and what the history has."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

import orjson

from gateway.derive.site_grid import grid_of
from gateway.errors import MetergateError
from gateway.evidence.loading import load_evidence
from gateway.feed.bodies import BODY_MAX
from gateway.fitting.evaluate import evaluate
from gateway.fitting.evidence import window_before
from gateway.fitting.result import PLACES
from gateway.fitting.rulesets import Rulesets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from fractions import Fraction

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.derive.messenger import Messenger
    from gateway.fitting.evidence import Evidence
    from gateway.fitting.outcome import Outcome, Row, ShareRow
    from gateway.inventory.model import Inventory
    from gateway.inventory.revisions import Revision

Body = dict[str, Any]
LISTS = ("missing", "exempt", "surplus", "undetermined")
NAMES = (1000, 100, 20, 5, 0)  # kept in each list: the most that fits


class Rating:
    """What the keeper publishes, and what it is of; nothing where that was published already."""

    def __init__(self, site: Site, library: Library, messenger: Messenger) -> None:
        """messenger: rates are said anew where it speaks from another place, in another chain or with another key."""
        self._site, self._library, self._messenger = site, library, messenger
        self.is_stopping = False

    def rate(
        self, revision: Revision, as_of: date, now_ns: int, published: Mapping[str, Any] | None
    ) -> tuple[Body, Body] | None:
        """Return the body of a message and what it is of; None if that is `published`. Takes seconds: for a thread.

        now_ns: readings due later do not count. Raises MetergateError.
        """
        own = self._site.inventory
        rulesets = Rulesets(own.ruleset_dirs)
        ruleset = rulesets.get(own.ruleset)
        name = own.water_ruleset or ruleset.ruleset.water
        water = rulesets.get(name) if name else None
        of = {
            "inventory": revision.inventory.digest,
            "revision": revision.number,
            "rulesets": [one.digest for one in (ruleset, water) if one is not None],
            "as_of": as_of.isoformat(),
            "to": [self._messenger.place, self._messenger.keys.current.kid, self._messenger.chain],
        }
        if published == of:
            return None
        outcome = evaluate(
            revision.inventory, ruleset, water, as_of, self._evidence(revision.inventory, as_of, now_ns)
        )
        head = {
            "ruleset": ruleset.ruleset.id,
            "ruleset_digest": ruleset.digest,
            "as_of": as_of.isoformat(),
            "at": grid_of(self._site).iso(now_ns),
            "inventory": revision.inventory.digest,
            "revision": revision.number,
        }
        return head | {"result": result(outcome)}, of

    def _evidence(self, inventory: Inventory, as_of: date, now_ns: int) -> Evidence | None:
        window = window_before(as_of)
        found = load_evidence(inventory, self._site, self._library, window, now_ns, self._go_on)
        return found.evidence

    def _go_on(self, _share: float) -> None:
        if self.is_stopping:
            raise MetergateError("the gateway stops")


def result(outcome: Outcome) -> Body:
    """Return an outcome as messages have it: `contract_fitting.FittingResult`; a long one with fewer names."""
    meta = outcome.ruleset.ruleset
    is_old = meta.superseded_on is not None and meta.superseded_on <= outcome.as_of
    body = {
        "window_from": outcome.window.first.isoformat(),
        "window_to": outcome.window.last.isoformat(),
        "superseded_on": meta.superseded_on.isoformat() if is_old and meta.superseded_on else None,
        "superseded_by": meta.superseded_by if is_old else "",
        "doubts": list(outcome.doubts),
        "rates": [_row(row) for row in (*outcome.rows, *outcome.water_rows)],
        "water_shares": [_share(row) for row in outcome.water_shares],
        "left_out": 0,
    }
    for most in NAMES:
        found = _shortened(body, most)
        if len(orjson.dumps(found)) <= BODY_MAX:
            break
    return found


def _shortened(body: Body, most: int) -> Body:
    left_out = sum(max(len(row[name]) - most, 0) for row in body["rates"] for name in LISTS)
    rates = [row | {name: row[name][:most] for name in LISTS} for row in body["rates"]]
    return body | {"rates": rates, "left_out": left_out}


def _row(row: Row) -> Body:
    return {
        "ruleset": row.ruleset,
        "level": row.level,
        "energy_kind": row.energy_kind,
        "need": row.need,
        "fitted": row.fitted,
        "connected": row.connected,
        "effective": row.effective,
        "rate_percent": percent(row.rate),
        "required_percent": _text(row.required),
        "meets": row.meets,
        "intact_percent": percent(row.intact),
        "verified_percent": percent(row.verified),
        "accurate_percent": percent(row.accurate),
        "auto_collected_percent": percent(row.auto_collected),
        "completeness_percent": percent(row.completeness),
        "covered_percent": percent(row.covered),
        "clauses": list(row.clauses),
        "missing": _once(one.need.flow for one in row.judged if one.counts and not one.is_fitted),
        "exempt": _once(one.need.flow for one in row.judged if one.need.exempt),
        "surplus": _once(row.surplus),
        "undetermined": _once(one.need.flow for one in row.judged if one.need.undetermined),
    }


def _share(row: ShareRow) -> Body:
    return {
        "ruleset": row.ruleset,
        "level": row.level,
        "energy_kind": row.energy_kind,
        "share_percent": percent(row.share),
        "required_percent": _text(row.required),
        "meets": row.meets,
    }


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def percent(share: Fraction | None) -> str | None:
    """Return a share in % as a decimal string, rounded down as in `metergate fitting --json`."""
    if share is None:
        return None
    exact = Decimal(share.numerator * 100) / Decimal(share.denominator)
    return f"{exact.quantize(PLACES, rounding=ROUND_DOWN):f}"


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
