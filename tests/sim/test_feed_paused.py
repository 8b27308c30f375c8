"""No feed for a time, or from the beginning: what was not told is counted, and a later correction of it is whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from tests.sim import feed_oracles
from tests.sim.lives import Lives, play, verified
from tests.sim.plant import START_NS, Act, Plan

if TYPE_CHECKING:
    from pathlib import Path

KEY = "energy_active_import_2"


def without(text: str) -> str:
    """Return a site file without the feed."""
    return re.sub(r'\[\[sinks\]\]\nid = "feed"[^\[]*', "", text)


def plan(*acts: Act, until_s: float = 2400) -> Plan:
    return Plan(
        until_s, meters=2, channels=3, links=1, interval="1min", sink_troubles={}, feed_troubles={"feed": []},
        acts=acts,
    )  # fmt: skip


async def swap(lives: Lives) -> None:
    """A swap entered late, effective while there was no feed: intervals of then are revised."""
    await lives.gateway.answers["swap"](
        {
            "meter": "m-001", "serial": "S2", "by": "Wang", "why": "verification", "effective_ns": START_NS + 900 * NS,
            "closing": {KEY: "100000"}, "opening": {KEY: "0"},
        }
    )  # fmt: skip


def told(result_feed: object) -> set[tuple[str, str, int]]:
    return {
        (one["meter"], one["t0"], one["rev"])
        for payload in feed_oracles.payloads(result_feed)  # type: ignore[arg-type]
        for one in payload.get("intervals", [])
    }


def test_a_feed_that_comes_back_tells_how_much_it_did_not_tell(tmp_path: Path) -> None:
    acts = (Act(700, "stop", away_s=20), Act(1500, "stop", away_s=20), Act(2000, "kill", away_s=5))
    feed = play(plan(*acts), tmp_path, [str, without, str]).destinations["feed"]
    (event,) = feed_oracles.events(feed, "feed_paused")
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        kept = len(list(history.intervals(all_revisions=True)))
    assert event["detail"]["intervals"] == kept - len(told(feed)) > 10
    assert verified(feed)["findings"] == []


def test_a_correction_of_what_was_never_told_is_whole(tmp_path: Path) -> None:
    """The feed begins later: intervals of before are revised, each comes with all its revisions; hours and days too."""
    acts = (Act(1200, "stop", away_s=10),)
    feed = play(plan(*acts, until_s=4300), tmp_path, [without, str], {3900.0: swap}).destinations["feed"]
    assert {rev for _, _, rev in told(feed)} == {0, 1}
    report = verified(feed)
    assert (report["verified"], [one for one in report["findings"] if one["severity"] == "finding"]) == (
        True,
        [],
    )
