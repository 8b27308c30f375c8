"""Two hundred meters on real sockets, twenty-five of them in trouble: the others do not notice.

Ten device servers with twenty meters each. On every one a dead meter and a slow one, on five of them one that sends
garbage besides: a meter behind a device server spoils the connection it shares with nineteen others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from gateway.journal.records import unpack
from gateway.journal.store import Store
from gateway.model import ABSENT, Frame
from simulators.faults import Fault
from simulators.plan import LinkPlan, MeterPlan, Plan
from simulators.run import serve
from simulators.site_file import site_toml
from tests.integration.site import GatewayProcess

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.run import RunningSite

LINKS, PER_LINK = 10, 20
PERIOD_S = (
    4.0  # a link needs 1.5 s at most: what lags behind is the machine's load, and ends within the period
)
SLOW_S = 0.3
WATCHED_S = 48.0
KEYS = ("voltage_ln_l1", "power_active_total", "energy_active_import_total")


def id_of(link: int, n: int) -> str:
    return f"m{link}-{n}"


DEAD = frozenset(id_of(link, 3) for link in range(LINKS))
SLOW = frozenset(id_of(link, 7) for link in range(LINKS))
GARBAGE = frozenset(id_of(link, 11) for link in range(5))


def plan() -> Plan:
    links = tuple(LinkPlan(f"box-{link}", "modbus-tcp", proxy=True) for link in range(LINKS))
    meters = tuple(
        MeterPlan(
            id_of(link, n), f"box-{link}", "electricity", profile="eastron-sdm630", unit=n + 1,
            energy_kind="electricity", channels=KEYS, parameters={"power_kw": 10.0 + n},
        )
        for link in range(LINKS)
        for n in range(PER_LINK)
    )  # fmt: skip
    return Plan("two hundred", 5, links, meters, faults=(*faults(),), refresh_s=0.5, period=f"{PERIOD_S:g}s")


def faults() -> list[Fault]:
    found = []
    for link in range(LINKS):
        box = f"box-{link}"
        found.append(Fault("dead", box, units=frozenset({4})))
        found.append(Fault("slow", box, units=frozenset({8}), delay_s=SLOW_S))
        if link < 5:
            found.append(Fault("garbage", box, units=frozenset({12})))
    return found


def journaled(state: Path) -> list[Frame]:
    store = Store(state / "journal.db")
    found = store.load()
    frames = [
        record
        for row in store.read(found.oldest, found.following, 1 << 60)
        for record in unpack(row.body, found.layouts.__getitem__)
        if isinstance(record, Frame)
    ]
    store.close()
    return frames


async def test_of_200_meters_25_are_in_trouble_and_175_keep_their_polls(tmp_path: Path) -> None:
    running = await serve(plan())
    try:
        state = tmp_path / "state"
        site_file = tmp_path / "site.toml"
        site_file.write_text(site_toml(running.plan, running.ports, state_dir=str(state)), encoding="utf-8")
        gateway = GatewayProcess(tmp_path, site_file, state)
        try:
            gateway.start()
            await asyncio.to_thread(gateway.status)
            await asyncio.sleep(WATCHED_S)  # real sockets, real time: what is watched has a length
            assert await asyncio.to_thread(gateway.end) == 0, gateway.tail()
        finally:
            gateway.close()
        frames = journaled(state)
        check_polls(frames)
        check_truth(running, frames)
    finally:
        await running.stop()


def check_polls(frames: list[Frame]) -> None:
    """Every healthy meter has ≥ 99 % of its polls, all of them together and each within one."""
    healthy = {id_of(link, n) for link in range(LINKS) for n in range(PER_LINK)} - DEAD - SLOW - GARBAGE
    assert len(healthy) == 175
    first_ns, last_ns = frames[0].time_ns, frames[-1].time_ns
    period_ns = round(PERIOD_S * 1e9)
    grid = range(-(-first_ns // period_ns) + 1, last_ns // period_ns)  # whole periods inside the run
    got = Counter(
        f.layout.meter
        for f in frames
        if f.time_ns // period_ns in grid and not any(v & ABSENT for v in f.flags)
    )
    assert len(grid) >= 9, "too short a run proves nothing"
    share = sum(got[meter] for meter in healthy) / (len(healthy) * len(grid))
    assert share >= 0.99, f"{share:.2%} of the polls of the healthy meters; {got.most_common()[-5:]}"
    assert min(got[meter] for meter in healthy) >= len(grid) - 1
    assert not any(got[meter] for meter in DEAD | GARBAGE), "the faults never hit: the test proves nothing"
    assert min(got[meter] for meter in SLOW) >= len(grid) - 1, "slow is no fault"


def check_truth(running: RunningSite, frames: list[Frame]) -> None:
    """No value differs from what the simulated meter showed."""
    compared = 0
    for frame in frames:
        late_ns = round(SLOW_S * 1e9) if frame.layout.meter in SLOW else 0
        for channel, value, flags in zip(frame.layout.channels, frame.values, frame.flags, strict=True):
            if flags & ABSENT:
                continue
            truths = {
                truth
                for at_ns in (frame.time_ns, frame.time_ns - late_ns)
                for truth in running.site.truths(frame.layout.meter, channel.key, at_ns, channel.unit)
            }
            assert any(abs(value - truth) <= 1e-6 * max(1.0, abs(truth)) for truth in truths), (
                f"{frame.layout.meter} {channel.key}: {value} where the meter showed {truths}"
            )
            compared += 1
    assert compared > 175 * 9 * len(KEYS)
