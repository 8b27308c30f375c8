"""What summaries say arrives in a real database: measurement `completeness` with its figures, totals, revisions beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.clock import SystemClock
from gateway.feed.lines import time_ms
from gateway.sinks.feed_influx import FeedInflux
from gateway.sinks.influx_connection import InfluxLines
from tests.servers import VictoriaMetrics
from tests.unit.history_site import HistorySite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = "2026-08-30T00:00:00.000+08:00"
MONTH = "2026-08-01T00:00:00.000+08:00"
Found = dict[tuple[str, str, str, str], dict[int, float]]


def figures(server: VictoriaMetrics, measurement: str) -> Found:
    """Return (field, meter, period, rev) -> time -> value."""
    found: Found = {}
    for labels, times in server.export(f'{{__name__=~"{measurement}_.*"}}').items():
        tags = dict(labels)
        assert (tags["gateway"], tags["region"], tags["enterprise"]) == (
            "plant-1",
            "350100",
            "91350100M000100Y43",
        )
        field = tags["__name__"].removeprefix(f"{measurement}_")
        name = field, tags.get("meter", ""), tags["period"], tags.get("rev", "0")
        found[name] = {time: values[0] for time, values in times.items()}
        assert all(len(set(values)) == 1 for values in times.values()), "written twice is written once"
    return found


async def test_summaries_arrive_with_their_figures(tmp_path: Path, free_port: Callable[[], int]) -> None:
    site = HistorySite(tmp_path)
    site.revise(3, "1004")
    while (due := site.agenda.due()) is not None:
        site.summarise(due)
    with VictoriaMetrics(tmp_path / "vm", free_port()) as server:
        feed = FeedInflux(
            InfluxLines(id="db", url=server.url, org="o", bucket="b", token="t", clock=SystemClock())
        )
        await feed.open([], chain="c-1", seq=0)
        assert await feed.write(site.entries, late=False) == []
        assert await feed.write([one for one in site.entries if one.kind == "summary"], late=True) == []
        await feed.close()
        complete, totals = figures(server, "completeness"), figures(server, "total")
    day, month = time_ms(DAY), time_ms(MONTH)
    assert {field: complete[field, "", "day", "0"][day] for field in ("due", "known", "expected", "good", "gap_meter_off", "percent", "revised", "boundary_error_s")} == {
        "due": 192, "known": 187, "expected": 17280, "good": 17055, "gap_meter_off": 225, "percent": 97.39, "revised": 0, "boundary_error_s": 0,
    }  # fmt: skip
    assert complete["revised", "m-1", "day", "1"] == {day: 1}
    assert (complete["known", "m-2", "day", "0"][day], complete["percent", "m-2", "day", "0"][day]) == (
        91,
        94.79,
    )
    assert complete["due", "", "month", "0"] == {month: 384}
    assert ("deviation_percent", "", "month", "0") not in complete, "no month is known, so it has no field"
    hours = complete["due", "m-1", "hour", "0"]
    assert (len(hours), set(hours.values())) == (48, {4})
    assert totals["amount", "m-2", "day", "0"][day] == 96
    assert totals["known", "m-1", "month", "1"] == {month: 192}
    assert ("amount", "m-1", "month", "1") not in totals, "what is unknown has no field"
    said = sum(len(body["meters"]) + 1 for body in site.summaries)
    assert said == sum(len(times) for (field, *_), times in complete.items() if field == "due")
    site.close()
