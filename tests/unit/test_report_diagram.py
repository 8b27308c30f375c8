from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest

from gateway.reports.diagram import diagram, diagrams
from gateway.reports.diagram_chart import FLOWS_MAX, MARKS, Network
from gateway.reports.diagram_layout import place
from gateway.reports.diagram_model import Arrow, Box
from tests.unit.report_rig import foundry, large, outcome_of

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(svg).iter(f"{SVG}text")]


def marks(body: dict[str, object] | None = None, *, proved: bool = True) -> dict[str, str]:
    network = Network(outcome_of(body or foundry(), proved=proved))
    return {
        flow.key: flow.mark
        for kind in network.energy_kinds()
        for chart in network.charts(kind)
        for flow in chart.flows
    }


def test_every_kind_of_the_plant_has_a_diagram_of_valid_xml() -> None:
    drawn = diagrams(outcome_of(foundry()), "zh")
    assert [one.name for one in drawn] == [
        "electricity",
        "natural_gas",
        "steam",
        "water",
        "compressed_air",
        "refined_oil",
    ]
    for one in drawn:
        assert ET.fromstring(one.svg).tag == f"{SVG}svg"
        assert one.title in texts(one.svg)


@pytest.mark.parametrize(
    ("flow", "mark"),
    [
        ("e-in-1", "good"),
        ("e-in-2", "expired"),
        ("e-in-3", ""),
        ("e-melt", "good"),
        ("e-furn", "good"),  # not needed, but the exemption of its furnaces rests on it
        ("e-cast", "unfit"),
        ("e-boil", "silent"),
        ("e-lab", "unsure"),
        ("e-ef1", "exempt"),
        ("e-cr1", "extra"),
        ("e-ac1", "nonconforming"),
        ("e-sb1", "missing"),
        ("s-b1", "silent"),
        ("w-melt", "unfit"),
        ("b1:electricity", "exempt"),
    ],
)
def test_marks_follow_the_verdict(flow: str, mark: str) -> None:
    assert marks()[flow] == mark


def test_without_evidence_nothing_is_called_silent() -> None:
    assert "silent" not in marks(proved=False).values()


def test_the_rig_shows_every_mark_and_the_legend_names_each() -> None:
    assert set(marks().values()) == {*MARKS, ""}
    shown = texts(diagram(outcome_of(foundry()), "electricity", "en"))
    for text in ("fitted", "to be fitted", "installed, not required", "hot standby", "disconnected"):
        assert text in shown


def test_names_and_instruments_are_on_it_and_escaped() -> None:
    body = foundry()
    body["units"][0]["name"] = "<熔化> & \ufffe车间"
    svg = diagram(outcome_of(body), "electricity", "zh")
    shown = texts(svg)
    assert "<熔化> & \ufffd车间" in shown
    assert {"pm-1", "pm-3", "待装", "免配", "外部供入", "向外部输出"} <= set(shown)


def test_a_flow_that_leads_back_ends_in_a_reference() -> None:
    chart = Network(outcome_of(foundry())).charts("water")[0]
    back = next(flow for flow in chart.flows if flow.key == "w-back")
    assert next(box for box in chart.boxes if box.key == back.target).of == "organization"


def test_the_same_outcome_gives_the_same_drawing() -> None:
    assert diagrams(outcome_of(foundry()), "zh") == diagrams(outcome_of(foundry()), "zh")


def test_an_energy_kind_that_does_not_flow_says_so() -> None:
    assert "no flow of this energy kind is in the inventory" in texts(
        diagram(outcome_of(foundry()), "coal", "en")
    )


def test_a_large_kind_is_split_by_unit_and_loses_no_flow() -> None:
    body = large(units=6, machines=60, instruments=100)
    network = Network(outcome_of(body))
    charts = network.charts("electricity")
    assert charts[0].is_overview
    assert all(len(chart.flows) <= FLOWS_MAX for chart in charts)
    shown = {flow.key for chart in charts for flow in chart.flows}
    assert shown == {one["id"] for one in body["flows"] if one["energy_kind"] == "electricity"}
    names = [one.name for one in diagrams(outcome_of(body), "en")]
    assert len(names) == len(set(names))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


@pytest.mark.parametrize("kind", ["electricity", "water"])
def test_boxes_and_labels_do_not_overlap_and_lines_cross_no_box(kind: str) -> None:
    for body in (foundry(), large(units=5, machines=40, instruments=60)):
        for chart in Network(outcome_of(body)).charts(kind):
            placed = place(
                [Box(one.key, one.rank) for one in chart.boxes],
                [Arrow(one.key, one.source, one.target) for one in chart.flows],
            )
            frames = [(one.x, one.y, one.width, one.height) for one in placed.boxes]
            labels = [(one.label[0] - 60, one.label[1] - 20, 120, 40) for one in placed.arrows]
            assert not [pair for pair in combinations([*frames, *labels], 2) if _overlap(*pair)]
            for arrow in placed.arrows:
                for (x1, y1), (x2, y2) in pairwise(arrow.corners):
                    line = (min(x1, x2) + 0.5, min(y1, y2), abs(x2 - x1) - 1, abs(y2 - y1) + 0.01)
                    assert not any(line[2] > 0 and _overlap(line, frame) for frame in frames)


def test_lines_of_different_sources_never_lie_upon_each_other() -> None:
    for chart in Network(outcome_of(large(units=5, machines=40, instruments=60))).charts("electricity"):
        source = {flow.key: flow.source for flow in chart.flows}
        placed = place(
            [Box(one.key, one.rank) for one in chart.boxes],
            [Arrow(one.key, one.source, one.target) for one in chart.flows],
        )
        level = [
            (arrow.key, y1, min(x1, x2), max(x1, x2))
            for arrow in placed.arrows
            for (x1, y1), (x2, y2) in pairwise(arrow.corners)
            if y1 == y2
        ]
        upon = [
            (one, other)
            for one, other in combinations(level, 2)
            if source[one[0]] != source[other[0]]
            and one[1] == other[1]
            and one[2] < other[3]
            and other[2] < one[3]
        ]
        assert not upon


def test_arrows_lead_right_and_a_long_one_passes_between() -> None:
    boxes = [Box("a", 0), Box("b", 1), Box("c", 2)]
    arrows = [Arrow("ab", "a", "b"), Arrow("bc", "b", "c"), Arrow("ac", "a", "c")]
    placed = place(boxes, arrows)
    at = {one.key: one for one in placed.boxes}
    assert at["a"].x < at["b"].x < at["c"].x
    for arrow in placed.arrows:
        assert [x for x, _ in arrow.corners] == sorted(x for x, _ in arrow.corners)


def test_ids_of_several_diagrams_in_one_page_differ() -> None:
    ids = [
        found
        for one in diagrams(outcome_of(foundry()), "zh")
        for found in re.findall(r' id="([^"]+)"', one.svg)
    ]
    assert len(ids) == len(set(ids)) == 6
