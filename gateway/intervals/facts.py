"""What the journal tells of gateway, links, maintenance and losses, as times on the line (`timeline`). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.intervals.outages import EVER, Span, Turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model import Gap

ALL = "gateway"  # subject of an end of maintenance that is that of everything declared before


class Facts:
    """States that more than one meter shares.

    downs: when the gateway did not run, [from, until and with (None: still)]. kills: when it was last heard of before each. links: link -> `crash`, `down` or `up`.
    works: maintenance, [subject, begin, end (None: open), wall time it is declared until, whether the meter is away]. losses: [first, last wall
    time, subject or "", when it was told, by which shift].
    """

    def __init__(self) -> None:
        """Nothing is known."""
        self.downs: list[list[Any]] = []
        self.kills: list[int] = []
        self.links: dict[str, Turns] = {}
        self.works: list[list[Any]] = []
        self.losses: list[list[Any]] = []

    @property
    def is_down(self) -> bool:
        """Return whether the gateway was stopped and has not started since."""
        return bool(self.downs) and self.downs[-1][1] is None

    def stop(self, line: int) -> None:
        """Take note that the gateway ran no more from then on."""
        if not self.is_down:
            self.downs.append([line, None])

    def start(self, line: int) -> None:
        """Take note that it runs; a due time at the start itself is before the first poll."""
        if self.is_down:
            self.downs[-1][1] = line

    def down_spans(self) -> list[Span]:
        """Return when the gateway did not run."""
        return [(first, EVER if last is None else last + 1) for first, last in self.downs]

    def lose(self, line: int, shift: int, gap: Gap) -> None:
        """Take a gap record; one that goes on where the last of its epoch ended is put together with it."""
        if self.losses:
            first_ns, last_ns, subject, _, epoch_shift = self.losses[-1]
            is_same = (subject, epoch_shift) == (gap.subject, shift)
            if is_same and first_ns <= gap.first_ns <= last_ns + 1:
                self.losses[-1] = [first_ns, max(last_ns, gap.last_ns), subject, line, shift]
                return
        self.losses.append([gap.first_ns, gap.last_ns, gap.subject, line, shift])

    def begin_work(self, line: int, subject: str, until_ns: int, removed: bool) -> None:
        """Begin maintenance, in place of what was declared for that subject before. removed: the meter is away for verification."""
        self.end_work(line, subject)
        self.works.append([subject, line, None, until_ns, removed])

    def end_work(self, line: int, subject: str) -> None:
        """End maintenance of a subject, or all there is."""
        for work in self.works:
            if work[2] is None and subject in (work[0], ALL):
                work[2] = line

    def work_spans(self, subjects: tuple[str, ...], shift: int, *, removed: bool) -> list[Span]:
        """Return when one of the subjects was under maintenance, or was away: none lasts longer than declared, by the wall clock."""
        return [
            (begin, min(EVER if end is None else end, until_ns - shift))
            for subject, begin, end, until_ns, is_away in self.works
            if subject in subjects and is_away is removed
        ]

    def loss_spans(self, meter: str, shift: int, period_ns: int) -> list[Span]:
        """Return the due times whose readings may be among the lost: those lie up to a period later."""
        return [
            (first_ns - period_ns + 1 - shift, min(last_ns - shift, line) + 1)
            for first_ns, last_ns, subject, line, _ in self.losses
            if subject in ("", meter)
        ]

    def clamp(self, line: int) -> None:
        """Let nothing be later than `line`: the clock was stepped there."""
        for turns in self.links.values():
            turns.clamp(line)
        for down in self.downs:
            down[:] = [None if time is None else min(time, line) for time in down]
        self.kills = [min(kill, line) for kill in self.kills]
        for work in self.works:
            work[1] = min(work[1], line)
            work[2] = None if work[2] is None else min(work[2], line)
        for loss in self.losses:
            loss[3] = min(loss[3], line)

    def forget(self, before: int, before_ns: int, in_use: set[str]) -> None:
        """Forget what ended before a line, losses before a wall time, and links not in use."""
        self.downs = [down for down in self.downs if down[1] is None or down[1] >= before]
        for turns in self.links.values():
            turns.forget(before)
        self.links = {id_: turns for id_, turns in self.links.items() if id_ in in_use}
        self.kills = [kill for kill in self.kills if kill >= before]
        self.works = [work for work in self.works if work[2] is None or work[2] > before]
        self.losses = [loss for loss in self.losses if loss[1] >= before_ns]

    def snapshot(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "downs": [down.copy() for down in self.downs],
            "kills": self.kills.copy(),
            "links": {id_: turns.row() for id_, turns in self.links.items()},
            "works": [work.copy() for work in self.works],
            "losses": [loss.copy() for loss in self.losses],
        }

    @classmethod
    def restore(cls, body: Mapping[str, Any]) -> Facts:
        """Return the one a snapshot was taken of."""
        found = cls()
        found.downs = [list(down) for down in body["downs"]]
        found.kills = list(body["kills"])
        found.links = {id_: Turns(*row) for id_, row in body["links"].items()}
        found.works = [[*work, False][:5] for work in body["works"]]  # of an earlier version: nobody was away
        found.losses = [list(loss) for loss in body["losses"]]
        return found
