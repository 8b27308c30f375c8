"""Long stops and clocks years ahead: what is due afterwards is made in portions, and what is too old is not made at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import sleep_for
from gateway.derive.deriver import PORTION
from gateway.history.history import History
from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from tests.sim import feed_oracles, lives, plant
from tests.sim.plant import Act, Plan, play

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.history.work import Work

DAY_S = 86_400.0


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return (intervals, totals) of each commit, as they come; each takes a second."""
    commit, found = History.commit, []

    async def slow(self: History, work: Work) -> Any:
        await sleep_for(self._clock, 1.0)
        dropped = await commit(self, work)
        found.append((len(work.intervals), len(work.totals)))
        return dropped

    monkeypatch.setattr(History, "commit", slow)
    return found


def test_days_away_are_made_in_portions_and_a_kill_in_the_midst_doubles_nothing(
    tmp_path: Path, sizes: list[tuple[int, int]]
) -> None:
    back_s = 1300 + 6 * DAY_S
    acts = [
        Act(1300, "stop", away_s=6 * DAY_S),
        Act(back_s + 3.4, "kill", away_s=2),
        Act(back_s + 12.3, "kill", away_s=2),
    ]
    plan = Plan(
        back_s + 400, meters=10, channels=3, links=2, acts=acts, feed_troubles={"feed": []}, sink_troubles={}
    )
    result = play(plan, tmp_path)
    feed_oracles.hold(result, tmp_path)
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        assert len(list(history.intervals())) > 5_700
    assert max(intervals for intervals, _ in sizes) <= PORTION + 10
    large = [n for n, (intervals, _) in enumerate(sizes) if intervals >= PORTION]
    assert len(large) == 2, "as many as are due, each once"
    assert any(totals for _, totals in sizes[large[0] : large[1]]), "hours are summed up in between"


def longer(text: str) -> str:
    return text + '[history]\nkeep = "2d"\n'


def skipped_once(result: plant.Result, folder: Path) -> tuple[int, int]:
    """Return from when until when intervals were skipped; everything else is there and told."""
    with ReadOnlyHistory(folder / "history.db") as history:
        intervals = list(history.intervals(all_revisions=True))
        (skipped,) = history.events(kinds=("intervals_skipped",))
        assert history.state("intervals")["expectation"]["last_resorts"] == 0
    feed_oracles.counts(intervals)
    feed_oracles.without_holes(intervals, [skipped])
    feed = result.destinations["feed"]
    feed_oracles.chain(feed)
    assert len(feed_oracles.events(feed, "intervals_skipped")) == 1
    first_ns, until_ns = skipped.detail["from_ns"], skipped.detail["to_ns"]
    assert isinstance(first_ns, int)
    assert isinstance(until_ns, int)
    told = {
        feed_oracles.iso_ns(one["t0"])
        for body in feed_oracles.payloads(feed)
        for one in body.get("intervals", [])
    }
    assert min(start_ns for start_ns in told if start_ns >= first_ns) == until_ns
    return first_ns, until_ns


def test_what_the_history_would_throw_away_at_once_is_not_made(tmp_path: Path) -> None:
    plan = Plan(40 * DAY_S + 2000, meters=2, channels=3, links=1, acts=[Act(600, "stop", away_s=40 * DAY_S)],
                feed_troubles={"feed": []}, sink_troubles={})  # fmt: skip
    result = lives.play(plan, tmp_path, [longer])
    first_ns, until_ns = skipped_once(result, tmp_path)
    assert (until_ns - first_ns) / NS == pytest.approx(38 * DAY_S, abs=900)


def test_a_clock_that_was_never_set_before_costs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plant, "START_NS", 30 * NS)
    years_s = 56 * 365 * DAY_S
    plan = Plan(2000, meters=1, channels=3, links=1, feed_troubles={"feed": []}, sink_troubles={},
                acts=[Act(60, "stop", away_s=10), Act(65, "step", step_s=years_s)])  # fmt: skip
    result = lives.play(plan, tmp_path, [longer])
    first_ns, until_ns = skipped_once(result, tmp_path)
    assert (until_ns - first_ns) / NS == pytest.approx(years_s - 2 * DAY_S, abs=2000)
