"""Section 4 and the annexes of the HTML report: findings, what was declared, interpretations, confidence marks. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from gateway.fitting.ruleset import SWITCHES, Confidence
from gateway.reports.page_cells import Cell, Remarks, Table, heads, texts
from gateway.reports.page_sections import findings_by, is_superseded, verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.fitting.outcome import Outcome, Standing
    from gateway.fitting.ruleset import Cited, Ruleset
    from gateway.reports.page_sections import Names
    from gateway.reports.texts import Words

UNSURE = ("S2", "R", "r", "U")


def finding_tables(outcome: Outcome, words: Words, names: Names) -> list[Table]:
    """Return the findings, those to act on first; a table without rows says there is nothing of its kind."""
    return [
        *_needs(outcome, words, names),
        *_instruments(outcome, words, names),
        _surplus(outcome, words, names),
        _unassigned(outcome, words, names),
    ]


def _needs(outcome: Outcome, words: Words, names: Names) -> list[Table]:
    found = findings_by((*outcome.rows, *outcome.water_rows))
    place = ("level_short", "energy_kind", "flow", "from_to")
    missing = Table(words("f_missing"), heads(words, (*place, "ground", "clause", "advice")))
    undetermined = Table(words("f_undetermined"), heads(words, (*place, "ground", "clause")))
    exempt = Table(words("f_exempt"), heads(words, (*place, "ground", "clause", "rests_on")))

    def where(row_level: int, kind: str, flow: str) -> tuple[str, ...]:
        return str(row_level), words.kind(kind), names.flow(flow), names.route(flow)

    for row, one in found["missing"]:
        need = one.need
        told = (
            words.either(need.because_zh, need.because),
            names.cites.clause(need.clause),
            words.either(one.advice_zh, one.advice),
        )
        missing.rows.append(texts((*where(row.level, row.energy_kind, need.flow), *told)))
    for row, one in found["undetermined"]:
        need = one.need
        told_too = words.either(need.undetermined_zh, need.undetermined), names.cites.clause(need.clause)
        undetermined.rows.append(texts((*where(row.level, row.energy_kind, need.flow), *told_too)))
    for row, one in found["exempt"]:
        need = one.need
        ground = words.either(need.exempt_zh, need.exempt) + (f" [{words('kept')}]" if need.kept else "")
        told_last = names.cites.clause(need.exempt_clause), ", ".join(need.rests_on)
        exempt.rows.append(texts((*where(row.level, row.energy_kind, need.flow), ground, *told_last)))
    return [missing, undetermined, exempt]


def _instruments(outcome: Outcome, words: Words, names: Names) -> list[Table]:
    def is_class(one: Standing) -> bool:
        return not one.is_accurate

    kinds: tuple[tuple[str, Callable[[Standing], bool]], ...] = (
        ("f_nonconforming", lambda one: one.verification == "nonconforming"),
        ("f_expired", lambda one: not one.is_verified and one.verification != "nonconforming"),
        ("f_class", is_class),
        ("f_idle", lambda one: one.is_delivering is False),
        ("f_other", lambda one: not (one.is_intact and one.is_confirmed)),
    )
    tables = []
    fitted = [one for one in outcome.standings.values() if one.is_fitted]
    keys = ("name", "flow", "location", "verification", "class_has_wants", "#good_share", "against")
    for key, holds in kinds:
        remarks = Remarks(words)
        table = Table(words(key), heads(words, keys))
        for standing in (one for one in fitted if holds(one)):
            instrument = names.instruments[standing.instrument]
            against = standing.why_zh if words.language == "zh" and standing.why_zh else standing.why
            table.rows.append(
                [
                    *texts((f"{instrument.id} {instrument.name}", ", ".join(instrument.flows))),
                    *texts((instrument.location, verified(instrument, standing, words, outcome))),
                    Cell(f"{standing.stated_class or '—'} / {standing.required_class or '—'}"),
                    remarks.share(standing.good_share, "none_evidence"),
                    Cell("; ".join(against) or "—"),
                ]
            )
        table.notes = remarks.notes()
        tables.append(table)
    return tables


def _surplus(outcome: Outcome, words: Words, names: Names) -> Table:
    table = Table(words("f_surplus"), heads(words, ("name", "flow", "energy_kind", "level_short", "ground")))
    for row in outcome.rows:
        for name in row.surplus:
            one = names.instruments[name]
            where = f"{one.id} {one.name}", ", ".join(one.flows), words.kind(row.energy_kind), str(row.level)
            table.rows.append(texts((*where, words("surplus_why"))))
    return table


def _unassigned(outcome: Outcome, words: Words, names: Names) -> Table:
    table = Table(words("f_unassigned"), heads(words, ("name", "category", "flow", "location")))
    for name in outcome.unassigned:
        one = names.instruments[name]
        table.rows.append(
            texts((f"{one.id} {one.name}", names.category(one), ", ".join(one.flows), one.location))
        )
    table.notes = [("", words("unassigned_why"))]
    return table


def declared_tables(outcome: Outcome, words: Words) -> list[Table]:
    """Return staff, stocks and answers as declared; none of them if nothing is."""
    inventory = outcome.inventory
    staff = Table(words("staff"), heads(words, ("name", "post", "department", "training", "document")))
    staff.rows = [
        texts((one.name, one.post, one.department, one.training, one.document)) for one in inventory.staff
    ]
    keys = ("energy_kind", "year", "#purchased", "#consumed", "#stock", "document")
    stocks = Table(words("stocks"), heads(words, keys))
    for one in inventory.stocks:
        amounts = [
            Cell("—" if value is None else str(value), "num")
            for value in (one.purchased, one.consumed, one.stock)
        ]
        stocks.rows.append(
            [*texts((words.kind(one.energy_kind), str(one.year))), *amounts, Cell(one.document)]
        )
    answers = Table(words("answers"), heads(words, ("item", "answer", "document")))
    answers.rows = [
        texts((one.item, words(f"answer_{one.answer}"), one.document)) for one in inventory.answers
    ]
    return [table for table in (staff, stocks, answers) if table.rows]


def interpretation_table(outcome: Outcome, words: Words) -> Table:
    """Return how every question the standards leave open is answered."""
    keys = ("ruleset", "switch", "choice", "meaning", "clause")
    table = Table(words("s_interpretations"), heads(words, keys), has_row_heads=False)
    for ruleset in _rulesets(outcome):
        for switch in SWITCHES:
            stated = ruleset.interpretations.get(switch)
            text = words("by_default") if stated is None else words.either(stated.text_zh, stated.text)
            clause = "" if stated is None else words.either(stated.clause_zh, stated.clause)
            if stated is not None or ruleset is outcome.ruleset:
                table.rows.append(texts((ruleset.ruleset.id, switch, ruleset.choice(switch), text, clause)))
    return table


def marks_table(outcome: Outcome, words: Words) -> Table:
    """Return the confidence marks with their meaning, and how many rows of the rulesets bear each."""
    used = Counter(row.confidence for ruleset in _rulesets(outcome) for row in rows_of(ruleset))
    table = Table(words("s_marks"), heads(words, ("mark", "meaning", "#used_rows")))
    for mark in get_args(Confidence):
        table.rows.append([Cell(mark), Cell(words(f"mark_{mark}")), Cell(str(used[mark]), "num")])
    return table


def banners(outcome: Outcome, words: Words) -> list[str]:
    """Return what whoever reads the report must know before any figure of it."""
    told = list(outcome.doubts_zh if words.language == "zh" and outcome.doubts_zh else outcome.doubts)
    for ruleset in _rulesets(outcome):
        about = ruleset.ruleset
        if is_superseded(ruleset, outcome.as_of) and not _is_told(told, about.id, str(about.superseded_on)):
            by = about.superseded_by or words("another_edition")
            told.append(words("superseded", id=about.id, on=about.superseded_on, by=by))
        if ruleset.is_empty and not _is_told(told, about.id):
            told.append(words("empty", id=about.id))
    unsure = [
        row.confidence for one in _rulesets(outcome) for row in rows_of(one) if row.confidence in UNSURE
    ]
    if unsure:
        marks = ", ".join(mark for mark in UNSURE if mark in unsure)
        told.append(words("unsure", count=len(unsure), marks=marks))
    return list(dict.fromkeys(told))


def _is_told(told: list[str], *parts: str) -> bool:
    """Return whether one of the texts names all of the parts."""
    return any(all(part in text for part in parts) for text in told)


def rows_of(ruleset: Ruleset) -> list[Cited]:
    """Return every row of a ruleset that carries a source."""
    lists = (ruleset.limits, ruleset.rates, ruleset.shares, ruleset.classes, ruleset.user_classes)
    rows: list[Cited] = [row for one in (*lists, ruleset.notes, ruleset.equivalents) for row in one]
    return [*rows, *(row for row in (ruleset.ladder, ruleset.proof) if row is not None)]


def _rulesets(outcome: Outcome) -> list[Ruleset]:
    return [outcome.ruleset, *([outcome.water_ruleset] if outcome.water_ruleset is not None else [])]
