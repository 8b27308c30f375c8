"""Positions against a model that remembers every message by itself."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.feed.positions import Positions, Taken

SEQ = st.integers(1, 60)


class PositionsModel(RuleBasedStateMachine):
    """due: what is still to go. sent: how it went, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = Positions(1)
        self.following = self.oldest = 1
        self.due: set[int] = set()
        self.live: list[int] = []
        self.late: list[int] = []
        self.waits: set[int] = set()  # backlog
        self.added = 0

    @rule(count=st.integers(1, 5))
    def sign(self, count: int) -> None:
        self.due |= set(range(self.following, self.following + count))
        self.following += count

    @rule()
    def outage(self) -> None:
        self.waits |= {seq for seq in self.due if seq >= self.positions.live}
        self.positions.shift(self.following)

    @rule(first=SEQ, until=SEQ)
    def resend(self, first: int, until: int) -> None:
        first, until = max(first, self.oldest), min(until, self.following)
        fresh = set(range(first, until)) - self.due
        assert self.positions.add(first, until) == len(fresh)
        self.due |= fresh
        self.waits |= fresh
        self.added += len(fresh)

    @rule(count=st.integers(1, 10))
    def drop(self, count: int) -> None:
        self.oldest = min(self.oldest + count, self.following)
        gone = {seq for seq in self.due if seq < self.oldest}
        assert self.positions.move_up(self.oldest) == len(gone)
        self.due -= gone
        self.waits -= gone

    @rule()
    def restart(self) -> None:
        body = self.positions.to_json("c")
        self.positions = Positions.from_json(body, "c", oldest=self.oldest, following=self.following)
        assert self.positions.to_json("c") == body

    @precondition(lambda self: self.due)
    @rule(
        live_most=st.integers(0, 4),
        backlog_most=st.integers(0, 4),
        share=st.floats(0, 1),
        refused=st.booleans(),
        between=st.none() | st.tuples(SEQ, SEQ),
        lost=st.booleans(),
    )
    def send(
        self,
        live_most: int,
        backlog_most: int,
        share: float,
        refused: bool,
        between: tuple[int, int] | None,
        lost: bool,
    ) -> None:
        """between: sent again while it is under way. lost: without an acknowledgement."""
        taken = self.positions.take(self.following, live_most=live_most, backlog_most=backlog_most)
        if taken is None:
            assert not live_most or self.waits == self.due
            assert not backlog_most or not self.waits
            return
        self.check(taken, live_most)
        if between is not None:
            self.resend(*between)
        if lost:
            return
        until = taken.first + max(1, round((taken.until - taken.first) * share))
        went = range(taken.first, until)
        self.positions.acknowledge(until, len(went) - refused, int(refused))
        self.due -= set(went)
        self.waits -= set(went)
        (self.late if taken.late else self.live).extend(went)

    def check(self, taken: Taken, live_most: int) -> None:
        wanted = set(range(taken.first, taken.until))
        assert wanted
        assert wanted <= self.due, "nothing goes that is not due"
        assert taken.late == (wanted <= self.waits)
        if taken.late:
            assert not live_most or self.waits == self.due, "live goes first"
        else:
            assert not wanted & self.waits

    @invariant()
    def all_is_accounted_for(self) -> None:
        found = self.positions
        assert found.pending(self.following) == len(self.due)
        assert found.waiting == len(self.waits)
        below = self.following - 1
        assert found.delivered + found.refused + found.missed + len(self.due) == below + self.added
        assert {seq for span in found.backlog for seq in range(*span)} == self.waits
        assert sum(until - first for first, until in found.backlog) == len(self.waits), "no message twice"
        rest = found.backlog[1:]
        assert rest == sorted(rest), "oldest first"

    @invariant()
    def live_is_in_order(self) -> None:
        assert self.live == sorted(set(self.live))


TestPositions = PositionsModel.TestCase
