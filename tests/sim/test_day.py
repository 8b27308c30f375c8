"""A simulated day: 40 meters of 10 channels every 10 s, once with every destination away for 8 hours, once without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators.fakes import Trouble
from tests.sim import feed_oracles, oracles
from tests.sim.plant import Plan, play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.plant import Result

DAY_S = 86_400.0
AWAY = [Trouble("away", 6 * 3600.0, 14 * 3600.0)]


def day(folder: Path, troubles: list[Trouble]) -> Result:
    folder.mkdir()
    plan = Plan(
        DAY_S,
        sink_troubles={"influx": list(troubles)},
        feed_troubles={"feed": list(troubles)},
        backlog_rate=50_000.0,
    )
    return play(plan, folder)


def held(result: Result, folder: Path) -> None:
    """Nothing is lost, doubled or unexplained."""
    oracles.conservation(result)
    oracles.identity(result)
    feed_oracles.hold(result, folder)


@pytest.mark.timeout(1500)
def test_eight_hours_without_any_destination_change_no_poll_and_lose_nothing(tmp_path: Path) -> None:
    calm = day(tmp_path / "calm", [])
    polls = {id_: link.reads for id_, link in calm.links.items()}
    assert sum(map(len, polls.values())) >= 40 * 8630
    assert not [one for one in calm.destinations["feed"].came if one.late]
    held(calm, tmp_path / "calm")
    del calm  # 350 000 frames, and what each sink had of them
    away = day(tmp_path / "away", AWAY)
    assert {id_: link.reads for id_, link in away.links.items()} == polls, "the outage changed a poll"
    held(away, tmp_path / "away")
    for account in away.accounts.values():
        assert (account.missed, account.refused) == (0, 0)
        assert account.delivered + account.pending == away.journaled
        assert account.pending <= 2 * 40 * 10
    late = [one for one in away.destinations["feed"].came if one.late]
    assert len(late) >= 8 * 4, "the outage left no backlog: the test proves nothing"
