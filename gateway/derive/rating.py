"""The fitting rates (配备率) for the feed: worked out in a thread, from the inventory in force and what the history has."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from gateway.derive.site_grid import grid_of
from gateway.errors import MetergateError
from gateway.evidence.loading import load_evidence
from gateway.feed.bodies import BODY_MAX
from gateway.feed.contract_fitting import FittingRow, FittingShare
from gateway.fitting.evaluate import evaluate
from gateway.fitting.evidence import window_before
from gateway.fitting.result import result as fitting_result
from gateway.fitting.rulesets import Rulesets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.derive.messenger import Messenger
    from gateway.feed.contract_values import Model
    from gateway.fitting.evidence import Evidence
    from gateway.fitting.outcome import Outcome
    from gateway.fitting.result_shape import RateBody, ShareBody
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
    """Return an outcome as messages have it: `contract_fitting.FittingResult`; a long one with fewer names.

    Every figure is that of the documented JSON (`gateway.fitting.result`); only its form is that of messages.
    """
    whole = fitting_result(outcome)
    old, water = whole["superseded"], whole["water"]
    rulesets = (outcome.ruleset, outcome.water_ruleset)
    superseded = {
        one.ruleset.id for one in rulesets if one is not None and one.ruleset.is_superseded(outcome.as_of)
    }
    rates = [*whole["rates"], *(() if water is None else water["rates"])]
    shares = [] if water is None else water["shares"]
    body = {
        "window_from": whole["window"]["from"],
        "window_to": whole["window"]["to"],
        "whole": None if outcome.evidence is None else outcome.evidence.whole,
        "superseded_on": None if old is None else old["on"],
        "superseded_by": "" if old is None else old["by"],
        "doubts": whole["doubts"],
        "rates": [_row(row) | {"superseded": row["ruleset"] in superseded} for row in rates],
        "water_shares": [_share(row) | {"superseded": row["ruleset"] in superseded} for row in shares],
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


def _row(row: RateBody) -> Body:
    """Return a row with shares as decimal texts, and of each list the names alone."""
    flows = {name: _once(one["flow"] for one in row[name]) for name in ("missing", "undetermined")}
    exempt = _once(one["flow"] for one in row["exempt"] if not one["counted"])
    return _texts(row, FittingRow) | flows | {"exempt": exempt, "surplus": _once(row["surplus"])}


def _share(row: ShareBody) -> Body:
    return _texts(row, FittingShare)


def _texts(row: Mapping[str, Any], model: type[Model]) -> Body:
    """Return what messages have of a row, with shares as decimal texts, what is demanded in as few digits as it has."""
    texts = {name: value for name, value in row.items() if name in model.model_fields}
    for name, value in texts.items():
        if name == "required_percent":
            texts[name] = None if value is None else f"{Decimal(repr(value)).normalize():f}"
        elif name.endswith("_percent"):
            texts[name] = percent(value)
    return texts


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def percent(share: float | None) -> str | None:
    """Return a share in %, rounded already, as a decimal text with four places."""
    return None if share is None else f"{share:.4f}"
