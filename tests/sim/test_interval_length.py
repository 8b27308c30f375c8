"""Another interval length or time zone: what is open runs out first, so that nothing is left out and nothing counts twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from tests.sim import feed_oracles, lives
from tests.sim.plant import START_NS, Act, Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def length(text: str) -> Callable[[str], str]:
    return lambda site: site.replace('length = "5min"', f'length = "{text}"')


def zone(text: str) -> Callable[[str], str]:
    return lambda site: site.replace("Asia/Shanghai", text)


def minutes(folder: Path) -> list[tuple[int, float]]:
    """Return (seconds since the start, minutes long) of a meter's intervals."""
    with ReadOnlyHistory(folder / "history.db") as history:
        found = [one for one in history.intervals() if one.meter == "m-001"]
    return [((one.start_ns - START_NS) // NS, (one.end_ns - one.start_ns) / NS / 60) for one in found]


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([str, length("60min")], [(1900, 5), (2200, 5), (2500, 5), (2800, 60)]),
        ([length("60min"), str], [(-800, 60), (2800, 5), (3100, 5)]),
        ([length("20min"), length("15min")], [(400, 20), (1600, 20), (2800, 15), (3700, 15)]),
        ([length("60min"), lambda site: zone("Asia/Kolkata")(length("60min")(site))], [(-800, 60), (2800, 30), (4600, 60)]),
        ([str, length("60min"), length("20min")], [(1900, 5), (2200, 5), (2500, 5), (2800, 20), (4000, 20)]),
    ],
    ids=["longer", "shorter", "neither divides the other", "zone", "twice"],
)  # fmt: skip
def test_what_is_open_runs_out(
    tmp_path: Path, edits: list[Callable[[str], str]], expected: list[tuple[int, float]]
) -> None:
    plan = Plan(9000, meters=2, channels=3, links=1, interval="5min", feed_troubles={"feed": []}, sink_troubles={},
                acts=[Act(2000, "stop", away_s=20), Act(2100, "kill", away_s=5)])  # fmt: skip
    edits = edits if len(edits) == 3 else [*edits, edits[-1]]
    result = lives.play(plan, tmp_path, edits)
    feed_oracles.hold(result, tmp_path)
    found = minutes(tmp_path)
    at = found.index(expected[0])
    assert found[at : at + len(expected)] == expected
    assert "intervals of another length or time zone run out first" in {one["event"] for one in result.logs}


@pytest.mark.parametrize("back_s", [3600.0, 86_400.0])
def test_after_the_clock_was_set_back_the_new_length_counts_at_once(tmp_path: Path, back_s: float) -> None:
    plan = Plan(6000, meters=1, channels=3, links=1, interval="5min", feed_troubles={"feed": []}, sink_troubles={},
                acts=[Act(1200, "step", step_s=-back_s), Act(1260, "stop", away_s=20)])  # fmt: skip
    result = lives.play(plan, tmp_path, [str, length("10min")])
    feed_oracles.hold(result, tmp_path)
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        expected = sum(one.channels[0].expected for one in history.intervals() if one.epoch == 1)
    assert expected == pytest.approx((6000 - 1200) / 10, abs=60), (
        "none of the times that came again is left out"
    )
