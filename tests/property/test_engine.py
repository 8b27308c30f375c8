"""The engine against the naive way, over random histories and whatever the cuts."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.intervals.engine import Engine
from gateway.model import NS
from tests.property.interval_histories import History
from tests.property.interval_model import Idle, Naive, Record
from tests.unit.engine_rig import GRID, IN, OUT

if TYPE_CHECKING:
    from gateway.intervals.model import Interval

GRACE = 20 * NS
seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(5, 260)


def made_by(steps: list[Record | Idle], cuts: random.Random | None = None) -> tuple[list[Interval], Engine]:
    """Return what the engine makes of a history, asked at the end, or taken and restored at random moments."""
    engine, made = Engine(GRID, GRACE), []
    for step in steps:
        if isinstance(step, Idle):
            made += engine.close(step.now_ns, idle=True)
        else:
            engine.take(step)
        if cuts is not None and cuts.random() < 0.3:
            made += engine.close(0, idle=False, limit=cuts.choice((None, 1)))
        if cuts is not None and cuts.random() < 0.2:
            engine = Engine.restore(GRID, GRACE, orjson.loads(orjson.dumps(engine.snapshot())))
    return made + engine.close(0, idle=False), engine


@settings(max_examples=100, deadline=None)
@given(seed=seeds, length=lengths)
def test_it_is_what_the_rules_say_of_all_frames(seed: int, length: int) -> None:
    steps = History(seed, length).steps
    made, _ = made_by(steps)
    expected = Naive(GRID, GRACE).run(steps)
    for one, other in zip(made, expected, strict=False):
        assert one == other
    assert len(made) == len(expected)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, length=lengths, cuts=seeds)
def test_cuts_and_restarts_change_nothing(seed: int, length: int, cuts: int) -> None:
    steps = History(seed, length).steps
    whole, engine = made_by(steps)
    parts, other = made_by(steps, random.Random(cuts))
    assert parts == whole
    assert other.redo == engine.redo
    assert other.too_late == engine.too_late


@settings(max_examples=60, deadline=None)
@given(seed=seeds, length=lengths)
def test_every_due_time_has_one_fate_and_nothing_unknown_is_a_number(seed: int, length: int) -> None:
    made, _ = made_by(History(seed, length).steps)
    newest: dict[tuple[str, int, int], int] = {}
    for one in made:
        key = one.meter, one.epoch, one.start_ns
        assert one.rev == newest.get(key, -1) + 1
        assert (one.cause == "") == (one.rev == 0)
        newest[key] = one.rev
        for channel in one.channels:
            assert 0 <= channel.good <= channel.received <= channel.expected
            assert sum(channel.gaps.values()) == channel.expected - channel.good
            assert min(channel.gaps.values(), default=1) > 0
            if channel.kind == "counter":
                assert (channel.delta is None) >= (channel.opening is None or channel.closing is None)
                assert (channel.delta is None) == (
                    channel.how in {"reset", "missing"} or channel.delta is None
                )
            elif channel.good == 0:
                assert channel.mean is None


@settings(max_examples=60, deadline=None)
@given(seed=seeds, length=lengths)
def test_amounts_between_known_boundaries_add_up_to_the_readings(seed: int, length: int) -> None:
    made, _ = made_by(History(seed, length, is_quiet=True).steps)
    newest = {(one.meter, one.start_ns): one for one in made}
    for meter in ("m-1", "m-2", "m-3"):
        ours = [newest[key] for key in sorted(newest) if key[0] == meter]
        assert all(a.end_ns == b.start_ns for a, b in pairwise(ours)), "an interval has no gap to the next"
        for name in (IN, OUT):
            total, opening = Decimal(0), None
            channels = [channel for one in ours if (channel := one.channel(name)) is not None]
            for a, b in pairwise(channels):
                assert a.closing == b.opening
            for channel in channels:
                if channel.opening is None or channel.closing is None:
                    total, opening = Decimal(0), None
                    continue
                opening = opening or channel.opening
                assert channel.delta is not None
                total += channel.delta
                assert total == channel.closing.reading - opening.reading
