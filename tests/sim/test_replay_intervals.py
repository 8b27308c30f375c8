"""A wrong factor found days later, under virtual time: profile corrected, gateway restarted, replayed; and a swap told late."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest
import structlog

from gateway import assembly
from gateway.history.history import History
from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from gateway.replay.corrector import Corrector
from gateway.replay.rules import Rule, Rules
from simulators.virtual import run
from tests.sim import feed_oracles
from tests.sim.plant import START_NS, Plan, Plant

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.app import Gateway
    from gateway.history.work import Dropped, Work
    from gateway.layout import Layout
    from tests.sim.plant import Result

METER, COUNTER = "m-001", "energy_active_import_2"
WRONG, RIGHT = 'factor = "0.01"', 'factor = "0.1"'
CORRECTED_S, REPLAY_S, END_S = 3000.0, 3700.0, 4600.0
PLAN = Plan(END_S, meters=2, channels=3, links=1, interval="5min", feed_troubles={"feed": []})


class Corrected(Plant):
    """The gateway started with a wrong factor, again with the right one, and asked for a replay of what was before."""

    def __init__(self, plan: Plan, folder: Path, *, killed: bool = False) -> None:
        """killed: when the replay's intervals are made and nothing of them is committed."""
        super().__init__(plan, folder)
        self.killed, self.stopped = killed, 0
        self._profile(RIGHT, WRONG)
        self._running: Gateway

    def _profile(self, old: str, new: str) -> None:
        file = self.folder / "profiles" / "fake-meter.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        self._library = assembly.library(self.site)

    def _gateway(self) -> Gateway:
        self._running = super()._gateway()
        return self._running

    async def run(self) -> Result:
        await self._live(CORRECTED_S, kill=False)
        self._profile(WRONG, RIGHT)
        await self.clock.sleep_until(CORRECTED_S + 20)
        asked = asyncio.create_task(self._ask())
        if self.killed:
            await self._killed()
        await self._live(END_S, kill=False)
        await asked
        await self._account()
        return self.result

    async def _killed(self) -> None:
        """Live until the first portion is made, and kill the gateway before what it made is committed."""
        reached = asyncio.Event()
        commit = History.commit

        async def stopped(history: History, work: Work) -> Dropped:
            if any(one.cause == "replay" for one in work.intervals):
                self.stopped += 1
                reached.set()
                await asyncio.Event().wait()
            return await commit(history, work)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(History, "commit", stopped)
            gateway = self._gateway()
            life = asyncio.create_task(gateway.run(asyncio.Event()))
            await reached.wait()
            self._kill(gateway)
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        await self.clock.sleep_until(self.clock.monotonic() + 1)

    async def _ask(self) -> None:
        """Declare the replay as the verb does, once its rule is kept."""
        await self.clock.sleep_until(REPLAY_S)
        before, after = layouts(self._running)
        to_ns = START_NS + round((CORRECTED_S + 10) * NS)
        rule = Rule(METER, 0, to_ns, before.digest, after.digest, 1, after.to_dict())
        Rules(self.folder).add(rule)
        detail = rule._asdict() | {"readings": 1, "by": "Li", "why": "factor"}
        del detail["meter"]
        assert await self._running._events.note_for_good("replay", METER, **detail)


def layouts(gateway: Gateway) -> tuple[Layout, Layout]:
    """Return the layout before and after the correction."""
    own = [layout for layout in gateway.journal.layouts() if layout.meter == METER and layout.period_s]
    place = [channel.key for channel in own[0].channels].index(COUNTER)
    before, after = sorted(own, key=lambda layout: Decimal(layout.slots[place].coefficient))
    return before, after


def play(folder: Path, *, killed: bool = False) -> tuple[Corrected, Result]:
    async def main() -> tuple[Corrected, Result]:
        plant = Corrected(PLAN, folder, killed=killed)
        return plant, await plant.run()

    with structlog.testing.capture_logs():
        return run(main())


def read_by_now(result: Result, after: Layout) -> None:
    """Have the frames of the wrong layout as they are read by now, for the oracles."""
    before = {frame.layout.digest: frame.layout for frame in result.frames if frame.layout.meter == METER}
    correctors = {d: Corrector(of, after) for d, of in before.items() if of.period_s and d != after.digest}
    result.frames = [
        correctors[f.layout.digest].frame(f) if f.layout.digest in correctors else f for f in result.frames
    ]


@pytest.mark.parametrize("killed", [False, True])
def test_a_wrong_factor_replayed(tmp_path: Path, killed: bool) -> None:
    plant, result = play(tmp_path, killed=killed)
    assert plant.stopped == killed
    wrong = list(result.frames)
    read_by_now(result, layouts(plant._running)[1])
    assert any(a is not b for a, b in zip(wrong, result.frames, strict=True))
    feed_oracles.hold(
        result, tmp_path
    )  # amounts, gaps, feed and chain, against the frames as they are read by now
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        everything = list(history.intervals(all_revisions=True))
        totals = list(history.totals("hour", all_revisions=True))
    found = feed_oracles.newest(everything)
    own = {start: one for (meter, _, start), one in found.items() if meter == METER}
    revised = [one for one in own.values() if one.rev]
    assert len(revised) >= 10
    assert {(one.rev, one.cause) for one in revised} == {(1, "replay")}
    assert not [one for one in everything if one.meter != METER and one.rev], "another meter is revised"
    ends: dict[int, int] = {}
    for start, one in own.items():
        channel = one.channel(COUNTER)
        assert channel is not None
        after = own.get(one.end_ns)
        following = after.channel(COUNTER) if after else None
        if following is not None:
            assert channel.closing == following.opening, "neighbours share a reading"
        if channel.delta is not None:
            ends[start] = one.end_ns
            old = next(o for o in everything if o.meter == METER and o.start_ns == start and not o.rev)
            was = old.channel(COUNTER)
            if one.rev and was is not None and was.delta is not None:
                assert channel.delta == 10 * was.delta
    assert len(ends) >= len(own) - 4
    revs = {row.start_ns: row.rev for row in totals}
    assert max(revs.values()) >= 1, "hours are summed up anew"


def test_a_swap_told_three_days_late(tmp_path: Path) -> None:
    """No frames any more but in the history: the interval is made anew from its own readings."""
    days = 3 * 86_400.0
    at_s = 1200.0

    class Told(Plant):
        async def run(self) -> Result:
            asked = asyncio.create_task(self._ask())
            await self._live(2300, kill=True)
            await self.clock.sleep_until(days)
            await self._live(days + 700, kill=False)
            await asked
            await self._account()
            return self.result

        def _gateway(self) -> Gateway:
            self._running = super()._gateway()
            return self._running

        async def _ask(self) -> None:
            await self.clock.sleep_until(days + 330)
            row = {"reading": "1.5", "unit": "kWh", "time_ns": 0, "from": "typed"}
            at_ns = START_NS + round(at_s * NS)
            note = partial(self._running._events.note_for_good, "meter_swap", METER)
            sides = {"closing": {COUNTER: None}, "opening": {COUNTER: row}}
            await note(**sides, effective_ns=at_ns, serial="9", by="Li", why="late")

    async def main() -> Result:
        return await Told(
            Plan(days + 700, meters=2, channels=3, links=1, feed_troubles={"feed": []}), tmp_path
        ).run()

    with structlog.testing.capture_logs():
        result = run(main())
    with ReadOnlyHistory(tmp_path / "history.db") as history:
        everything = list(history.intervals(all_revisions=True))
    revised = [one for one in everything if one.cause == "meter_swap"]
    assert [(one.meter, one.rev, one.swapped) for one in revised] == [(METER, 1, True)]
    channel = revised[0].channel(COUNTER)
    assert channel is not None
    assert (channel.delta, channel.how) == (None, "swap"), "nobody knows what the old meter showed at last"
    assert revised[0].start_ns <= START_NS + at_s * NS < revised[0].end_ns
    feed_oracles.complete(
        result.destinations["feed"],
        everything,
        feed_oracles.chain_of(result.destinations["feed"].came[0].entry),
    )
    feed_oracles.chain(result.destinations["feed"])
