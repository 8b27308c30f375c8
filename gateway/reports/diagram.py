"""Metering network diagrams (能源计量网络图) as SVG, one for each energy kind, more where it is too much for one.

Source: GB/T 33656-2017 (confidence S, second-hand: boxes and metering places; a filled circle is installed, another to be
installed). What the other marks look like is ours; the legend names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.reports.diagram_chart import MARKS, Network
from gateway.reports.diagram_layout import place
from gateway.reports.diagram_model import Arrow, Box
from gateway.reports.diagram_shapes import (
    FAINT,
    FLOW_STYLE,
    INK,
    WARN,
    box,
    circle,
    fit,
    text_line,
    width,
    wrap,
    xml,
)
from gateway.reports.texts import Words

if TYPE_CHECKING:
    from gateway.fitting.outcome import Outcome
    from gateway.reports.diagram_chart import Chart, ChartBox, ChartFlow
    from gateway.reports.diagram_model import Placed, PlacedArrow, PlacedBox
    from gateway.reports.texts import Language

PAD, HEAD, LEGEND_LINE = 20, 64, 22
WIDTH_MIN = 760
FONTS = "'Noto Sans CJK SC','Source Han Sans SC','PingFang SC','Microsoft YaHei','SimHei',sans-serif"


@dataclass(frozen=True, slots=True)
class Drawing:
    """One diagram. name: for a file, unique in its outcome."""

    name: str
    title: str
    energy_kind: str
    svg: str


def diagram(outcome: Outcome, energy_kind: str, language: Language) -> str:
    """Return the diagram of an energy kind as SVG; where it is split by unit, the one of the whole organisation."""
    network = Network(outcome)
    return _drawing(network, network.charts(energy_kind)[0], Words(language)).svg


def diagrams(outcome: Outcome, language: Language) -> tuple[Drawing, ...]:
    """Return every diagram of an outcome: each energy kind's own, and those of its units where it is split."""
    network, words = Network(outcome), Words(language)
    return tuple(
        _drawing(network, chart, words) for kind in network.energy_kinds() for chart in network.charts(kind)
    )


def embedded(outcome: Outcome, language: Language, most: int) -> tuple[list[Drawing], int]:
    """Return the diagrams for a page that takes so many, and how many are left out: those of units, where there are more."""
    network, words = Network(outcome), Words(language)
    charts = [chart for kind in network.energy_kinds() for chart in network.charts(kind)]
    shown = charts if len(charts) <= most else [one for one in charts if not one.unit and one.part == 1]
    return [_drawing(network, chart, words) for chart in shown], len(charts) - len(shown)


def _drawing(network: Network, chart: Chart, words: Words) -> Drawing:
    name = "-".join(
        [
            chart.energy_kind,
            *([chart.unit] if chart.unit else []),
            *([str(chart.part)] if chart.parts > 1 else []),
        ]
    )
    title = f"{words('diagram')} — {words.kind(chart.energy_kind)}"
    if chart.unit:
        unit = next(unit for unit in network.outcome.inventory.units if unit.id == chart.unit)
        title += f" — {unit.name}"
    elif chart.is_overview:
        title += f" — {words('overview')}"
    if chart.parts > 1:
        title += f" ({words('part', n=chart.part, of=chart.parts)})"
    return Drawing(name, title, chart.energy_kind, _svg(network, chart, words, name, title))


def _svg(network: Network, chart: Chart, words: Words, name: str, title: str) -> str:
    outcome = network.outcome
    placed = (
        place(
            [Box(one.key, one.rank) for one in chart.boxes],
            [Arrow(one.key, one.source, one.target) for one in chart.flows],
        )
        if chart.flows
        else None
    )
    total_width = max(WIDTH_MIN, (placed.width if placed else 0) + 2 * PAD)
    legend, legend_height = _legend(chart, words, total_width)
    body = _body(chart, placed, words, name) if placed else ""
    body_height = placed.height if placed else 30
    height = HEAD + body_height + 24 + legend_height
    counts = "　".join(
        f"{words('level', level=row.level)}：{words('counts', need=row.need, fitted=row.fitted)}"
        if words.language == "zh"
        else f"{words('level', level=row.level)}: {words('counts', need=row.need, fitted=row.fitted)};"
        for row in ([] if chart.unit else network.rows(chart.energy_kind))
    ).rstrip(";")
    under = (
        f"{outcome.inventory.organization.name}　{outcome.as_of.isoformat()}　{outcome.ruleset.ruleset.id}"
    )
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{xml(title)}" width="{total_width:g}"'
            f' height="{height:g}" viewBox="0 0 {total_width:g} {height:g}" font-family="{FONTS}" fill="{INK}">'
        ),
        f"<title>{xml(title)}</title>",
        (
            f'<defs><marker id="head-{xml(name)}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8"'
            f' markerHeight="8" orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="{INK}"/></marker></defs>'
        ),
        f'<rect width="{total_width:g}" height="{height:g}" fill="#ffffff"/>',
        text_line(PAD, 24, title, 16, anchor="start", extra='font-weight="700"'),
        text_line(PAD, 43, f"{under}　{counts}", 11, anchor="start", extra=f'fill="{FAINT}"'),
        body or text_line(PAD, HEAD + 12, words("nothing_flows"), 12, anchor="start"),
        f'<g transform="translate({PAD} {HEAD + body_height + 24:g})">{legend}</g>',
        "</svg>",
    ]
    return "\n".join(parts)


def _body(chart: Chart, placed: Placed, words: Words, name: str) -> str:
    flows = {flow.key: flow for flow in chart.flows}
    boxes = {one.key: one for one in chart.boxes}
    lines = "".join(_line(flows[arrow.key], arrow, name) for arrow in placed.arrows)
    dots = "".join(f'<circle cx="{x:g}" cy="{y:g}" r="2.4"/>' for x, y in placed.junctions)
    frames = "".join(_frame(boxes[one.key], one, words) for one in placed.boxes)
    labels = "".join(_label(flows[arrow.key], arrow, words) for arrow in placed.arrows)
    return f'<g transform="translate({PAD} {HEAD})">{lines}{dots}{frames}{labels}</g>'


def _line(flow: ChartFlow, arrow: PlacedArrow, name: str) -> str:
    corners = "L".join(f"{x:g} {y:g}" for x, y in arrow.corners)
    return (
        f'<path d="M{corners}" fill="none" stroke-width="1.3" {FLOW_STYLE[flow.state]}'
        f' marker-end="url(#head-{xml(name)})"/>'
    )


def _frame(one: ChartBox, at: PlacedBox, words: Words) -> str:
    role = "reference" if one.of else one.role
    name = one.name or words("outside")
    if one.role == "outside":
        name = words("delivery" if one.of else "supply")
    caption = words(f"role_{one.role}")
    if one.of and one.role != "outside":
        caption = (
            f"{words('role_reference')} {one.of}" if one.role != "organization" else words("role_reference")
        )
    elif one.role in {"accounting", "process", "equipment"}:
        caption = f"{caption} {one.key}"
    rows = wrap(name, 26, 2)
    middle = at.x + at.width / 2
    first = at.y + at.height / 2 - (len(rows) * 14 + 12) / 2 + 11
    texts = [
        text_line(middle, first + 14 * n, row, 12, extra='font-weight="600"') for n, row in enumerate(rows)
    ]
    texts.append(text_line(middle, first + 14 * len(rows) - 1, fit(caption, 30), 10, extra=f'fill="{FAINT}"'))
    tip = f"<title>{xml(f'{name} ({one.of or one.key})')}</title>"
    return f"<g>{tip}{box(at.x, at.y, (at.width, at.height), role, one.is_main)}{''.join(texts)}</g>"


def _label(flow: ChartFlow, arrow: PlacedArrow, words: Words) -> str:
    x, y = arrow.label
    above, style = _above(flow, words)
    tip = [flow.name or flow.key, flow.key, *flow.instruments]
    if flow.mark:
        tip.append(words(f"mark_{flow.mark}"))
    below = flow.key if not flow.levels else f"{fit(flow.key, 18)} L{'/'.join(map(str, flow.levels))}"
    parts = [f"<title>{xml(' · '.join(dict.fromkeys(tip)))}</title>"]
    if flow.mark:
        parts.append(circle(x, y, flow.mark))
    if above:
        parts.append(text_line(x, y - 10.5, fit(above, 22), 10, extra=style))
    parts.append(text_line(x, y + (17 if flow.mark else 11), fit(below, 26), 9, extra=f'fill="{FAINT}"'))
    return f"<g>{''.join(parts)}</g>"


def _above(flow: ChartFlow, words: Words) -> tuple[str, str]:
    """Return what stands above a circle, and its style."""
    if flow.mark in {"missing", "unsure"}:
        return words("to_fit"), f'font-weight="700" fill="{WARN}"'
    if flow.mark == "exempt":
        return words("exempt_short"), ""
    if not flow.instruments:
        return "", ""
    more = f" +{len(flow.instruments) - 1}" if len(flow.instruments) > 1 else ""
    return fit(flow.instruments[0], 22 - len(more)) + more, 'font-weight="600"'


def _legend(chart: Chart, words: Words, total_width: float) -> tuple[str, float]:
    """Return the legend, its origin at the upper left, and its height."""
    shown = {flow.mark for flow in chart.flows} | {"good", "missing", "exempt"}
    entries = [(circle(9, 0, mark), words(f"mark_{mark}")) for mark in MARKS if mark in shown]
    for state in ("standby", "disconnected", "inferred"):
        if any(flow.state == state for flow in chart.flows):
            sample = f'<path d="M-6 0H24" stroke-width="1.3" {FLOW_STYLE[state]}/>'
            entries.append((sample, words(f"flow_{state}")))
    frames = [box(-3, -7, (24, 14), "accounting", True)]
    texts = [words("main_box")]
    for role in ("accounting", "process", "equipment"):
        if any(one.role == role and not one.of for one in chart.boxes):
            frames.append(box(-3, -7, (24, 14), role, False))
            texts.append(words(f"role_{role}"))
    entries += zip(frames, texts, strict=True)
    parts = [text_line(0, 8, words("legend"), 12, anchor="start", extra='font-weight="700"')]
    x, y = 0.0, 30.0
    for sample, text in entries:
        wide = 34 + width(text) * 5.7 + 22
        if x and x + wide > total_width - 2 * PAD:
            x, y = 0.0, y + LEGEND_LINE
        parts.append(
            f'<g transform="translate({x + 6:g} {y:g})">{sample}{text_line(30, 4, text, 11, anchor="start")}</g>'
        )
        x += wide
    return "".join(parts), y + 20
