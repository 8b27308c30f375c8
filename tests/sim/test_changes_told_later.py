"""What is declared, or added to the site file, after intervals have closed: sums made anew, and revisions without a hole."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from tests.sim.lives import Lives, play, verified
from tests.sim.plant import START_NS, Act, feed_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "energy_active_import_2"
METER = "m-001"


def swap_at(second: int) -> Any:
    async def step(lives: Lives) -> None:
        sides = {"closing": {KEY: None}, "opening": {KEY: "0"}}
        request = {"meter": METER, "serial": f"S{second}", "by": "Li", "why": "broken", **sides}
        await lives.gateway.answers["swap"]({**request, "effective_ns": START_NS + second * NS})

    return step


def without(text: str) -> str:
    return re.sub(rf'\[\[meters\]\]\nid = "{METER}".*?channels = \["\*"\]\n', "", text, flags=re.DOTALL)


def with_sum(text: str) -> str:
    return f'{text}\n[[aggregates]]\nid = "net"\nterms = [{{ meter = "{METER}", channel = "{KEY}" }}]\n'


def test_a_swap_told_after_the_hour_in_which_the_meter_was_in_no_site_file(tmp_path: Path) -> None:
    acts = Act(3500, "stop", away_s=20), Act(4400, "stop", away_s=20)
    result = play(feed_alone(7000, *acts), tmp_path, [str, without, str], {6600: swap_at(4000)})
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        hours = list(history.totals("hour", START_NS, all_revisions=True))
        intervals = list(history.intervals(hours[0].start_ns, hours[-1].end_ns, [METER]))
    first, last = (
        hour.body["meters"][METER]["runs"][KEY] for hour in hours if hour.start_ns == hours[-1].start_ns
    )
    counted = sum(
        (one.channels[0].delta or Decimal(0) for one in intervals if one.start_ns >= hours[-1].start_ns),
        Decimal(0),
    )
    assert not first.get("is_broken")
    assert Decimal(first["known"]) > counted, "nobody had said anything: it only rose"
    assert (last.get("is_broken"), Decimal(last["known"])) == (True, counted)
    assert verified(result.destinations["feed"])["findings"] == []


def test_a_reported_quantity_added_later_is_told_from_rev_0(tmp_path: Path) -> None:
    edits: list[Callable[[str], str]] = [str, with_sum]
    result = play(
        feed_alone(2400, Act(1200, "stop", away_s=20)),
        tmp_path,
        edits,
        {1800: swap_at(600), 2100: swap_at(900)},
    )
    assert [
        one for one in verified(result.destinations["feed"])["findings"] if one["severity"] != "notice"
    ] == []
