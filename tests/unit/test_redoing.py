"""Intervals made anew long after they closed: what comes out is what the frames, as they are read by now, say by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.derive import redoing
from gateway.model import NS, Flag
from tests.unit.engine_rig import IN, OUT, POWER, T0, event, frame, layout, minutes, plan, start, swap
from tests.unit.redo_rig import LENGTH, check, corrected, past

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.intervals.model import Interval
    from gateway.intervals.redoing import Redo
    from gateway.layout import Layout
    from gateway.model import Frame
    from tests.unit.engine_rig import Record
    from tests.unit.redo_rig import Past

WRONG, RIGHT = layout(coefficient="0.1"), layout()
N = 14  # intervals


def limited(of: Layout, high: float) -> Layout:
    """Return a layout whose power is doubted above a limit."""
    channels = tuple(replace(c, high=high) if c.key == POWER else c for c in of.channels)
    return replace(of, channels=channels, profile=f"limit {high}")


def life(of: Layout, from_s: int, to_s: int, seed: int = 1) -> list[Record]:
    """Return frames with outages, refused channels and doubts, some taken late."""
    chance = Random(seed)
    found: list[Record] = []
    away_s = -1
    for t in range(from_s, to_s, 10):
        if chance.random() < 0.01:
            away_s = t + chance.randrange(20, 400)
        if t < away_s:
            continue
        absent = int(Flag.MISSING | Flag.DEVICE) if chance.random() < 0.05 else 0
        found.append(
            frame(
                of, t + chance.choice((0.2, 0.2, 8.0, 9.8)), t, 2 * t, t % 700, flags=(0, absent, 0, absent)
            )
        )
    return found


def newest(revisions: dict[int, list[Interval]]) -> dict[int, Interval]:
    return {n: found[-1] for n, found in revisions.items()}


def shared(newest: dict[int, Interval]) -> None:
    for n, one in newest.items():
        if n + 1 in newest:
            for channel in one.channels:
                after = newest[n + 1].channel(channel.key)
                assert after is not None
                assert channel.closing == after.opening, (n, channel.key)


async def checked(one: Past, rules: Iterable[tuple[Redo, Layout]]) -> dict[int, list[Interval]]:
    """Return all revisions, after the newest have been compared with what the frames say."""
    revisions = await one.revisions()
    read: list[Frame] = corrected(one.frames, rules)
    for found in revisions.values():
        check(found[-1], read, found[0])
        assert [each.rev for each in found] == list(range(len(found)))
        assert all(each.cause == "replay" for each in found[1:])
    shared(newest(revisions))
    return revisions


@pytest.mark.parametrize("seed", range(6))
async def test_a_correction_of_a_part_of_the_past(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    from_s, to_s = chance.randrange(0, 1800), chance.randrange(1900, 3600)
    if seed % 2:  # a boundary's reading is corrected, or is not, and the interval beyond it has no other
        from_s, to_s = from_s // LENGTH * LENGTH, to_s // LENGTH * LENGTH
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *life(WRONG, 0, N * LENGTH, seed)])
        before = await checked(one, [])
        wanted = one.rule(WRONG, RIGHT, from_s, to_s)
        made = await one.redo(wanted)
        after = await checked(one, [(wanted, WRONG)])
        assert {n: found[0] for n, found in after.items()} == newest(before), "the first revisions are kept"
        inside = range(from_s // LENGTH + 1, to_s // LENGTH)
        assert {(each.start_ns - T0) // (LENGTH * NS) for each in made} >= set(inside)
        ends = {n for n, found in after.items() if len(found) > 1}
        assert not [n for n in ends if n < from_s // LENGTH - 1 or n > to_s // LENGTH + 1], "others stay"
        assert await one.redo(wanted) == [], "nothing changes: no revision"


async def test_neighbours_share_the_corrected_reading(tmp_path: Path) -> None:
    """The reading at the end of the interval before is of the time of the rule; that at the end of the last is not."""
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *minutes(WRONG, 0, N * LENGTH)])
        wanted = one.rule(WRONG, RIGHT, 1500, 2400)
        made = await one.redo(wanted)
        assert [(each.start_ns - T0) // (LENGTH * NS) for each in made] == [4, 5, 6, 7]
        revisions = await checked(one, [(wanted, WRONG)])
        amounts = {n: revisions[n][-1].channel(IN) for n in (4, 5, 7)}
        assert [(c.delta, c.how) for c in amounts.values() if c] == [
            (None, "reset"), (Decimal("3.00"), "normal"), (None, "reset"),
        ]  # fmt: skip


async def test_portions_make_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [*start(), plan(0), *life(WRONG, 0, N * LENGTH)]
    found = []
    for name, length in (("whole", 6 * 3600), ("parts", 600)):
        monkeypatch.setattr(redoing, "PORTION_NS", length * NS)
        (tmp_path / name).mkdir()
        async with past(tmp_path / name) as one:
            await one.live(records)
            made = await one.redo(one.rule(WRONG, RIGHT, 700, 3333))
            found.append([replace(each, closed_ns=0) for each in made])
    assert found[0] == found[1]
    assert len(found[0]) >= 8


async def test_a_second_correction_takes_off_what_the_first_frames_said(tmp_path: Path) -> None:
    strict, mild = limited(RIGHT, 0.3), limited(RIGHT, 0.6)
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *life(WRONG, 0, N * LENGTH)])
        first = one.rule(WRONG, strict, 0, 3000)
        await one.redo(first)
        revisions = await checked(one, [(first, WRONG)])
        rejected = [found[-1].channel(POWER) for found in revisions.values()]
        assert sum(c.gaps.get("rejected", 0) for c in rejected if c) > 100, "the limit doubts nothing"
        second = one.rule(WRONG, mild, 600, 1500, rev=2)
        await one.redo(second)
        revisions = await checked(one, [(first, WRONG), (second, WRONG)])
        assert {len(found) for n, found in revisions.items() if 2 <= n < 5} >= {3}


async def test_a_gateway_restarted_with_the_corrected_profile(tmp_path: Path) -> None:
    """The interval of the restart has a reading by each rule: unknown, and known once the older one is replayed."""
    async with past(tmp_path) as one:
        again = [*start(1650), plan(1650)]
        await one.live(
            [*start(), plan(0), *minutes(WRONG, 0, 1600), *again, *minutes(RIGHT, 1700, N * LENGTH)]
        )
        channel = (await one.revisions())[5][-1].channel(IN)
        assert channel is not None
        assert (channel.delta, channel.how) == (None, "reset")
        wanted = one.rule(WRONG, RIGHT, 0, 1650)
        await one.redo(wanted)
        revisions = await checked(one, [(wanted, WRONG)])
        channel = revisions[5][-1].channel(IN)
        assert channel is not None
        assert (channel.delta, channel.how) == (Decimal("3.00"), "normal")
        assert revisions[5][-1].layouts == (RIGHT.digest,)
        assert [len(found) for n, found in revisions.items() if n > 6] == [1] * (len(revisions) - 7)


async def test_what_the_journal_holds_no_more_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *minutes(WRONG, 0, 1800)])
        await one.live(minutes(WRONG, 1800, N * LENGTH))
        spans = await one.journal.spans(0, one.journal.following)
        oldest = next(id_ for id_, first_ns, _ in spans if first_ns > T0 + 1700 * NS)
        monkeypatch.setattr(one.journal, "oldest", oldest)
        wanted = one.rule(WRONG, RIGHT, 0, N * LENGTH)
        made = await one.redo(wanted)
        assert [(each.start_ns - T0) // (LENGTH * NS) for each in made][:1] == [6]
        found = await one.revisions()
        assert all(len(found[n]) == 1 for n in range(6))


async def test_frames_not_derived_yet_are_not_counted(tmp_path: Path) -> None:
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *minutes(WRONG, 0, 1500)])
        until = one.journal.following
        one.journal.append(frame(WRONG, 1000.9, 1, 1))
        await one.journal.flush()
        wanted = one.rule(WRONG, RIGHT, 0, 1500)
        await one.redo(wanted, until)
        await checked(one, [(wanted, WRONG)])


async def test_what_is_late_after_a_replay_is_replayed_too(tmp_path: Path) -> None:
    frames = minutes(WRONG, 0, 1860)
    late = [frames.pop(150), frames.pop(129)]  # of 1500.2, a boundary, and of 1290.2
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *frames])
        wanted = one.rule(WRONG, RIGHT, 0, 1800)
        await one.redo(wanted)
        await one.live([*reversed(late), *minutes(WRONG, 1860, 1900)])
        revised = [found[-1] for found in (await one.revisions()).values() if found[-1].cause == "late"]
        assert [(each.start_ns - T0) // (LENGTH * NS) for each in revised] == [4, 5]
        again = one.redoer.again(revised)
        assert len(again) == 2
        for redo in again:
            await one.redo(redo)
        revisions = await one.revisions()
        assert [each.cause for each in revisions[4]] == ["", "replay", "late", "replay"]
        read = corrected(one.frames, [(wanted, WRONG)])
        for found in revisions.values():
            check(found[-1], read, next(each for each in reversed(found) if each.cause != "replay"))
        shared(newest(revisions))
        assert one.redoer.again([found[-1] for found in revisions.values()]) == []


async def test_times_that_came_twice_are_two_pasts(tmp_path: Path) -> None:
    """The clock is put back: the same wall times again, in the next epoch; a replay of them is of both."""
    async with past(tmp_path) as one:
        step = event(900, "clock_step", step_s=-1500.0, epoch=1)
        second = minutes(WRONG, 910, 3600, epoch=1, base=500)
        await one.live([*start(), plan(0), *minutes(WRONG, 0, 2400), step, *second])
        wanted = one.rule(WRONG, RIGHT, 950, 2000)
        made = await one.redo(wanted)
        assert {each.epoch for each in made} == {0, 1}
        newest_ = {
            (each.epoch, each.start_ns): each
            for found in (await one.revisions()).values()
            for each in sorted(found, key=lambda each: each.rev)
        }
        read = corrected(one.frames, [(wanted, WRONG)])
        first = {
            (each.epoch, each.start_ns): each
            for found in (await one.revisions()).values()
            for each in found
            if not each.rev
        }
        for (epoch, start_ns), each in newest_.items():
            if start_ns >= T0 + 900 * NS:
                check(each, [frame for frame in read if frame.epoch == epoch], first[epoch, start_ns])


async def test_a_rule_that_fits_no_frame_is_given_up(tmp_path: Path) -> None:
    short = replace(RIGHT, channels=RIGHT.channels[:2], slots=RIGHT.slots[:2])
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *minutes(WRONG, 0, 900)])
        assert await one.redo(one.rule(WRONG, short, 0, 900)) == []
        damaged = one.rule(WRONG, RIGHT, 0, 900, rev=2)._replace(layout={"period_s": "?"})
        assert await one.redo(damaged) == []


# -- swaps ------------------------------------------------------------------------------------------------


def side(reading: str, time_s: float, source: str) -> dict[str, object]:
    row = {"reading": reading, "unit": "kWh", "time_ns": T0 + round(time_s * NS), "from": source}
    return {IN: row, OUT: row}


@pytest.mark.parametrize(
    ("source", "time_s", "known"),
    [("journal", 1000, False), ("read", 1000, False), ("typed", 1000, True), ("read", 3900, True)],
)
async def test_sides_of_a_swap_read_by_the_wrong_rule_are_unknown(
    tmp_path: Path, source: str, time_s: float, known: bool
) -> None:
    async with past(tmp_path) as one:
        sides = {"closing": side("11.0", time_s, source), "opening": side("2.0", time_s, source)}
        at_ns = T0 + round(1000.1 * NS)
        declared = event(0.5, "meter_swap", "m-1", **sides, effective_ns=at_ns, serial="2", by="x", why="")
        await one.live([*start(), plan(0), declared, *minutes(WRONG, 0, N * LENGTH)])
        await one.redo(one.rule(WRONG, RIGHT, 0, 3000))
        found = (await one.revisions())[3]
        assert [each.swapped for each in found] == [True, True]
        channel = found[-1].channel(IN)
        assert channel is not None
        assert channel.opening is not None
        assert channel.opening.reading == Decimal("9.00")
        amount = Decimal("12.00") if known else None
        assert (channel.delta, channel.how) == (amount, "swap"), "11.0 - 9.00 and 12.00 - 2.0"


async def test_a_swap_recorded_after_the_replay_with_a_side_read_before_it(tmp_path: Path) -> None:
    async with past(tmp_path) as one:
        await one.live([*start(), plan(0), *minutes(WRONG, 0, N * LENGTH)])
        await one.redo(one.rule(WRONG, RIGHT, 0, N * LENGTH))
        sides = {"closing": side("110.0", 990.2, "journal"), "opening": side("2.0", 1000.2, "typed")}
        at_ns, days = T0 + 995 * NS, 3 * 86_400
        await one.live(
            [event(days, "meter_swap", "m-1", **sides, effective_ns=at_ns, serial="2", by="x", why="")]
        )
        (redo,) = one.engine.redo
        (made,) = await one.redo(redo)
        channel = made.channel(IN)
        assert channel is not None
        assert (made.rev, channel.delta, channel.how) == (2, None, "swap"), "110.0 was 11.00"


async def test_a_swap_recorded_three_days_late_and_taken_back(tmp_path: Path) -> None:
    async with past(tmp_path) as one:
        fallen = [
            frame(RIGHT, t + 0.2, t if t < 1000 else t - 900, t if t < 1000 else t - 900)
            for t in range(0, N * LENGTH, 10)
        ]
        await one.live([*start(), plan(0), *fallen])
        first = (await one.revisions())[3][-1]
        assert [c.how for c in first.channels if c.kind == "counter"] == ["reset", "reset"]
        days = 3 * 86_400
        declared = swap(days, 995, "9.95", "1.00")
        await one.live([declared])
        (redo,) = one.engine.redo
        one.engine.redo.clear()
        (made,) = await one.redo(redo)
        assert (made.rev, made.cause, made.swapped) == (1, "meter_swap", True)
        amounts = [(c.delta, c.how) for c in made.channels if c.kind == "counter"]
        assert amounts == [(Decimal("2.95"), "swap")] * 2, "9.95 - 9.00 and 3.00 - 1.00"
        assert await one.redo(redo) == []
        undone = {"serial": "2", "effective_ns": T0 + 995 * NS}
        await one.live([event(days + 60, "meter_swap", "m-1", undoes=undone, closing={}, opening={})])
        (redo,) = one.engine.redo
        (made,) = await one.redo(redo)
        assert (made.rev, made.swapped) == (2, False)
        assert made.channels == first.channels
