"""Wall times of all epochs on one line that only rises, so that what happened has an order whatever the clock did. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.model import NS

STEP_NS = NS  # a start that lies further before the newest record begins a new epoch (docs/specs/journal.md, Opening)


class EpochSpan(NamedTuple):
    """The wall times an epoch had: start_ns <= time < end_ns; None: it goes on."""

    epoch: int
    start_ns: int
    end_ns: int | None


class Stretch:
    """One epoch: wall time = line + shift. begin, end: on the line, half-open; end None: it goes on.

    is_sure: somebody told its number; else it was taken for the one after the epoch before.
    """

    __slots__ = ("begin", "end", "epoch", "is_sure", "shift")

    def __init__(self, epoch: int, shift: int, begin: int, end: int | None, is_sure: bool) -> None:
        """One epoch."""
        self.epoch, self.shift, self.begin, self.end, self.is_sure = epoch, shift, begin, end, is_sure

    def row(self) -> list[Any]:
        """Return it as plain JSON values, in the constructor's order."""
        return [self.epoch, self.shift, self.begin, self.end, self.is_sure]


class Timeline:
    """The epochs there were.

    epoch: of the one in force, -1 while no frame or event has told its number; newest: line of the newest frame or event; told: of the newest event; started: of the last start.
    """

    def __init__(self) -> None:
        """No epoch yet."""
        self.stretches: list[Stretch] = []
        self.epoch, self.shift = -1, 0
        self.newest = self.told = 0
        self.started: int | None = None

    def _begin(self, epoch: int, shift: int, line: int, *, is_sure: bool) -> None:
        if self.stretches:
            self.stretches[-1].end = line
        self.stretches.append(Stretch(epoch, shift, line, None, is_sure))
        self.epoch, self.shift = epoch if is_sure else -1, shift

    @property
    def current(self) -> int:
        """Return the epoch in force as far as anybody knows, -1 if there is none."""
        return self.stretches[-1].epoch if self.stretches else -1

    def event(self, time_ns: int) -> int:
        """Return the line of an event; one told a little before its predecessor gets the predecessor's."""
        if not self.stretches:
            self._begin(0, 0, time_ns, is_sure=False)
            self.told = self.newest = time_ns
        self.told = max(time_ns - self.shift, self.told)
        self.newest = max(self.newest, self.told)
        return self.told

    def start(self, time_ns: int, epoch: int | None) -> int:
        """Return the line of a start. epoch: as it tells; None: a new one begins if the clock is behind the newest record."""
        if self.stretches:
            last, behind_ns = self.stretches[-1], self.newest + self.shift - time_ns
            is_behind = behind_ns > STEP_NS
            if is_behind if epoch is None else epoch > last.epoch and (last.is_sure or is_behind):
                shift = time_ns - self.newest if behind_ns > 0 else self.shift
                following = last.epoch + 1 if epoch is None else epoch
                self._begin(following, shift, max(time_ns - shift, self.newest), is_sure=epoch is not None)
        self.told = max(self.told, self.newest)
        self.started = self.event(time_ns)
        if epoch is not None and not self.stretches[-1].is_sure:
            self.stretches[-1].epoch, self.stretches[-1].is_sure, self.epoch = epoch, True, epoch
        return self.started

    def step(self, time_ns: int, step_ns: int, epoch: int | None) -> int:
        """Return the line at which a step begins a new epoch. It may lie before what was stamped between step and event."""
        if not self.stretches:
            self.event(time_ns - step_ns)
        line = max(time_ns - step_ns - self.shift, self.stretches[-1].begin)
        following = self.current + 1 if epoch is None else epoch
        if epoch is not None and not self.stretches[-1].is_sure:
            self.stretches[-1].epoch = epoch - 1
        self._begin(following, time_ns - line, line, is_sure=epoch is not None)
        self.told = self.newest = line
        return line

    def enter(self, epoch: int, time_ns: int) -> bool:
        """Take note of a frame of an epoch not heard of; return whether a new one begins (else the number was put right)."""
        if not self.stretches:
            self.event(time_ns)
        current = self.stretches[-1]
        if not current.is_sure:
            current.epoch, current.is_sure = epoch, True
            self.epoch = epoch
            return False
        begin = current.begin if self.started is None else self.started
        if begin <= current.begin:
            begin = max(time_ns - self.shift, self.told)
        self._begin(epoch, self.shift, begin, is_sure=True)
        return True

    def find(self, epoch: int) -> Stretch | None:
        """Return an epoch's stretch."""
        return next((stretch for stretch in self.stretches if stretch.epoch == epoch), None)

    def line_of(self, time_ns: int, ahead_ns: int = 0) -> int:
        """Return the line of a wall time of lately: in the newest epoch that had it, else the begin of the one in force.

        ahead_ns: how far it may lie ahead of the newest event.
        """
        for stretch in reversed(self.stretches):
            line = time_ns - stretch.shift
            if stretch.begin <= line <= (self.told + ahead_ns if stretch.end is None else stretch.end - 1):
                return line
        return self.stretches[-1].begin

    def spans(self) -> list[EpochSpan]:
        """Return the wall times of the epochs, in order."""
        return [
            EpochSpan(one.epoch, one.begin + one.shift, None if one.end is None else one.end + one.shift)
            for one in self.stretches
        ]

    def forget(self, before: int) -> list[int]:
        """Forget epochs that ended before; return their numbers."""
        gone = [one.epoch for one in self.stretches if one.end is not None and one.end <= before]
        self.stretches = [one for one in self.stretches if one.end is None or one.end > before]
        return gone

    def snapshot(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        rows = [one.row() for one in self.stretches]
        return {"stretches": rows, "newest": self.newest, "told": self.told, "started": self.started}

    @classmethod
    def restore(cls, body: dict[str, Any]) -> Timeline:
        """Return the one a snapshot was taken of."""
        found = cls()
        found.stretches = [Stretch(*row) for row in body["stretches"]]
        if found.stretches:
            last = found.stretches[-1]
            found.epoch, found.shift = last.epoch if last.is_sure else -1, last.shift
        found.newest, found.told, found.started = body["newest"], body["told"], body["started"]
        return found
