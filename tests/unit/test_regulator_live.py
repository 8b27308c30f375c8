"""Live completeness: every interval once, in its newest revision, whatever comes twice, late or out of order."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feed.contract import Fitting
from gateway.model import Flag
from gateway.regulator.live import COUNT_MAX, KEPT_MAX, METERS_MAX, Site, body, percent, take
from gateway.regulator.messages import model
from tests.fakes import feed

if TYPE_CHECKING:
    from collections.abc import Sequence

SITE = "330100/91330000MA27XXXX0A/plant-1"
FIRST = datetime.fromisoformat("2026-08-01T09:30:00+08:00")
QUARTER = timedelta(minutes=15)
COUNTER = "energy_active_import_total"


def payload(n: int = 0, *, rev: int = 0, meter: str = "feeder-1", seq: int = 1) -> dict[str, Any]:
    """Return the n-th interval after the first."""
    found = feed.interval_payload(seq, rev=rev)
    (interval,) = found["intervals"]
    interval["meter"] = meter
    interval["t0"], interval["t1"] = (
        (FIRST + step * QUARTER).isoformat(timespec="milliseconds") for step in (n, n + 1)
    )
    return found


def unknown(found: dict[str, Any]) -> dict[str, Any]:
    """Return an interval whose counter has no amount."""
    found["intervals"][0]["channels"][COUNTER] |= {"delta": None, "how": "missing", "closing": None}
    return found


def taken(
    payloads: Sequence[dict[str, Any]], *, late: Sequence[int] = (), site: Site | None = None
) -> dict[str, Any]:
    """Return the only site after these messages. late: indices of those on …/backfill."""
    known = site or Site(SITE)
    for n, found in enumerate(payloads):
        take(known, model(found), 1_785_550_000_000, late=n in late, retain=False)
    return body(known, 1_785_550_000_000, meters=True)


def birth(**cadence: Any) -> dict[str, Any]:
    return feed.head("birth") | {
        "software": "1",
        "timezone": "Asia/Shanghai",
        "key": {"kid": "k", "x": "A" * 43, "fingerprint": "0" * 64},
        "cadence": {"interval_s": 900, "grace_s": 30, "day_start": "00:00", "month_day": 1} | cadence,
        "meters": [{"id": "feeder-1", "digest": "0" * 64}, {"id": "silent-1", "digest": "0" * 64}],
    }  # fmt: skip


def test_hour_and_day_end_where_the_newest_live_interval_ends() -> None:
    told = taken([unknown(payload(n)) if n % 2 else payload(n) for n in range(8)])
    assert told["newest"] == "2026-08-01T03:30:00.000Z"
    assert told["date"] == "2026-08-01"
    assert (told["hour"]["intervals"], told["hour"]["due"], told["hour"]["known"]) == (4, 8, 6)
    assert told["hour"]["percent"] == "75.00"
    assert (told["day"]["intervals"], told["day"]["expected"], told["day"]["good"]) == (8, 8 * 180, 8 * 176)
    assert told["day"]["gaps"] == {"link_down": 8 * 4}


def test_repeats_and_revisions_count_once() -> None:
    repaired = payload(0, rev=1)
    told = taken([unknown(payload(0)), unknown(payload(0)), repaired, unknown(payload(0)), repaired])
    assert told["day"]["intervals"] == 1
    assert (told["day"]["known"], told["day"]["due"]) == (2, 2)
    assert (told["day"]["revised"], told["day"]["revised_percent"]) == (1, "100.00")
    assert (told["repeats"], told["superseded"]) == (2, 1)


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=6))
def test_the_order_does_not_matter_nor_what_comes_again(order: list[int], again: list[int]) -> None:
    messages = [unknown(payload(n)) if n % 3 == 0 else payload(n) for n in range(8)]
    messages += [payload(n, rev=1) for n in range(4)]
    newest = payload(8)
    straight = taken([*messages, newest])
    mixed = taken([*(messages[n] for n in [*order, *again]), newest], late=range(12 + len(again)))
    for key in ("hour", "day", "date", "newest"):
        assert mixed[key] == straight[key], key


def test_what_is_late_is_in_the_day_and_says_nothing_of_being_up_to_date() -> None:
    told = taken([payload(4), payload(1)], late=[1])
    assert told["newest"] == "2026-08-01T02:45:00.000Z"
    assert told["day"]["intervals"] == 2
    assert told["late"] == 1
    assert told["behind_s"] == 1_785_550_000 - FIRST.timestamp() - 5 * 900


def test_a_day_begins_at_the_sites_own_hour_and_zone() -> None:
    early = [payload(n) for n in range(-9, 3)]  # 07:15 … 10:15
    assert taken([birth(day_start="08:00"), *early])["day"]["intervals"] == 9
    assert taken([birth(day_start="10:00"), *early])["day"]["intervals"] == 1
    assert taken([birth(day_start="10:00"), *early])["date"] == "2026-08-01"
    assert taken([birth(day_start="11:00"), *early])["date"] == "2026-07-31"


def test_a_zone_nobody_knows_is_replaced_by_the_offset() -> None:
    for name in ("Nowhere/City", "", "../../etc/passwd", "a" * 3000):
        told = taken([birth() | {"timezone": name}, payload(0)])
        assert told["date"] == "2026-08-01"


def test_shares_of_manual_and_estimated_readings() -> None:
    by_hand, estimated = payload(0), payload(1)
    by_hand["intervals"][0]["channels"][COUNTER]["closing"]["source"] = "manual"
    estimated["intervals"][0]["channels"][COUNTER]["closing"]["flags"] = int(Flag.ESTIMATED)
    day = taken([by_hand, estimated, payload(2), payload(3)])["day"]
    assert (day["manual_percent"], day["estimated_percent"], day["revised_percent"]) == (
        "25.00",
        "25.00",
        "0.00",
    )


def test_meters_are_told_one_by_one_those_that_never_came_too() -> None:
    told = taken([birth(), payload(0), payload(0, meter="feeder-2")])
    assert [row["meter"] for row in told["meters"]] == ["feeder-1", "silent-1", "feeder-2"]
    assert [row["day"]["due"] for row in told["meters"]] == [2, 0, 2]
    assert told["meters"][1]["day"]["percent"] is None
    assert told["meters"][1]["newest"] is None


def test_the_sites_own_word_state_and_fitting() -> None:
    site = Site(SITE, online=False)
    older = feed.summary_payload() | {"t0": "2026-07-31T09:30:00.000+08:00", "rev": 3}
    fitting = feed.fitting_payload()
    told = taken([feed.summary_payload(), older, fitting], site=site)
    assert told["online"] is False
    assert told["said"]["day"]["percent"] == "98.95"
    assert told["said"]["day"]["t0"] == "2026-08-01T09:30:00.000+08:00"
    assert told["fitting"]["ruleset"] == "GB17167-2006"
    assert told["fitting"]["result"]["rates"][0]["meets"] is True
    assert isinstance(site.fitting, Fitting)


def test_memory_is_bounded() -> None:
    site = Site(SITE)
    for n in range(KEPT_MAX // 20):
        taken([payload(n)], site=site)
    assert len(site.meters["feeder-1"].pieces) <= 26 * 4 + 2
    for epoch in range(KEPT_MAX + 50):
        found = copy.deepcopy(payload(300))
        found["intervals"][0]["epoch"] = epoch
        take(site, model(found), 0, late=True, retain=False)
    assert len(site.meters["feeder-1"].pieces) <= KEPT_MAX


@pytest.mark.parametrize(
    "t0", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00", "2026-13-01T00:00:00+08:00"]
)
def test_times_that_cannot_be_are_refused(t0: str) -> None:
    found = payload(0)
    found["intervals"][0]["t0"] = t0
    with pytest.raises(ValueError, match=r"out of our days|month"):
        take(Site(SITE), model(found), 0, late=False, retain=False)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(2, 3, "66.66"), (0, 5, "0.00"), (5, 5, "100.00"), (1, 0, None), (99999, 100000, "99.99")],
)
def test_percent_is_cut_never_rounded_up(part: int, whole: int, text: str | None) -> None:
    assert percent(part, whole) == text


def test_meters_are_capped_and_what_is_left_out_is_counted() -> None:
    site = Site(SITE)
    for n in range(METERS_MAX + 3):
        take(site, model(payload(0, meter=f"m-{n}")), 0, late=False, retain=False)
    told = taken([payload(1, meter="m-0"), payload(1, meter="one-more")], site=site)
    assert len(site.meters) == METERS_MAX
    assert told["left_out"] == 4
    assert told["day"]["intervals"] == METERS_MAX + 1


@pytest.mark.parametrize("key", ["expected", "received", "good", "gaps"])
def test_counts_beyond_all_measure_are_refused(key: str) -> None:
    found = payload(0)
    found["intervals"][0]["channels"][COUNTER][key] = {"timeout": 2**64} if key == "gaps" else 2**64 - 1
    site = Site(SITE)
    with pytest.raises(ValueError, match=f"{COUNT_MAX:,}"):
        take(site, model(found), 0, late=False, retain=False)
    assert not site.meters
    assert not site.messages


def test_what_cannot_be_told_as_json_is_refused() -> None:
    fitting = feed.fitting_payload()
    fitting["result"]["rates"][0]["need"] = 10**30
    for found in (fitting, feed.summary_payload() | {"rev": 10**30}):
        with pytest.raises(TypeError):
            take(Site(SITE), model(found), 0, late=False, retain=False)
