"""The report of a fitting evaluation as one HTML file: to read, to print, to sign. It loads nothing from anywhere.

Order: need, inspection, calculation, findings. Source: GB/T 43866-2024 (confidence S: its scope; the text was not seen).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.reports.diagram import embedded
from gateway.reports.diagram_shapes import FORBIDDEN
from gateway.reports.origin import told
from gateway.reports.page_cells import body
from gateway.reports.page_findings import (
    banners,
    declared_tables,
    finding_tables,
    interpretation_table,
    marks_table,
)
from gateway.reports.page_on_site import fill_marks, noted_tables, seen_tables
from gateway.reports.page_sections import (
    Names,
    inspection_table,
    need_tables,
    rate_tables,
    water_table,
)
from gateway.reports.texts import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from gateway.fitting.outcome import Outcome
    from gateway.fitting.ruleset import Ruleset
    from gateway.inspection.summary import OnSite
    from gateway.reports.texts import Language

TEMPLATES = Path(__file__).parent / "templates"
DRAWINGS_MAX = 24
"""Embedded; of more only those of the whole organisation are."""


def page(
    outcome: Outcome,
    language: Language,
    *,
    made_at: str,
    revision: int | None,
    inspections: Sequence[OnSite] = (),
) -> str:
    """Return the report as HTML.

    made_at: when, as it is to be shown. revision: of the inventory, None if it is not an applied one. inspections: on site, to be told too.
    Raises ModuleNotFoundError without the extra `report`.
    """
    words, template = Words(language), _template()
    names = Names(outcome, words)
    instruments = inspection_table(outcome, words, names)
    fill_marks(instruments, outcome, inspections, words)
    drawings, left_out = embedded(outcome, language, DRAWINGS_MAX)
    html = template.render(
        w=words,
        body=body,
        language="zh-CN" if language == "zh" else "en",
        outcome=outcome,
        facts=_facts(outcome, words, made_at, revision),
        banners=banners(outcome, words),
        rates=rate_tables(outcome, words),
        water=water_table(outcome, words),
        need=need_tables(outcome, words, names),
        inspection=instruments,
        on_site=seen_tables(inspections, words),
        findings=[*finding_tables(outcome, words, names), *noted_tables(outcome, inspections, words)],
        declared=declared_tables(outcome, words),
        drawings=drawings,
        left_out=left_out,
        interpretations=interpretation_table(outcome, words),
        marks=marks_table(outcome, words),
        commands=_commands(outcome, language, revision),
        made_at=made_at,
    )
    return FORBIDDEN.sub("\ufffd", html)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _facts(outcome: Outcome, words: Words, made_at: str, revision: int | None) -> list[tuple[str, str, str]]:
    """Return what stands on the first page: label, text, and a digest where there is one."""
    about, inventory = outcome.inventory.organization, outcome.inventory
    number = words("not_applied") if revision is None else words("revision", number=revision)
    evidence = outcome.evidence
    window = words("window_value", first=outcome.window.first, last=outcome.window.last)
    sources = words("no_evidence_long") if evidence is None else words.either(*told(evidence))
    facts = [
        (words("for_organization"), about.name, ""),
        (words("credit_code"), about.credit_code or "—", ""),
        (words("industry"), about.industry or "—", ""),
        (words("address"), about.address or "—", ""),
        (words("as_of"), outcome.as_of.isoformat(), ""),
        (words("statistics_year"), str(about.statistics_year or words("unknown")), ""),
        (words("window"), window, ""),
        (words("evidence"), sources, "" if evidence is None else evidence.origin.sha256),
        (words("user_class"), outcome.user_class or words("unknown"), ""),
        (words("prepared_by"), about.prepared_by or "—", ""),
        (words("inventory"), number, inventory.digest),
        (words("ruleset"), _title(outcome.ruleset, words), outcome.ruleset.digest),
    ]
    if outcome.water_ruleset is not None:
        facts.append(
            (words("water_ruleset"), _title(outcome.water_ruleset, words), outcome.water_ruleset.digest)
        )
    return [*facts, (words("made_at"), made_at, "")]


def _title(ruleset: Ruleset, words: Words) -> str:
    title = words.either(ruleset.ruleset.title_zh, ruleset.ruleset.title)
    begins = title.replace(" ", "").replace("/", "").startswith(ruleset.ruleset.id)
    return title if begins else f"{ruleset.ruleset.id} {title}"


def _commands(outcome: Outcome, language: Language, revision: int | None) -> dict[str, Any]:
    """Return the command lines that give this report again, and explain it."""
    given = "--inventory FILE " if revision is None else ""
    same = f"metergate fitting {given}--ruleset {outcome.ruleset.ruleset.id} --as-of {outcome.as_of}"
    return {
        "again": [f"{same} --html report.html --lang {language}", f"{same} --json"],
        "explain": [f"{same} --explain ID"],
    }
