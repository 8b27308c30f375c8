"""What `metergate fitting` prints: the rates as a table, what is missing and what to fit, and the way from a rate to its clause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from gateway.commands.grid import Grid, count, figures, note, words
from gateway.commands.tables import console
from gateway.energy_kinds import ENERGY_KINDS
from gateway.fitting.result import percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from gateway.fitting.outcome import Judged, Outcome, Row

LEVELS = {1: "L1 进出用能单位", 2: "L2 主要次级用能单位", 3: "L3 主要用能设备"}
SHOWN_MAX = 40
"""Missing flows listed in the terminal; the JSON and the reports have all."""


def rate_text(share: Fraction | None) -> str:
    """Return a share in % for people, rounded down to two places; "–" for none."""
    found = percent(share)
    if found is None:
        return "–"
    whole = int(found * 100 + 1e-9) / 100
    return f"{whole:.2f}".rstrip("0").rstrip(".")


def _meets(row: Row) -> Text:
    if row.meets is None:
        return Text("–", style="dim")
    return Text("yes", style="green") if row.meets else Text("no", style="red")


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def show_head(outcome: Outcome, revision: int | None) -> None:
    """Print what a result stands on, and what is to be known before a figure of it."""
    out = console()
    organization = outcome.inventory.organization
    out.print(Text(f"{organization.name}: fitting rates 配备率 as of {outcome.as_of}", style="bold"))
    applied = f"revision {revision}" if revision is not None else "not applied 未审批"
    out.print(
        note(
            f"ruleset {outcome.ruleset.ruleset.id} · inventory {applied}, digest {outcome.inventory.digest[:12]}"
        )
    )
    known = outcome.evidence
    source = (
        "no evidence: connected and effective are not known"
        if known is None
        else f"evidence: {known.source or 'file'}"
    )
    out.print(note(f"window {outcome.window.first} … {outcome.window.last} · {source}"))
    for doubt in outcome.doubts:
        out.print(note(f"! {doubt}", style="yellow"))


def show(outcome: Outcome, revision: int | None) -> None:
    """Print an outcome."""
    show_head(outcome, revision)
    out = console()
    out.print(_grid(outcome.rows))
    out.print(
        note(
            "need 应配 · fitted 实配 · connected 在线 · effective 有效 · intact 完好率 · verified 检定率 · "
            "class 准确度合格率 · auto 自动采集率; % rounded down",
            style="dim",
        )
    )
    if outcome.water_ruleset is not None:
        _show_water(outcome)
    _show_missing(outcome.rows)
    _show_counts(outcome)


def _grid(rows: Sequence[Row]) -> Grid:
    grid = Grid(
        "energy kind", figures("need"), figures("fitted"), figures("connected"), figures("effective"), figures("rate %"),
        figures("demanded %"), "meets", figures("intact %", drop=2), figures("verified %", drop=3),
        figures("class %", drop=3), figures("auto %", drop=4), figures("exempt", drop=1),
    )  # fmt: skip
    for level, heading in LEVELS.items():
        own = [row for row in rows if row.level == level]
        if not own:
            continue
        grid.add_section(heading)
        for row in own:
            zh, _ = ENERGY_KINDS[row.energy_kind]
            grid.add_row(
                f"{row.energy_kind} {zh}",
                str(row.need),
                str(row.fitted),
                _number(row.connected),
                _number(row.effective),
                rate_text(row.rate),
                "–" if row.required is None else f"{row.required:f}",
                _meets(row),
                rate_text(row.intact),
                rate_text(row.verified),
                rate_text(row.accurate),
                rate_text(row.auto_collected),
                str(sum(1 for one in row.judged if one.need.exempt)),
            )
    return grid


def _show_water(outcome: Outcome) -> None:
    assert outcome.water_ruleset is not None
    out = console()
    out.print(Text(f"water by {outcome.water_ruleset.ruleset.id} 水", style="bold"))
    out.print(_grid(outcome.water_rows))
    grid = Grid(
        "level",
        figures("metered"),
        figures("total"),
        "unit",
        figures("share %"),
        figures("demanded %"),
        "meets",
    )
    for row in outcome.water_shares:
        meets = "–" if row.meets is None else "yes" if row.meets else "no"
        cells = [
            LEVELS[row.level],
            "–" if row.metered is None else f"{row.metered:f}",
            "–" if row.total is None else f"{row.total:f}",
            row.unit,
            rate_text(row.share),
            "–" if row.required is None else f"{row.required:f}",
        ]
        grid.add_row(*cells, meets)
    out.print(Text("metered share by quantity 水计量率", style="bold"))
    out.print(grid)
    for row in outcome.water_shares:
        if row.unknown:
            out.print(note(f"{LEVELS[row.level]}: amounts not known of {', '.join(row.unknown)}"))


def missing_of(rows: Sequence[Row]) -> list[Judged]:
    """Return the needs without instrument, one for each flow, the highest level first."""
    found: dict[str, Judged] = {}
    for row in sorted(rows, key=lambda row: row.level):
        for one in row.judged:
            if one.counts and not one.is_fitted:
                found.setdefault(one.need.flow, one)
    return list(found.values())


def _show_missing(rows: Sequence[Row]) -> None:
    missing = missing_of(rows)
    if not missing:
        return
    grid = Grid("level", "flow", words("because"), words("what to do"), title="\nto be fitted 应配未配")
    for one in missing[:SHOWN_MAX]:
        grid.add_row(f"L{one.need.level}", one.need.flow, one.need.because, one.advice)
    out = console()
    out.print(grid)
    if len(missing) > SHOWN_MAX:
        out.print(
            note(f"and {count(len(missing) - SHOWN_MAX, 'flow')} more: --json and the reports list all")
        )


def _show_counts(outcome: Outcome) -> None:
    judged = [one for row in outcome.rows for one in row.judged]
    exempt = sum(1 for one in judged if one.need.exempt)
    surplus = sum(len(row.surplus) for row in outcome.rows)
    undetermined = sum(1 for one in judged if one.need.undetermined)
    text = f"{count(exempt, 'exemption')}, {count(surplus, 'surplus instrument')}, {count(undetermined, 'undetermined need')}"
    console().print(
        note(
            f"{text}; `metergate fitting --explain NAME` shows why, of a unit, equipment, flow or instrument"
        )
    )


def show_explained(body: dict[str, Any]) -> None:
    """Print the explanation of one name."""
    out = console()
    out.print(Text(f"{body['what']} {body['name']}: {body['title']}", style="bold"))
    if "route" in body:
        out.print(note(f"{body['route']} · {body['energy_kind']} · {body['state']}"))
    if body.get("is_main") is not None:
        verdict = (
            "may be a main one"
            if body["is_undetermined"]
            else "is a main one"
            if body["is_main"]
            else "is no main one"
        )
        out.print(note(verdict))
    for line, zh in zip(
        body.get("because", []), body.get("because_zh", body.get("because", [])), strict=False
    ):
        out.print(note(line if line == zh else f"{line} {zh}"))
    for standing in [body["standing"]] if "standing" in body else []:
        out.print(note(_standing(standing)))
    for title, key in (("needs", "needs"), ("exemptions that rest on it", "exemptions")):
        if body.get(key):
            out.print(Text(title, style="bold"))
            for need in body[key]:
                _show_need(need)


def _show_need(need: dict[str, Any]) -> None:
    out, row = console(), need["row"]
    style = {"fitted": "green", "missing": "red"}.get(need["verdict"], "yellow")
    head = f"L{need['level']} {need['energy_kind']} · {need['flow']}: {need['route']} · {need['verdict']}"
    out.print(note(head, style=style))
    rate = "n/a" if row["rate_percent"] is None else f"{row['rate_percent']:g} %"
    demanded = "" if row["required_percent"] is None else f", {row['required_percent']:g} % demanded"
    out.print(note(f"rate {rate} ({row['fitted']} of {row['need']}{demanded}) by {need['clause']}", indent=4))
    out.print(note(f"because {need['because']}", indent=4))
    if need["exempt"]:
        out.print(note(f"exempt: {need['exempt']} ({need['exempt_clause']})", indent=4))
    if need["undetermined"]:
        out.print(note(f"undetermined: {need['undetermined']}", indent=4))
    if need["best"] is not None:
        out.print(note(f"{need['best']['id']}: {_standing(need['best'])}", indent=4))
    if need["advice"]:
        out.print(note(f"→ {need['advice']}", indent=4))


def _standing(one: dict[str, Any]) -> str:
    facts = [f"verification {one['verification']}"]
    demanded = f" ({one['required_class']} demanded)" if one["required_class"] else ""
    facts.append(f"class {one['accuracy_class'] or 'unknown'}{demanded}")
    effective = {None: "not known whether effective", True: "effective", False: "not effective"}[
        one["effective"]
    ]
    return " · ".join([*facts, effective, *one["why"]])
