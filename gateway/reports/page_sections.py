"""Sections 1 to 3 of the HTML report: need, inspection, calculation. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.energy_kinds import ENERGY_KINDS
from gateway.fitting.categories import CATEGORIES
from gateway.inventory.model import ORGANIZATION, OUTSIDE
from gateway.reports.page_cells import Cell, Remarks, Table, heads, number, percent, texts
from gateway.reports.page_cites import Cites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from gateway.fitting.outcome import Judged, Outcome, Row, Standing
    from gateway.fitting.ruleset import Ruleset
    from gateway.inventory.model import Instrument
    from gateway.reports.texts import Words

LEVELS = (1, 2, 3)
_ORDER = {kind: n for n, kind in enumerate(ENERGY_KINDS)}
EMPTY = Cell("")


class Names:
    """What the ids of an inventory are called, for one language."""

    def __init__(self, outcome: Outcome, words: Words) -> None:
        """Index an inventory."""
        inventory = outcome.inventory
        self._words = words
        self._names = {one.id: one.name for one in inventory.units}
        self._names |= {one.id: one.name for one in inventory.equipment}
        self._names[OUTSIDE] = words("outside")
        self._names[ORGANIZATION] = inventory.organization.name
        self._flows = {flow.id: flow for flow in inventory.flows}
        self.instruments = {one.id: one for one in inventory.instruments}
        self.cites = Cites(outcome, words)

    def flow(self, key: str) -> str:
        """Return a flow as id and name."""
        flow = self._flows.get(key)
        return f"{key} {flow.name}" if flow is not None and flow.name else key

    def route(self, key: str) -> str:
        """Return where a flow comes from and where it goes."""
        flow = self._flows.get(key)
        if flow is None:
            machine = key.rpartition(":")[0]
            return f"? → {self._names.get(machine, machine)}"
        return (
            f"{self._names.get(flow.from_end, flow.from_end)} → {self._names.get(flow.to_end, flow.to_end)}"
        )

    def owners(self, keys: Sequence[str]) -> str:
        """Return units or equipment by name."""
        return ", ".join(self._names.get(key, key) for key in keys)

    def category(self, one: Instrument) -> str:
        """Return what kind of instrument it is."""
        words = CATEGORIES[one.category]
        return self._words.either(words.zh, words.en.removeprefix("an ").removeprefix("a "))


def by_kind(rows: Sequence[Row]) -> list[Row]:
    """Return rows by level, then in the order of energy kinds."""
    return sorted(rows, key=lambda row: (row.level, _ORDER.get(row.energy_kind, len(_ORDER))))


def need_tables(outcome: Outcome, words: Words, names: Names) -> list[Table]:
    """Return how many flows are needed by level and energy kind, then each with its ground and clause."""
    keys = ("level_short", "energy_kind", "#considered", "#exempt_count", "#need_long", "clause")
    counts = Table(words("s_need"), heads(words, keys), has_row_heads=False)
    found = [counts]
    rows = by_kind(outcome.rows)
    for level in LEVELS:
        own = [row for row in rows if row.level == level]
        detail = Table(
            words(f"level_{level}"),
            heads(words, ("energy_kind", "flow", "from_to", "needed_for", "ground", "clause")),
            has_row_heads=False,
        )
        for row in own:
            kind = words.kind(row.energy_kind)
            exempt = sum(1 for one in row.judged if not one.counts)
            counts.rows.append(
                [
                    Cell(str(level)),
                    Cell(kind),
                    *(Cell(str(n), "num") for n in (len(row.judged), exempt, row.need)),
                    Cell(names.cites.clauses(row.clauses)),
                ]
            )
            detail.rows += [_need(one, kind, words, names) for one in row.judged if one.counts]
        if detail.rows:
            found.append(detail)
    return found


def _need(one: Judged, kind: str, words: Words, names: Names) -> list[Cell]:
    need = one.need
    ground = words.either(need.because_zh, need.because)
    if need.undetermined:
        ground = f"{ground} [? {words.either(need.undetermined_zh, need.undetermined)}]"
    if need.kept:
        ground = f"{ground} [{words('kept')}]"
    return texts(
        (
            kind,
            names.flow(need.flow),
            names.route(need.flow),
            names.owners(need.owners),
            ground,
            names.cites.clause(need.clause),
        )
    )


def inspection_table(outcome: Outcome, words: Words, names: Names) -> Table:
    """Return every instrument with what ledger and readings say of it, and room for what is found on site."""
    keys = (
        *("#number", "name", "category", "serial", "location", "flow", "class_has_wants", "verification"),
        *("status", "confirmed", "connected", "#good_share", "effective", "on_site"),
    )
    remarks = Remarks(words)
    table = Table(words("s_inspection"), heads(words, keys), look="dense", has_row_heads=False)
    for n, one in enumerate(outcome.inventory.instruments, 1):
        standing = outcome.standings.get(one.id)
        if standing is not None:
            table.rows.append(_inspected(n, one, standing, words, names, remarks, outcome))
    table.notes = remarks.notes()
    return table


def _inspected(
    n: int,
    one: Instrument,
    standing: Standing,
    words: Words,
    names: Names,
    remarks: Remarks,
    outcome: Outcome,
) -> list[Cell]:
    status = words(one.status)
    if one.running != "good":
        status += f" / {words('running_repair')}"
    return [
        Cell(str(n), "num"),
        Cell(f"{one.id} {one.name}"),
        Cell(names.category(one)),
        Cell(" / ".join(filter(None, (one.serial, one.own_number))) or "—"),
        Cell(one.location or "—"),
        Cell(", ".join(one.flows) or "—"),
        Cell(
            f"{standing.stated_class or '—'} / {standing.required_class or '—'}",
            "" if standing.is_accurate else "bad",
        ),
        Cell(verified(one, standing, words, outcome), "until" if standing.is_verified else "until bad"),
        Cell(status),
        _yes_or_no(standing.is_confirmed, words, remarks),
        _yes_or_no(standing.is_connected, words, remarks),
        remarks.share(standing.good_share, "none_evidence"),
        _yes_or_no(standing.is_effective, words, remarks),
        EMPTY,
    ]


def verified(one: Instrument, standing: Standing, words: Words, outcome: Outcome) -> str:
    """Return how the verification of an instrument stands, with its last day."""
    state = words(standing.verification) if standing.verification else words("unknown")
    newest = one.verification(outcome.as_of)
    if newest is None or newest.last_day is None or standing.verification not in ("valid", "expired"):
        return state
    return words("until", state=state, day=newest.last_day.isoformat())


def _yes_or_no(holds: bool | None, words: Words, remarks: Remarks) -> Cell:
    if holds is None:
        return remarks.empty("none_evidence")
    return Cell(f"✓\u00a0{words('y')}", "good") if holds else Cell(f"✗\u00a0{words('n')}", "bad")


RATE_KEYS = (
    *("energy_kind", "#need", "#fitted", "#connected", "#effective", "#rate", "#required", "meets"),
    *("#intact", "#verified", "#accurate", "#auto", "#completeness", "#covered", "clause", "confidence"),
)


def rate_tables(outcome: Outcome, words: Words) -> list[Table]:
    """Return the rates of each level with a subtotal of its counts."""
    is_old = is_superseded(outcome.ruleset, outcome.as_of)
    cites = Cites(outcome, words)
    rows = by_kind(outcome.rows)
    found = []
    for level in LEVELS:
        own = [row for row in rows if row.level == level]
        if not own:
            continue
        remarks = Remarks(words)
        table = Table(words(f"level_{level}"), heads(words, RATE_KEYS), look="dense")
        table.rows = [_rate(row, words, remarks, cites, is_old) for row in own]
        table.rows.append(_subtotal(own, words, remarks))
        table.notes = [*remarks.notes(), ("", words("subtotal_note"))]
        table.notes += [
            ("*", f"{words.kind(row.energy_kind)}: {cites.conflict(row.conflict)}")
            for row in own
            if row.conflict
        ]
        found.append(table)
    return found


def _rate(row: Row, words: Words, remarks: Remarks, cites: Cites, is_old: bool) -> list[Cell]:
    of_fitted = "none_fitted" if row.need else "none_need"
    conflict = " *" if row.conflict else ""
    return [
        Cell(words.kind(row.energy_kind)),
        Cell(str(row.need), "num"),
        Cell(str(row.fitted), "num"),
        remarks.count(row.connected, "none_evidence"),
        remarks.count(row.effective, "none_evidence"),
        remarks.share(row.rate, "none_need"),
        remarks.empty("none_required")
        if row.required is None
        else Cell(number(row.required) + conflict, "num"),
        meets(row.meets, words, remarks, "none_need" if row.rate is None else "none_required", is_old),
        *(remarks.share(share, of_fitted) for share in (row.intact, row.verified, row.accurate)),
        remarks.share(row.auto_collected, "none_evidence" if row.need else "none_need"),
        remarks.share(row.completeness, "none_evidence" if row.fitted else of_fitted),
        remarks.share(row.covered, "none_amount" if row.need else "none_need"),
        Cell(cites.clauses(row.clauses) or "—"),
        Cell(row.confidence or "—", "num"),
    ]


def meets(holds: bool | None, words: Words, remarks: Remarks, reason: str, is_old: bool) -> Cell:
    """Return a verdict; by an edition that is superseded it never goes without that word."""
    if holds is None:
        return remarks.empty(reason)._replace(look="")
    key = ("yes" if holds else "no") + ("_old" if is_old else "")
    return Cell(f"{'✓' if holds else '✗'} {words(key)}", "good" if holds else "bad")


def _subtotal(rows: Sequence[Row], words: Words, remarks: Remarks) -> list[Cell]:
    def total(counts: Sequence[int | None]) -> Cell:
        known = [one for one in counts if one is not None]
        return Cell(str(sum(known)), "num") if len(known) == len(counts) else remarks.empty("none_evidence")

    counts = [
        total([row.need for row in rows]),
        total([row.fitted for row in rows]),
        total([row.connected for row in rows]),
        total([row.effective for row in rows]),
    ]
    return [Cell(words("subtotal"), "total"), *counts, *[EMPTY] * (len(RATE_KEYS) - 5)]


def is_superseded(ruleset: Ruleset, on: date) -> bool:
    """Return whether another edition had taken a ruleset's place on a day."""
    return ruleset.ruleset.superseded_on is not None and ruleset.ruleset.superseded_on <= on


def water_table(outcome: Outcome, words: Words) -> Table | None:
    """Return the three results of water side by side; None without any."""
    remarks, cites = Remarks(words), Cites(outcome, words)
    keys = (
        "level_short",
        "result",
        "#need",
        "#fitted",
        "#rate",
        "#required",
        "meets",
        "clause",
        "confidence",
    )
    table = Table(words("water_title"), heads(words, keys), has_row_heads=False)
    rulesets = [one for one in (outcome.ruleset, outcome.water_ruleset) if one is not None]
    old = {one.ruleset.id: is_superseded(one, outcome.as_of) for one in rulesets}
    energy_rows = [row for row in outcome.rows if row.energy_kind == "water"]
    if not (energy_rows or outcome.water_rows or outcome.water_shares):
        return None
    for level in LEVELS:
        for key, rows in (("water_first", energy_rows), ("water_second", outcome.water_rows)):
            table.rows += [
                [
                    Cell(str(level)),
                    Cell(f"{row.ruleset}: {words(key)}"),
                    *(Cell(str(n), "num") for n in (row.need, row.fitted)),
                    remarks.share(row.rate, "none_need"),
                    Cell(number(row.required), "num"),
                    meets(row.meets, words, remarks, "none_need", old.get(row.ruleset, False)),
                    Cell(cites.clauses(row.clauses)),
                    Cell(row.confidence or "—", "num"),
                ]
                for row in rows
                if row.level == level
            ]
        for share in (one for one in outcome.water_shares if one.level == level):
            amounts = [
                f"{number(value)} {share.unit}" if value is not None else "—"
                for value in (share.total, share.metered)
            ]
            table.rows.append(
                [
                    Cell(str(level)),
                    Cell(f"{share.ruleset}: {words('water_third')}"),
                    *(Cell(amount, "num") for amount in amounts),
                    Cell(percent(share.share), "num")
                    if share.share is not None
                    else remarks.empty("none_amount"),
                    Cell(number(share.required), "num"),
                    meets(share.meets, words, remarks, "none_amount", old.get(share.ruleset, False)),
                    Cell(cites.clauses(share.clauses)),
                    Cell(share.confidence or "—", "num"),
                ]
            )
    table.notes = [*remarks.notes(), ("", words("water_note"))]
    return table


def findings_by(rows: Sequence[Row]) -> dict[str, list[tuple[Row, Judged]]]:
    """Return what is missing, exempt and undetermined."""
    found: dict[str, list[tuple[Row, Judged]]] = defaultdict(list)
    for row in by_kind(rows):
        for one in row.judged:
            if one.counts and not one.is_fitted:
                found["missing"].append((row, one))
            if one.need.exempt:
                found["exempt"].append((row, one))
            if one.need.undetermined:
                found["undetermined"].append((row, one))
    return found
