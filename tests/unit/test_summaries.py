"""What a summary says: valid by the contract, cut by size, with deviation, boundary times, totals and reported quantities."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.config.periods import AggregateConfig
from gateway.derive.agenda import Due
from gateway.derive.summaries import Words, read_sums
from gateway.feed.bodies import BODY_MAX
from gateway.feed.contract import GENESIS, Summary
from gateway.history.work import TotalRow
from gateway.model import NS
from tests.unit.sums_rig import KEY, LENGTH_NS, Kept, at, grid, settings, steady

if TYPE_CHECKING:
    from gateway.derive.agenda import Period
    from gateway.intervals.grid import Span
    from gateway.intervals.model import Interval

BEGIN = at("2026-08-01T00:00")
HEAD = {
    "v": 1, "kind": "summary", "gateway": "g", "region": "330100", "enterprise": "x", "chain": "c", "seq": "1",
    "prev": GENESIS, "issued": "2026-08-01T00:00:00+08:00", "clock": {"synchronised": True}, "config": "d",
}  # fmt: skip
SHIFTS = settings(
    shifts=[{"id": "night", "start": "22:00", "end": "06:00"}],
    tariffs=[
        {"kind": "peak", "hours": ["08:00-20:00"]},
        {"kind": "valley", "hours": ["00:00-08:00", "20:00-24:00"]},
    ],
)
NET = AggregateConfig.model_validate(
    {
        "id": "net",
        "terms": [
            {"meter": "m-1", "channel": KEY},
            {"meter": "m-2", "channel": KEY, "sign": "-", "weight": "0.5"},
        ],
        "codes": {"code": "0000000002330001"},
    }
)


def words(store: Kept, period: Period, span: Span) -> Words:
    due = Due(period, span)
    return Words(grid(), due, read_sums(store.store, grid(), due, SHIFTS), [NET])


def messages(made: Words) -> list[dict[str, Any]]:
    """Return the bodies, each valid and by way of JSON."""
    found = [orjson.loads(orjson.dumps(body)) for body in made.messages()]
    for body in found:
        model = Summary.model_validate(HEAD | body)
        assert set(body) <= set(Summary.model_fields)
        assert model.part <= model.parts
    return found


def keep(store: Kept, period: Period, span: Span, rev: int = 0) -> Words:
    made = words(store, period, span)
    store.summaries.append(
        TotalRow(period, span.start_ns, rev, span.end_ns, 0, orjson.loads(orjson.dumps(made.row())))
    )
    return made


def month(intervals: list[Interval]) -> tuple[Kept, Words]:
    store = Kept(intervals)
    span = grid().month(BEGIN)
    for day_ns in range(span.start_ns, span.end_ns, 86_400 * NS):
        keep(store, "day", grid().day(day_ns))
    return store, words(store, "month", span)


def site(days: int, **more: Any) -> list[Interval]:
    end_ns = BEGIN + days * 96 * LENGTH_NS
    return steady(BEGIN, end_ns, **more) + steady(BEGIN, end_ns, meter="m-2")


def test_an_hour_has_completeness_and_nothing_else() -> None:
    (body,) = messages(words(Kept(site(1, lost={BEGIN})), "hour", grid().hour(BEGIN)))
    assert (body["totals"], "aggregates" in body, "consistency" in body) == ([], False, False)
    assert (body["site"]["due"], body["site"]["known"], body["site"]["percent"]) == (8, 7, "87.50")
    assert [one["meter"] for one in body["meters"]] == ["m-1", "m-2"]
    assert body["site"]["gaps"] == {"meter_off": 45}


def test_a_day_has_totals_shifts_tariffs_aggregates_and_the_time_of_its_boundaries() -> None:
    kept = site(2)
    day = grid().day(BEGIN + 30 * 3600 * NS)
    late = replace(kept[96].channels[0], opening=replace(kept[96].channels[0].opening, time_ns=day.start_ns + 1_234_567_890))  # type: ignore[type-var] # fmt: skip
    kept[96] = replace(kept[96], channels=(late,))
    (body,) = messages(words(Kept(kept), "day", day))
    totals = {(one["meter"], one["period"], one["name"]): one for one in body["totals"]}
    own = {
        f"{period}/{name}": one["amount"] for (meter, period, name), one in totals.items() if meter == "m-1"
    }
    assert own == {"day/": "96", "shift/night": "32", "tariff/peak": "48", "tariff/valley": "48"}
    assert totals["m-1", "shift", "night"]["t0"] == "2026-08-01T22:00:00.000+08:00"
    assert totals["m-1", "day", ""]["opening"] == {"value": "1096", "at": "2026-08-02T00:00:01.234+08:00"}
    (net,) = body["aggregates"]
    assert (net["value"], net["period"], net["unit"], net["codes"]["statType"]) == ("48.0", "day", "kWh", "1")
    assert body["consistency"] == {"deviation_percent": None, "boundary_error_s": "1.235"}, "rounded up"


def test_a_month_compares_itself_with_its_days() -> None:
    _, made = month(site(31))
    (body,) = messages(made)
    assert body["consistency"] == {"deviation_percent": "0.00", "boundary_error_s": "0.000"}
    assert body["site"]["due"] == 2 * 31 * 96
    _, made = month(site(31, lost={at("2026-08-10T00:00")}))  # two days are unknown, the month is not
    (body,) = messages(made)
    assert body["totals"][0]["amount"] == str(31 * 96)
    assert body["consistency"]["deviation_percent"] == "6.46", "2 of 31 days, rounded up"


def test_a_month_with_a_reading_that_stands_in_does_not_call_it_a_days_boundary() -> None:
    end_ns = at("2026-09-01T00:00")
    _, made = month(site(31, lost=set(range(end_ns - 4 * LENGTH_NS, end_ns + 1, LENGTH_NS))))
    (body,) = messages(made)
    total = body["totals"][0]
    assert (total["amount"], total["closing"]["at"]) == (str(31 * 96 - 5), "2026-08-31T22:45:00.000+08:00")
    assert total["t1"] == "2026-09-01T00:00:00.000+08:00"
    assert body["consistency"]["boundary_error_s"] == "0.000"


def test_what_is_unknown_is_null_and_names_the_meter() -> None:
    (body,) = messages(words(Kept(site(1, lost={BEGIN})), "day", grid().day(BEGIN)))
    assert (body["aggregates"][0]["value"], body["aggregates"][0]["missing"]) == (None, ["m-1"])
    assert (body["totals"][0]["amount"], body["totals"][0]["known"]) == (None, "95")


def test_a_summary_that_was_made_before_has_the_next_revision_and_is_news_only_if_it_says_something_else() -> (
    None
):
    store, span = Kept(site(1)), grid().hour(BEGIN)
    keep(store, "hour", span)
    same = words(store, "hour", span)
    assert not same.is_news
    store.kept.append(replace(store.kept[0], rev=1, cause="late"))
    other = words(store, "hour", span)
    assert other.is_news
    assert [one["rev"] for one in messages(other)] == [1]
    assert not words(Kept(), "hour", span).is_news, "of nothing there is no summary"


def test_a_reported_quantity_that_is_added_later_begins_at_rev_0_and_goes_on_where_it_was() -> None:
    store, span = Kept(site(1)), grid().day(BEGIN)

    def revs(*ids: str) -> list[tuple[str, int]]:
        """Return what a gateway with these tells, once an interval has closed again."""
        first = store.kept[0]
        store.kept.append(replace(first, rev=max(one.rev for one in store.kept) + 1, cause="late"))
        due = Due("day", span)
        found = read_sums(store.store, grid(), due, SHIFTS)
        store.kept[0] = replace(first, verification=str(found.rev))
        made = Words(grid(), due, found, [NET.model_copy(update={"id": one}) for one in ids])
        (body,) = [orjson.loads(orjson.dumps(one)) for one in made.messages()]
        row = TotalRow("day", span.start_ns, made.rev, span.end_ns, 0, orjson.loads(orjson.dumps(made.row())))
        store.summaries.append(row)
        return [(one["aggregate"], one["rev"]) for one in body["aggregates"]]

    assert [revs(*ids) for ids in ((), ["net"], ["net", "two"], ["two"], ["net", "two"])] == [
        [],
        [("net", 0)],
        [("net", 1), ("two", 0)],
        [("two", 1)],
        [("net", 2), ("two", 2)],
    ]


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_long_summary_comes_in_parts_that_fit(period: Period) -> None:
    kept = [one for n in range(400) for one in steady(BEGIN, BEGIN + 4 * LENGTH_NS, meter=f"m-{n:03}")]
    store = Kept(kept)
    keep(store, "day", grid().day(BEGIN))
    span = grid().day(BEGIN) if period == "day" else grid().month(BEGIN)
    parts = messages(words(store, period, span))
    assert len(parts) > 1
    assert [one["part"] for one in parts] == list(range(1, len(parts) + 1))
    assert {one["parts"] for one in parts} == {len(parts)}
    assert all(len(orjson.dumps(one)) < 1.5 * BODY_MAX for one in parts)
    assert [one["meter"] for part in parts for one in part["meters"]] == [f"m-{n:03}" for n in range(400)]
    assert [("aggregates" in one, "consistency" in one) for one in parts] == [(True, True)] + [(False, False)] * (len(parts) - 1)  # fmt: skip
    assert {one["site"]["due"] for one in parts} == {1600}
    assert Decimal(parts[0]["totals"][0]["known"]) == 4
