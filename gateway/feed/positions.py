"""How far one destination has taken the outbox: a live position and backlog ranges of `seq`. Pure.

The same rules as gateway/journal/reader.py: every message below the live position that lies in no backlog range is
delivered, refused or missed, and nothing else. Live is in order of seq; backlog ranges go oldest first, one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

REFUSALS_KEPT = 20
_VERSION = 1


class Span(NamedTuple):
    """Messages first <= seq < until."""

    first: int
    until: int


class Taken(NamedTuple):
    """What goes next: messages first <= seq < until."""

    first: int
    until: int
    late: bool


class Positions:
    """Positions of one destination. Used by one task.

    live: first seq that was never handed over live. backlog: ranges below it that are still to go, the one that was begun first.
    delivered, refused, missed, resent: messages; what `add` brings back is `resent` and counts a second time in the others,
    so delivered + refused + missed + pending is what there was since the destination is known, plus `resent`.
    refusals: the newest (seq, reason). cleared: number of the newest former place that has been left there.
    """

    def __init__(self, live: int) -> None:
        """live: where it begins."""
        self.live = live
        self.backlog: list[Span] = []
        self.delivered = self.refused = self.missed = self.resent = self.cleared = 0
        self.refusals: list[tuple[int, str]] = []
        self._begun = False  # the first backlog range: nothing may come before it
        self._taken: Taken | None = None

    @property
    def waiting(self) -> int:
        """Return how many messages are backlog."""
        return sum(until - first for first, until in self.backlog)

    def pending(self, following: int) -> int:
        """Return how many messages are still to go. following: seq of the message that will be signed next."""
        return max(following - self.live, 0) + self.waiting

    def shift(self, until: int) -> None:
        """Make what lies between the live position and `until` backlog, so that what is signed from then on goes first."""
        self._taken = None
        if until > self.live:
            self.backlog.append(Span(self.live, until))
            self._tidy()
            self.live = until

    def take(self, following: int, *, live_most: int, backlog_most: int) -> Taken | None:
        """Return what goes next: live first, else backlog; at most so many messages, 0: none of that; None if there is nothing."""
        self._taken = None
        if live_most > 0 and self.live < following:
            self._taken = Taken(self.live, min(following, self.live + live_most), late=False)
        elif backlog_most > 0 and self.backlog:
            first, until = self.backlog[0]
            self._taken = Taken(first, min(until, first + backlog_most), late=True)
            self._begun = True
        return self._taken

    def acknowledge(self, until: int, delivered: int, refused: int) -> int:
        """Advance over what was taken last, as far as `until`; return how many of these messages are missed: they are gone."""
        assert self._taken is not None, "nothing taken"
        taken, self._taken = self._taken, None
        assert taken.first < until <= taken.until, "acknowledged what was not taken"
        missed = until - taken.first - delivered - refused
        assert missed >= 0, "acknowledged more than there is"
        if taken.late:
            self.backlog[0] = Span(until, self.backlog[0].until)
            self._drop_empty()
        else:
            self.live = until
        self.missed += missed
        self.delivered += delivered
        self.refused += refused
        return missed

    def refuse(self, seq: int, reason: str) -> None:
        """Keep the reason of a refusal; `acknowledge` counts it."""
        self.refusals = [*self.refusals, (seq, reason)][-REFUSALS_KEPT:]

    def move_up(self, oldest: int) -> int:
        """Skip messages below `oldest`, which are gone; return how many undelivered ones that lost."""
        before = self.waiting
        self.backlog = [Span(max(first, oldest), max(until, oldest)) for first, until in self.backlog]
        lost = before - self.waiting + max(oldest - self.live, 0)
        self.live = max(self.live, oldest)
        self._drop_empty()
        self.missed += lost
        return lost

    def add(self, first: int, until: int) -> int:
        """Have messages first <= seq < until go again, as backlog; return how many. What is still to go anyway goes once."""
        fresh = list(_less(Span(first, min(until, self.live)), sorted(self.backlog)))
        self.backlog += fresh
        self._tidy()
        added = sum(end - begin for begin, end in fresh)
        self.resent += added
        return added

    def _tidy(self) -> None:
        """Put the ranges in order, behind one that was begun, and join those that touch."""
        begun = self.backlog[:1] if self._begun else []
        tidy = begun
        for span in sorted(self.backlog[len(begun) :]):
            if tidy and tidy[-1].until == span.first:
                tidy[-1] = Span(tidy[-1].first, span.until)
            else:
                tidy.append(span)
        self.backlog = tidy

    def _drop_empty(self) -> None:
        if self.backlog and self.backlog[0].first >= self.backlog[0].until:
            self._begun = False
        self.backlog = [span for span in self.backlog if span.first < span.until]

    def to_json(self, chain: str) -> dict[str, Any]:
        """Return them as plain JSON values; `from_json` gives equal ones back."""
        return {
            "v": _VERSION,
            "chain": chain,
            "live": self.live,
            "backlog": [list(span) for span in self.backlog],
            "begun": self._begun,
            "delivered": self.delivered,
            "refused": self.refused,
            "missed": self.missed,
            "resent": self.resent,
            "refusals": [list(row) for row in self.refusals],
            "cleared": self.cleared,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], chain: str, *, oldest: int, following: int) -> Self:
        """Return the positions a body stands for, as far as the outbox has these messages.

        Of another chain, or damaged: those of a destination that has nothing of this chain yet; twice is better than never.
        """
        found = cls(oldest)
        try:
            if body["v"] != _VERSION:
                return found
            found.delivered, found.refused = int(body["delivered"]), int(body["refused"])
            found.missed, found.resent = int(body["missed"]), int(body["resent"])
            found.refusals = [(int(seq), str(reason)) for seq, reason in body["refusals"]]
            found.cleared = int(body.get("cleared", 0))
            if body["chain"] != chain:
                return found
            live = min(int(body["live"]), following)
            spans = [Span(int(first), int(until)) for first, until in body["backlog"]]
            begun = bool(body["begun"])
        except (KeyError, TypeError, ValueError):
            return found
        found.live = live
        for span in spans:  # one by one: none is taken twice
            found.backlog += _less(Span(span.first, min(span.until, live)), sorted(found.backlog))
        found._begun = begun and bool(found.backlog)
        found._tidy()
        found.move_up(oldest)
        return found


def _less(span: Span, others: Iterable[Span]) -> Iterator[Span]:
    """Yield the parts of a range that lie in none of the others, which are in order and do not overlap."""
    first = span.first
    for other in others:
        if other.until <= first:
            continue
        if other.first >= span.until:
            break
        if first < other.first:
            yield Span(first, other.first)
        first = other.until
    if first < span.until:
        yield Span(first, span.until)
