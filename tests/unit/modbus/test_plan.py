from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers.modbus.plan import DELAY_ASSUMED_S, PlanError, line_cost, plan
from drivers.registers import ReadLimits, RegisterSource
from tests.unit.modbus.polls import holding, make_layout

if TYPE_CHECKING:
    from tests.unit.modbus.polls import Source

ZERO = ReadLimits(holes="zero")
ERROR = ReadLimits(holes="error")


def requests(
    sources: list[Source], limits: ReadLimits, apart: frozenset[int] = frozenset()
) -> list[tuple[int, int]]:
    made = plan(tuple(sources), limits, make_layout(sources), apart)
    return [(block.address, block.count) for block in made.blocks]


def test_neighbours_in_channel_order_need_no_copy() -> None:
    sources = [holding(10, 2), holding(12, 1), holding(13, 4)]
    made = plan(tuple(sources), ERROR, make_layout(sources))
    assert made.direct
    assert [(b.address, b.count) for b in made.blocks] == [(10, 7)]


@pytest.mark.parametrize(
    "sources",
    [
        [holding(12, 1), holding(10, 2)],
        [holding(10, 2), holding(10, 2)],
        [holding(10, 2), holding(11, 2)],
    ],
    ids=["other order", "twice", "overlap"],
)
def test_anything_else_is_copied(sources: list[Source]) -> None:
    made = plan(tuple(sources), ERROR, make_layout(sources))
    assert len(made.blocks) == 1
    assert not made.direct


def test_holes_are_entered_only_where_they_answer_zero() -> None:
    sources = [holding(0, 2), holding(10, 2)]
    assert requests(sources, ZERO) == [(0, 12)]
    assert requests(sources, ERROR) == [(0, 2), (10, 2)]
    assert requests(sources, ReadLimits()) == [(0, 2), (10, 2)]


def test_a_hole_dearer_than_a_request_is_not_read() -> None:
    limits = ReadLimits(holes="zero", registers_max=125)
    assert requests([holding(0, 2), holding(52, 2)], limits) == [(0, 54)]
    assert requests([holding(0, 2), holding(53, 2)], limits) == [(0, 2), (53, 2)]


def test_a_request_on_a_slow_line_is_worth_fewer_bytes() -> None:
    # 9600 8E1: a request takes 13 characters, 3.5 of silence and 10 ms of the meter's own; as much as 25 bytes.
    slow = line_cost(11 / 9600, 3.5 * 11 / 9600)
    assert DELAY_ASSUMED_S == 0.010
    assert slow.per_request / slow.per_byte == pytest.approx(13 + 3.5 + 0.010 * 9600 / 11, rel=1e-6)
    limits = ReadLimits(holes="zero", registers_max=125)
    for gap, expected in ((12, [(0, 16)]), (13, [(0, 2), (15, 2)])):
        sources = [holding(0, 2), holding(2 + gap, 2)]
        made = plan(tuple(sources), limits, make_layout(sources), cost=slow)
        assert [(b.address, b.count) for b in made.blocks] == expected


def test_a_rest_between_requests_makes_them_dearer() -> None:
    slow = line_cost(11 / 9600, 3.5 * 11 / 9600)
    assert slow.of_requests(ReadLimits(pause_ms=50)) == slow.per_request + 50_000_000
    sources = [holding(0, 2), holding(30, 2)]
    for pause_ms, expected in ((0, 2), (50, 1)):
        limits = ReadLimits(holes="zero", pause_ms=pause_ms)
        assert len(plan(tuple(sources), limits, make_layout(sources), cost=slow).blocks) == expected


def test_r6_a_hole_longer_than_allowed_is_not_read() -> None:
    sources = [holding(0, 2), holding(5, 2), holding(11, 2)]
    assert requests(sources, ReadLimits(holes="zero", hole_max=4)) == [(0, 13)]
    assert requests(sources, ReadLimits(holes="zero", hole_max=3)) == [(0, 7), (11, 2)]
    assert requests(sources, ReadLimits(holes="zero", hole_max=0)) == [(0, 2), (5, 2), (11, 2)]
    split = (RegisterSource(3, 0, 1), RegisterSource(3, 5, 1))
    with pytest.raises(PlanError, match="at most 3 unlisted addresses"):
        requests([split], ReadLimits(holes="zero", hole_max=3))


def test_the_cheapest_cut_is_not_the_greedy_one() -> None:
    # Greedy would fill the first request with the second value and read the long hole; the hole is left out.
    sources = [holding(0, 2), holding(20, 2), holding(22, 2)]
    assert requests(sources, ReadLimits(holes="zero", registers_max=22)) == [(0, 2), (20, 4)]


def test_alignment_pads_only_where_it_may() -> None:
    assert requests([holding(3, 1)], ReadLimits(align=2, holes="zero")) == [(2, 2)]
    assert requests([holding(3, 1), holding(2, 1)], ReadLimits(align=2)) == [(2, 2)]
    with pytest.raises(PlanError, match=r"channel ch_0.*alignment 2"):
        requests([holding(3, 1)], ReadLimits(align=2))


def test_the_limit_is_rounded_down_to_the_alignment() -> None:
    sources = [holding(0, 2), holding(2, 2), holding(4, 1)]
    assert requests(sources, ReadLimits(align=2, registers_max=5, holes="zero")) in (
        [(0, 2), (2, 4)],
        [(0, 4), (4, 2)],
    )


def test_single_reads_each_value_alone_but_not_twice() -> None:
    sources = [holding(0, 2), holding(2, 1), holding(2, 1)]
    assert requests(sources, ReadLimits(split="single")) == [(0, 2), (2, 1)]


def test_whole_values_keeps_overlapping_values_together() -> None:
    sources = [holding(0, 4), holding(2, 4), holding(6, 4)]
    assert requests(sources, ReadLimits(registers_max=5)) == [(0, 4), (2, 4), (6, 4)]
    assert requests(sources, ReadLimits(registers_max=6, split="whole_values")) == [(0, 6), (6, 4)]
    with pytest.raises(PlanError, match="ch_0, ch_1"):
        requests(sources, ReadLimits(registers_max=5, split="whole_values"))


def test_parts_of_a_channel_share_a_request() -> None:
    split = (RegisterSource(3, 3, 1), RegisterSource(3, 0, 2))
    sources = [split, holding(2, 1)]
    made = plan(tuple(sources), ReadLimits(registers_max=4), make_layout(sources))
    assert [(b.address, b.count) for b in made.blocks] == [(0, 4)]
    assert made.assemble([bytes.fromhex("0001 0002 0003 0004")]) == bytes.fromhex("0004 0001 0002 0003")


def test_channels_can_be_read_apart() -> None:
    sources = [holding(0), holding(1), holding(2), holding(3)]
    assert requests(sources, ERROR, frozenset((1, 2))) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert requests(sources, ERROR, frozenset((3,))) == [(0, 3), (3, 1)]


def test_functions_are_kept_apart_and_bits_count_as_bits() -> None:
    sources: list[Source] = [(RegisterSource(1, n, 1),) for n in range(500)] + [holding(0)]
    made = plan(tuple(sources), ReadLimits(registers_max=125), make_layout(sources))
    assert [(b.function, b.count) for b in made.blocks] == [(1, 500), (3, 1)]
    made = plan(tuple(sources), ReadLimits(registers_max=20), make_layout(sources))
    assert [b.function for b in made.blocks] == [1, 1, 3]
    assert max(b.count for b in made.blocks) <= 320


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ((), "not a tuple"),
        ("40001", "not a tuple"),
        ((RegisterSource(6, 0, 1),), "function 6"),
        ((RegisterSource(3, 0, 1), RegisterSource(4, 1, 1)), "functions 3 and 4"),
        ((RegisterSource(3, 65535, 2),), "address 65535"),
        ((RegisterSource(3, -1, 1),), "address -1"),
        ((RegisterSource(1, 0, 2),), "2 bits"),
        ((RegisterSource(3, 0, 4),), "8 bytes, its type needs 2"),
    ],
)
def test_what_cannot_be_read_is_named(source: Source, text: str) -> None:
    with pytest.raises(PlanError, match=text) as caught:
        plan((holding(5), source), ERROR, make_layout([holding(5), holding(0)]))
    assert "ch_1" in str(caught.value)


@pytest.mark.parametrize(
    "limits", [ReadLimits(registers_max=0), ReadLimits(registers_max=126), ReadLimits(align=0)]
)
def test_unlawful_limits_are_refused(limits: ReadLimits) -> None:
    with pytest.raises(PlanError, match="lawful"):
        requests([holding(0)], limits)


def test_meters_of_one_type_share_a_plan() -> None:
    sources = (holding(0), holding(1))
    assert plan(sources, ERROR, make_layout(sources, "m-1")) is plan(
        sources, ERROR, make_layout(sources, "m-2")
    )
