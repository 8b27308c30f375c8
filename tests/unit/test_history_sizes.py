"""What `plan` says the history will take is what it takes, within a quarter: measured on real rows and real messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.feed import bodies
from gateway.feed.chain import Place, Sealer
from gateway.feed.keys import Key
from gateway.history.sizes import estimate
from gateway.history.work import TotalRow, Work
from gateway.intervals.grid import Grid
from simulators.virtual import VirtualClock, run
from tests.unit.history_rig import LENGTH_NS, START_NS, interval, open_history

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.intervals.model import Interval

GRID = Grid("Asia/Shanghai", 900)
CLOCK = {"synchronised": True, "offset_ms": 0.4, "max_error_ms": 12.5}
DAY = 96
TOLERANCE = 0.25


def _completeness(meter: str | None) -> dict[str, Any]:
    gaps = {"meter_off": 30, "link_down": 12}
    counts = {"due": 96, "known": 95, "expected": 8640, "received": 8598, "good": 8598}
    return {"meter": meter, **counts, "gaps": gaps, "percent": "98.95", "revised": 1, "manual": 0}


def _day(meters: int, channels: int, sealer: Sealer) -> tuple[list[Work], list[Work]]:
    """Return a day's commits, without messages and with them."""
    plain, signed = [], []
    names = [f"workshop-{m:02}" for m in range(meters)]
    for n in range(DAY):
        closed: list[Interval] = [interval(n, name, channels=channels) for name in names]
        summary = {"site": _completeness(None), "meters": [_completeness(name) for name in names]}
        made = [("data", body) for body in bodies.closed(closed, [], [], GRID)]
        start_ns = START_NS + n * LENGTH_NS
        totals = []
        for period in ("hour",) * (n % 4 == 0) + ("day",) * (n == 0):
            totals.append(
                TotalRow(period, start_ns, 0, start_ns + 4 * LENGTH_NS, start_ns + 4 * LENGTH_NS, summary)
            )
            span = {"period": period, "t0": GRID.iso(start_ns), "t1": GRID.iso(start_ns), "rev": 0}
            made.append(("summary", {**span, **summary, "totals": [], "aggregates": []}))
        entries = [
            sealer.seal(
                kind,  # type: ignore[arg-type]
                "",
                body,
                time_ns=start_ns,
                issued=GRID.iso(start_ns),
                clock=CLOCK,
                config=64 * "0",
            )
            for kind, body in made
        ]
        plain.append(Work(closed, totals))
        signed.append(Work(entries=entries, chain="4f3a21b07c9d4e58"))
    return plain, signed


def _bytes(folder: Path, works: list[Work]) -> int:
    folder.mkdir()

    async def main() -> int:
        history = open_history(folder, VirtualClock(START_NS))
        before = history.used_bytes
        for work in works:
            await history.commit(work)
        after = history.used_bytes
        await history.close()
        return after - before

    return run(main())


@pytest.mark.parametrize(("meters", "channels"), [(1, 1), (3, 2), (40, 1), (40, 3), (12, 8)])
def test_the_estimate_is_what_a_day_takes(tmp_path: Path, meters: int, channels: int) -> None:
    place = Place("4f3a21b07c9d4e58")
    sealer = Sealer(
        Key.make("gw-1"), gateway="gw-1", region="330106", enterprise="91330106MA27XXXX1X", place=place
    )
    plain, signed = _day(meters, channels, sealer)
    found = estimate({f"m-{m}": channels for m in range(meters)}, 900, 86_400 * 200, feed=True)
    taken = (_bytes(tmp_path / "plain", plain), _bytes(tmp_path / "signed", signed))
    assert found.history_bytes_day == pytest.approx(taken[0], rel=TOLERANCE)
    assert found.outbox_bytes_day == pytest.approx(taken[1], rel=TOLERANCE)
    assert found.kept_bytes == pytest.approx(200 * sum(found[:2]), rel=1e-4)


def test_without_a_feed_nothing_is_signed() -> None:
    found = estimate({"a": 1, "b": 4}, 900, 86_400, feed=False)
    assert found.outbox_bytes_day == 0
    assert found.kept_bytes == found.history_bytes_day > 0
    assert estimate({}, 900, 86_400, feed=False).history_bytes_day > 0
