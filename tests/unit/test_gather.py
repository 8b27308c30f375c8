"""What instruments delivered, out of a history made as the gateway makes it; `metergate completeness` counts the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from gateway.assembly import library
from gateway.commands.completeness_report import report
from gateway.config.reports import reported
from gateway.config.site_file import load
from gateway.errors import StorageError
from gateway.evidence.days import span_of
from gateway.evidence.gather import gather
from gateway.fitting.evidence import Evidence, Origin, Window
from gateway.history.work import ManualReading, Work
from gateway.inventory.model import Inventory
from gateway.model import NS
from tests.unit.history_site import BEGIN, END, HistorySite
from tests.unit.sums_rig import KEY, LENGTH_NS, at, counter, interval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = Window(date(2026, 8, 30), date(2026, 8, 31))
AUGUST = Window(date(2026, 8, 1), date(2026, 8, 31))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HistorySite]:
    site = HistorySite(tmp_path)
    yield site
    site.close()


def ledger(*instruments: dict[str, Any]) -> Inventory:
    """Return an inventory of instruments named by their id alone."""
    rows = [{"name": one["id"], "category": "electricity_meter"} | one for one in instruments]
    return Inventory.model_validate({"organization": {"name": "Plant"}, "instruments": rows})


def gathered(site: HistorySite, inventory: Inventory, window: Window = DAYS, **more: Any) -> Evidence:
    found = gather(inventory, site.site, library(site.site), site.store, window, **more)
    assert found is not None
    return found


BOTH = ledger({"id": "e-1", "meter": "m-1"}, {"id": "e-2", "meter": "m-2"}, {"id": "e-3"})
NAMED = ledger({"id": "e-1", "meter": "m-1", "channel": KEY}, {"id": "e-2", "meter": "m-2", "channel": KEY})


@pytest.mark.parametrize("inventory", [BOTH, NAMED])
def test_it_counts_what_completeness_counts(here: HistorySite, inventory: Inventory) -> None:
    found = gathered(here, inventory)
    span = here.grid.month(BEGIN)._replace(start_ns=BEGIN)
    wanted = report(here.store, here.grid, here.site.intervals, span, "").meters
    assert {name: (one.expected, one.good) for name, one in found.instruments.items()} == {
        "e-1": (wanted["m-1"].expected, wanted["m-1"].good),
        "e-2": (wanted["m-2"].expected, wanted["m-2"].good),
    }
    assert (found.instruments["e-2"].expected, found.instruments["e-2"].good) == (17280, 17280 - 225)
    assert (found.timezone, found.source) == ("Asia/Shanghai", "history of gateway plant-1")


def test_the_last_good_reading_and_the_amount_have_offset_and_unit(here: HistorySite) -> None:
    one = gathered(here, NAMED).instruments["e-1"]
    assert one.last_good == "2026-08-31T23:59:50.000+08:00", "when the last reading was due"
    assert str(one.amount) == "192 kWh"
    assert gathered(here, BOTH).instruments["e-1"].amount is None, "the meter has several counters: say which"
    again = Evidence.model_validate_json(gathered(here, NAMED).model_dump_json(by_alias=True))
    assert again.origin.kind == "file"
    assert again.of(Origin("history")) == gathered(here, NAMED)


def test_a_window_the_history_does_not_reach_is_not_zero_but_unknown(here: HistorySite) -> None:
    july = Window(date(2026, 7, 1), date(2026, 7, 31))
    assert gather(BOTH, here.site, library(here.site), here.store, july) is None


def test_a_window_partly_covered_says_since_when_and_has_no_amount(here: HistorySite) -> None:
    found = gathered(here, NAMED, AUGUST)
    assert found.instruments["e-1"].expected == 17280
    assert found.instruments["e-1"].amount is None, "a part is never told as the whole"
    assert "begins 2026-08-30T00:00:00.000+08:00, after the window does" in found.source
    assert not found.whole, "17280 of 17280 is of two days, not of August"
    assert gathered(here, NAMED).whole


def test_an_instrument_counts_its_own_days_alone(here: HistorySite) -> None:
    inventory = ledger(
        {"id": "old", "meter": "m-2", "channel": KEY, "removed": "2026-08-31"},
        {"id": "new", "meter": "m-2", "channel": KEY, "installed": "2026-08-31"},
        {"id": "gone", "meter": "m-1", "removed": "2026-08-30"},
        {"id": "to-come", "meter": "m-1", "installed": "2026-09-01"},
    )
    found = gathered(here, inventory).instruments
    assert {name: (one.expected, one.good, str(one.amount)) for name, one in found.items()} == {
        "old": (8640, 8640 - 225, "96 kWh"),
        "new": (8640, 8640, "96 kWh"),
    }


def test_what_was_never_made_is_expected_all_the_same(here: HistorySite) -> None:
    week = Window(date(2026, 8, 30), date(2026, 9, 5))
    found = gathered(here, NAMED, week)
    assert found.instruments["e-1"].expected == 7 * 8640
    assert found.instruments["e-1"].good == 2 * 8640
    assert found.instruments["e-1"].amount is None
    assert "nothing was made after 2026-09-01T00:00:00.000+08:00" in found.source
    noon = gathered(here, NAMED, week, now_ns=at("2026-09-01T12:00"))
    assert noon.instruments["e-1"].expected == 2 * 8640 + 4320
    running = gathered(here, NAMED, week, now_ns=END + LENGTH_NS)
    assert running.instruments["e-1"].expected == 2 * 8640, "a gateway that runs is an interval behind"
    assert (found.whole, noon.whole, running.whole) == (True, False, False), "a window that is not over"
    assert gather(NAMED, here.site, library(here.site), here.store, week, now_ns=BEGIN) is None


def test_a_history_that_ended_before_the_window_shows_that_nothing_came(here: HistorySite) -> None:
    october = Window(date(2026, 10, 1), date(2026, 10, 31))
    one = gathered(here, NAMED, october).instruments["e-1"]
    assert (one.expected, one.good, one.last_good, one.amount) == (31 * 8640, 0, "", None)


def test_a_meter_of_no_site_file_is_not_listed(here: HistorySite) -> None:
    assert not gathered(here, ledger({"id": "e-9", "meter": "m-9"})).instruments


def test_of_a_meter_with_two_counters_an_instrument_has_its_own(here: HistorySite) -> None:
    half = replace(counter(END, END + LENGTH_NS, 7, 8, key="energy_active_export_total"), good=40)
    both = interval(END, 1000, 1001)
    here.commit([replace(both, channels=(both.channels[0], half))])
    inventory = ledger(
        {"id": "in", "meter": "m-1", "channel": KEY},
        {"id": "out", "meter": "m-1", "channel": "energy_active_export_total"},
        {"id": "whole", "meter": "m-1"},
    )
    day = Window(date(2026, 9, 1), date(2026, 9, 1))
    now_ns = END + LENGTH_NS
    found = gathered(here, inventory, day, now_ns=now_ns).instruments
    assert {name: (one.expected, one.good) for name, one in found.items()} == {
        "in": (90, 90), "out": (90, 40), "whole": (180, 130),
    }  # fmt: skip


def summarised(site: HistorySite, from_ns: int, until_ns: int, **left_out: Any) -> None:
    """Close a day of m-1 with an export counter that delivered half, and sum it up."""
    for start_ns in range(from_ns, until_ns, LENGTH_NS):
        both = interval(start_ns, 1, 1)
        half = replace(
            counter(start_ns, start_ns + LENGTH_NS, 7, 7, key="energy_active_export_total"), good=45
        )
        site.commit([replace(both, channels=(both.channels[0], half))])
        while (due := site.agenda.due()) is not None:
            site.summarise(due)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_summary_tells_channels_and_one_of_a_version_before_is_counted_over_its_intervals(
    here: HistorySite, is_old: bool
) -> None:
    summarised(here, END, END + 96 * LENGTH_NS)
    if is_old:
        here.store._db.execute("UPDATE totals SET body = replace(body, '\"channels\"', '\"other\"')")
    inventory = ledger(
        {"id": "in", "meter": "m-1", "channel": KEY},
        {"id": "out", "meter": "m-1", "channel": "energy_active_export_total"},
    )
    found = gathered(here, inventory, Window(date(2026, 9, 1), date(2026, 9, 1))).instruments
    assert [(one.expected, one.good) for one in found.values()] == [(8640, 8640), (8640, 4320)]


def test_a_channel_reported_later_was_due_before(here: HistorySite) -> None:
    summarised(here, END, END + 96 * LENGTH_NS)
    own = [one.key for one in reported(here.site.meters[0], library(here.site)) if one.kind == "counter"]
    inventory = ledger({"id": "out", "meter": "m-1", "channel": "energy_active_export_total"})
    one = gathered(here, inventory, Window(date(2026, 8, 30), date(2026, 9, 1))).instruments["out"]
    assert "energy_active_export_total" in own
    assert (one.expected, one.good) == (3 * 8640, 4320)


def test_the_newest_revision_counts(here: HistorySite) -> None:
    here.revise(95, "1096.25")
    while (due := here.agenda.due()) is not None:
        here.summarise(due)
    day = Window(date(2026, 8, 30), date(2026, 8, 30))
    assert str(gathered(here, NAMED, day).instruments["e-1"].amount) == "96.25 kWh"


def test_a_meter_whose_boundaries_are_empty_has_the_begin_of_its_last_good_interval(
    here: HistorySite,
) -> None:
    silent = replace(interval(END, None, None), channels=(counter(END, END + LENGTH_NS, None, None),))
    here.commit([silent, interval(END + LENGTH_NS, None, None)])
    day = Window(date(2026, 9, 1), date(2026, 9, 1))
    one = gathered(here, NAMED, day, now_ns=END + 2 * LENGTH_NS).instruments["e-1"]
    assert (one.good, one.last_good) == (90, "2026-09-01T00:15:00.000+08:00")


def test_a_reading_by_hand_stands_in_at_the_end_of_a_month(here: HistorySite) -> None:
    october = at("2026-10-01T00:00")
    hours = [
        interval(t, None if t > END else 2000, 2001 if t == END else None)
        for t in range(END, october, LENGTH_NS)
    ]
    here.write(Work(intervals=hours), october, [])
    for one in hours:
        here.agenda.closed(one.start_ns, one.end_ns, one.epoch, one.rev)
    hand = ManualReading(
        "m-1", KEY, october + 3600 * NS, Decimal(2500), "kWh", "Li", "read", october + 7200 * NS
    )
    here.write(Work(manual=[hand]), october, [])
    september = Window(date(2026, 9, 1), date(2026, 9, 30))
    assert str(gathered(here, NAMED, september).instruments["e-1"].amount) == "500 kWh"


def test_a_counter_that_fell_has_no_amount(here: HistorySite) -> None:
    here.commit([interval(END, 1000, 900)])
    found = gathered(here, NAMED, Window(date(2026, 8, 30), date(2026, 9, 1)), now_ns=END + LENGTH_NS)
    assert found.instruments["e-1"].amount is None


def test_days_are_the_sites_as_completeness_names_them(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    text = HistorySite(tmp_path).file.read_text()
    file.write_text(text.replace("[[links]]", '[intervals]\nday_start = "08:00"\n[[links]]', 1))
    from gateway.derive.site_grid import grid_of

    span = span_of(grid_of(load(file)), date(2026, 8, 30))
    assert span == (at("2026-08-30T08:00"), at("2026-08-31T08:00"))


def test_damaged_rows_are_told(here: HistorySite) -> None:
    from gateway.history.read import ReadOnlyHistory

    here.store._db.execute("UPDATE totals SET body='[1]' WHERE period = 'day'")
    with ReadOnlyHistory(here.path) as store:
        found = gather(NAMED, here.site, library(here.site), store, DAYS)
    assert found is not None
    assert found.instruments["e-1"].good == 17280, "counted over the intervals"
    assert "damaged rows passed over: 2, of them intervals of the window: 0" in found.source
    assert found.whole


def test_evidence_of_damaged_intervals_is_not_whole(here: HistorySite) -> None:
    from gateway.history.read import ReadOnlyHistory

    here.store._db.execute("DELETE FROM totals")
    here.store._db.execute(
        "UPDATE intervals SET body='{' WHERE meter='m-1' AND start_ns=?", (BEGIN + NS * 7200,)
    )
    with ReadOnlyHistory(here.path) as store:
        found = gather(NAMED, here.site, library(here.site), store, DAYS)
    assert found is not None
    assert not found.whole
    assert "of them intervals of the window: 1" in found.source
    one = found.instruments["e-1"]
    assert (one.expected, one.good) == (17280, 17280 - 90), "its readings were due"


def test_a_history_that_does_not_tell_until_when_is_refused(here: HistorySite) -> None:
    from gateway.history.read import ReadOnlyHistory

    here.store._db.execute("UPDATE state SET body='{' WHERE name='agenda'")
    with ReadOnlyHistory(here.path) as store, pytest.raises(StorageError, match="until when"):
        gather(NAMED, here.site, library(here.site), store, DAYS)


@pytest.mark.parametrize("channel", [{}, {"channel": KEY}])
def test_a_meter_added_later_was_due_before_as_far_as_the_history_reaches(
    here: HistorySite, channel: dict[str, str]
) -> None:
    added = at("2026-08-31T18:00")
    here.store._db.execute("DELETE FROM totals")
    here.store._db.execute("DELETE FROM intervals WHERE meter='m-2' AND start_ns < ?", (added,))
    inventory = ledger(
        {"id": "old", "meter": "m-2"} | channel,
        {"id": "new", "meter": "m-2", "installed": "2026-08-31"} | channel,
        {"id": "other", "meter": "m-1"} | channel,
    )
    known = [
        one for one in reported(here.site.meters[1], library(here.site)) if not channel or one.key == KEY
    ]
    missed = sum(one.period_s == 10 for one in known)
    assert missed == len(known)
    found = gathered(here, inventory, AUGUST)
    assert {name: (one.expected, one.good) for name, one in found.instruments.items()} == {
        "old": (8640 * missed + 6480 * missed + 2160, 2160),
        "new": (6480 * missed + 2160, 2160),
        "other": (17280, 17280),
    }


def september(site: HistorySite) -> None:
    """Close a month of m-1 with two counters, whole, and of m-2 with hours missing; sum up its days and the month."""
    october, lost = at("2026-10-01T00:00"), at("2026-09-10T12:00")
    made = []
    for n, start_ns in enumerate(range(END, october, LENGTH_NS)):
        other = counter(start_ns, start_ns + LENGTH_NS, 7 * n, 7 * n + 7, key="energy_active_export_total")
        one = interval(start_ns, 2000 + n, 2001 + n)
        made.append(replace(one, channels=(one.channels[0], replace(other, good=89, gaps={"rejected": 1}))))
        if not lost <= start_ns < lost + 8 * LENGTH_NS:
            made.append(interval(start_ns, 2000 + n, 2001 + n, "m-2"))
    site.write(Work(intervals=made), october, [])
    for one in made:
        site.agenda.closed(one.start_ns, one.end_ns, one.epoch, one.rev)
    while (due := site.agenda.due()) is not None:
        if due.period in ("day", "month"):
            site.summarise(due)
        else:
            site.agenda.done(due)
    site.write(Work(), october, [])


def test_a_month_is_the_same_by_its_own_summary_by_its_days_and_by_its_intervals(
    here: HistorySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    september(here)
    inventory = ledger(
        {"id": "in", "meter": "m-1", "channel": KEY},
        {"id": "out", "meter": "m-1", "channel": "energy_active_export_total"},
        {"id": "all", "meter": "m-1"},
        {"id": "gap", "meter": "m-2", "channel": KEY},
        {"id": "late", "meter": "m-2", "channel": KEY, "installed": "2026-09-11"},
    )
    month = Window(date(2026, 9, 1), date(2026, 9, 30))
    by_month = gathered(here, inventory, month)
    asked: list[int] = []
    total = here.store.meters_of_total

    def counted(period: str, start_ns: int) -> Any:
        asked.append(start_ns)
        return total(period, start_ns)

    monkeypatch.setattr(here.store, "meters_of_total", counted)
    gathered(here, ledger({"id": "in", "meter": "m-1", "channel": KEY}), month)
    assert len(asked) == 1, "its own summary alone was read"
    here.store._db.execute("DELETE FROM totals WHERE period='month'")
    assert gathered(here, inventory, month) == by_month
    here.store._db.execute("DELETE FROM totals")
    assert gathered(here, inventory, month) == by_month
    found = by_month.instruments
    whole = 2880 * 90
    assert {name: (one.expected, one.good, str(one.amount)) for name, one in found.items()} == {
        "in": (whole, whole, "2880 kWh"),
        "out": (whole, 2880 * 89, f"{2880 * 7} kWh"),
        "all": (2 * whole, 2880 * 179, "None"),
        "gap": (whole, whole - 720, "2880 kWh"),
        "late": (20 * 8640, 20 * 8640, "1920 kWh"),
    }
    ends = {name: one.last_good[8:19] for name, one in found.items()}
    assert ends == dict.fromkeys(found, "30T23:59:50") | {"out": "30T23:45:00", "all": "30T23:59:50"}


def test_a_month_that_is_to_be_summed_up_anew_is_read_from_its_days(here: HistorySite) -> None:
    september(here)
    late = interval(END, 2000, 2001, rev=1, cause="late")
    here.commit([replace(late, channels=(replace(late.channels[0], good=80, gaps={"rejected": 10}),))])
    while (due := here.agenda.due()) is not None and due.period != "month":
        here.summarise(due)
    here.write(Work(), END, [])
    month = Window(date(2026, 9, 1), date(2026, 9, 30))
    one = gathered(here, NAMED, month).instruments["e-1"]
    assert (one.expected, one.good) == (2880 * 90, 2880 * 90 - 10)
