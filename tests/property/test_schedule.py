"""The wall grid, whatever polls take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.model import NS
from gateway.schedule import Timetable, next_due

times = st.integers(0, 2**62)
periods = st.sampled_from([NS // 10, NS, 10 * NS, 60 * NS, 900 * NS])


@given(now_ns=times, period_ns=periods)
def test_the_next_due_time_is_the_first_grid_time_after_now(now_ns: int, period_ns: int) -> None:
    due_ns = next_due(now_ns, period_ns)
    assert due_ns % period_ns == 0
    assert now_ns < due_ns <= now_ns + period_ns


@given(
    now_ns=times,
    periods_ns=st.lists(periods, min_size=1, max_size=6),
    takes_ns=st.lists(st.integers(0, 100 * NS), min_size=1, max_size=60),
)
def test_due_times_lie_on_the_grid_never_twice_and_what_was_skipped_is_counted(
    now_ns: int, periods_ns: list[int], takes_ns: list[int]
) -> None:
    timetable = Timetable(periods_ns, now_ns)
    polled: list[list[int]] = [[] for _ in periods_ns]
    skips = [0] * len(periods_ns)
    for take_ns in takes_ns:
        due_ns, target = timetable.head()
        assert all(due_ns <= next_due(now_ns, period) or due_ns <= now_ns for period in periods_ns)
        now_ns = max(now_ns, due_ns) + take_ns
        polled[target].append(due_ns)
        skips[target] += timetable.done(now_ns)
    for period_ns, dues, skipped in zip(periods_ns, polled, skips, strict=True):
        assert all(due % period_ns == 0 for due in dues)
        assert dues == sorted(set(dues))
        if dues:
            passed = (dues[-1] - dues[0]) // period_ns + 1
            assert len(dues) <= passed <= len(dues) + skipped


@given(now_ns=times, periods_ns=st.lists(periods, min_size=1, max_size=6))
def test_targets_due_together_keep_their_order(now_ns: int, periods_ns: list[int]) -> None:
    same = [periods_ns[0]] * len(periods_ns)
    timetable = Timetable(same, now_ns)
    timetable.restart(now_ns)
    due_ns = timetable.head()[0]
    order = []
    for _ in same:
        order.append(timetable.head()[1])
        timetable.done(due_ns)
    assert order == list(range(len(same)))


@given(
    periods_ns=st.lists(st.sampled_from([NS, 2 * NS, 10 * NS, 60 * NS]), min_size=1, max_size=5),
    acts=st.lists(
        st.tuples(st.sampled_from(["done", "pause", "hold", "release", "resume"]), st.integers(0, 20 * NS)),
        max_size=80,
    ),
)
def test_holding_and_resuming_read_nothing_twice_and_forget_nobody(
    periods_ns: list[int], acts: list[tuple[str, int]]
) -> None:
    """Each target is read at most once for each of its due times, whatever is held, released or missed between."""
    now_ns = 1_700_000_000 * NS
    timetable = Timetable(periods_ns, now_ns)
    read: list[set[int]] = [set() for _ in periods_ns]
    for act, ns in acts:
        now_ns += ns
        when_ns, target = timetable.head()
        if act == "hold":
            timetable.hold(max(now_ns, when_ns) + ns)
        elif act == "release":
            timetable.release()
        elif act == "resume":
            timetable.resume(now_ns, now_ns)
        elif act == "pause":
            timetable.done(now_ns, ns + 1)
        else:
            now_ns = max(now_ns, when_ns)
            due_ns = timetable.due_ns(target)
            assert due_ns not in read[target]
            assert due_ns <= now_ns
            read[target].add(due_ns)
            assert timetable.done(now_ns) >= 0
    looked_at = {timetable.head()[1]}
    timetable.release()
    for _ in range(200):
        when_ns, target = timetable.head()
        looked_at.add(target)
        timetable.done(when_ns)
    assert timetable.held == set()
    assert looked_at == set(range(len(periods_ns)))
