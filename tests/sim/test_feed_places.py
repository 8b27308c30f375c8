"""Another region, another name: what is announced says so, at the place it is from, and the place of before is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators.fakes import Trouble
from tests.sim import feed_oracles
from tests.sim.lives import play, verified
from tests.sim.plant import Act, feed_alone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.lives import Edit

BEFORE = "350100/91350100M000100Y43/plant-1"
CHANGES = {
    "350200/91350100M000100Y43/plant-1": ('region = "350100"', 'region = "350200"'),
    "350100/91350100M000200Y4T/plant-1": ("91350100M000100Y43", "91350100M000200Y4T"),
    "350100/91350100M000100Y43/plant-2": ('id = "plant-1"', 'id = "plant-2"'),
}


@pytest.mark.parametrize("after", CHANGES)
def test_another_place_is_announced_anew_and_the_former_one_is_left_once(after: str, tmp_path: Path) -> None:
    """From the second life on; a third one leaves nothing again."""
    edits: list[Edit] = [str, lambda text: text.replace(*CHANGES[after])]
    acts = (Act(700, "stop", away_s=20), Act(1000.5, "kill", away_s=20))
    result = play(feed_alone(1300, *acts), tmp_path, edits)
    feed = result.destinations["feed"]
    report = verified(feed)
    assert (report["verified"], [one for one in report["findings"] if one["severity"] == "finding"]) == (
        True,
        [],
    )
    topics = {message.topic for message in feed.messages if message.topic.startswith(f"emc/v1/{after}/")}
    own = ("birth", "birth/m-001", "birth/m-002", "checkpoint", "data", "event")
    assert topics >= {f"emc/v1/{after}/{name}" for name in own}
    assert [one.place for one in feed.left] == [BEFORE]
    assert set(feed.left[0].topics) == {"birth", "birth/m-001", "birth/m-002", "checkpoint", "fitting"}


def test_back_again_is_another_change(tmp_path: Path) -> None:
    """The place that is in force again is not left, and a new chain begins there: the one of before went on elsewhere."""
    acts = (Act(400, "stop", away_s=20), Act(700, "stop", away_s=20), Act(1000, "stop", away_s=20))
    change = CHANGES["350200/91350100M000100Y43/plant-1"]
    edits: list[Edit] = [str, lambda text: text.replace(*change), str, lambda text: text.replace(*change)]
    feed = play(feed_alone(1300, *acts), tmp_path, edits).destinations["feed"]
    after = BEFORE.replace("350100/", "350200/", 1)
    assert [one.place for one in feed.left] == [BEFORE, after, BEFORE]
    assert [one for one in verified(feed)["findings"] if one["severity"] == "finding"] == []
    reasons = [told["detail"]["reason"] for told in feed_oracles.events(feed, "chain_begins")]
    assert reasons == ["first_start", "place_again", "place_again"]
    assert {payload["region"] for payload in feed_oracles.payloads(feed)} == {"350100", "350200"}


def test_what_a_removed_destination_still_had_to_get_is_told(tmp_path: Path) -> None:
    """Its sink got another name while messages waited: the new one begins behind them. Told once, also over another start."""
    run = feed_alone(1300, Act(700, "stop", away_s=20), Act(1000, "kill", away_s=20))
    run.feed_troubles["feed"] = [Trouble("away", 200, 720)]
    edits: list[Edit] = [str, lambda text: text.replace('id = "feed"', 'id = "feed-b"')]
    result = play(run, tmp_path, edits)
    (told,) = feed_oracles.events(result.destinations["feed-b"], "destination_removed")
    came = {one.entry.seq for feed in result.destinations.values() for one in feed.came}
    missing = set(range(1, max(came) + 1)) - came
    detail = told["detail"]
    assert told["subject"] == "feed"
    assert missing == set(range(int(detail["first_seq"]), int(detail["last_seq"]) + 1))
    assert detail["messages"] == len(missing) > 0
    (logged,) = [entry for entry in result.logs if "a destination is removed" in entry["event"]]
    assert f"metergate feed resend {min(missing)} {max(missing)}" in logged["advice"]
