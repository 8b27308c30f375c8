"""Intervals out of the journal's records, whatever the pauses in between; rules: docs/specs/intervals.md. Pure.

An interval is closed by the record that takes the time to its end + grace, before the next one is looked at; `close` hands out
what is closed. So cuts, and restarts from a snapshot, change nothing of what comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.intervals.amounts import lies_between, split_of
from gateway.intervals.engine_state import restore_into, snapshot_of
from gateway.intervals.expected import Expectation
from gateway.intervals.intake import NEVER, Intake
from gateway.intervals.making import Maker, facts_of, with_late
from gateway.intervals.model import Interval
from gateway.intervals.pieces import pieces, through
from gateway.intervals.redoing import Redo, replay_of
from gateway.model import NS, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.intervals.amounts import Split
    from gateway.intervals.collecting import Cell, Stretch
    from gateway.intervals.expected import Account
    from gateway.intervals.grid import Grid
    from gateway.intervals.model import Cause
    from gateway.intervals.pieces import Steps
    from gateway.model import Event, Gap

KEPT = 4  # closed intervals that can be made anew out of what is in memory


class Engine(Intake):
    """The intervals of all meters; what it remembers: `Intake`."""

    def take(self, record: Frame | Event | Gap) -> None:
        """Take the next record of the journal."""
        if self.progress_ns >= self._wake_ns:
            through(self._catch_up(NEVER))
        if record.__class__ is Frame:
            self._frame(record)
        else:
            self._note(record)  # type: ignore[arg-type]

    def close(self, now_ns: int, *, idle: bool, limit: int | None = None) -> list[Interval]:
        """Return what has been closed or made anew since it was asked last, oldest first.

        idle: there is no record left to take, so wall time is the progress. limit: close so many times a length at most
        (after a long stop there are many): ask again while it is `behind`, or leave the rest to the next `take`.
        """
        through(self.closing(now_ns, idle=idle, limit=limit))
        made, self.made = self.made, []
        return made

    def closing(self, now_ns: int, *, idle: bool, limit: int | None = None) -> Steps[None]:
        """Do what `close` does in pieces, so that it finds all made. Until it is through nothing else may be asked."""
        left = yield from self._catch_up(NEVER if limit is None else limit)
        if idle and now_ns > self.progress_ns and self.open_ns is not None and not self.behind:
            self.progress_ns = now_ns
            yield from self._catch_up(left)

    def revised(self, meter: str, epoch: int, start_ns: int, rev: int) -> None:
        """Take note that an interval was made anew elsewhere, so that the next revision is the one after `rev`."""
        stretch = self.kept.get((epoch, start_ns))
        if stretch is not None and stretch.made is not None and meter in stretch.made:
            facts, before = stretch.made[meter]
            stretch.made[meter] = facts, max(before, rev)

    def begin_at(self, time_ns: int) -> None:
        """Begin with the first interval that starts then or later; for a new engine whose expectation goes on."""
        spans = self.expectation.epochs()
        self.open_ns = next(self.grid.starts(time_ns, time_ns + 2 * self.grid.length_ns))
        if spans:
            self.epoch = spans[-1].epoch
            self.begins[self.epoch] = self.open_ns
        self.progress_ns = max(self.progress_ns, time_ns)
        self._set_alarm()

    # events

    def _note(self, record: Event | Gap) -> None:
        self.expectation.note(record)
        self._follow_epoch(record.time_ns)
        if self.open_ns is None:
            return
        self.progress_ns = max(self.progress_ns, record.time_ns)
        kind = getattr(record, "kind", "")
        if kind in {"meter_swap", "ratio_change"}:
            self._declare(record)  # type: ignore[arg-type]
        elif kind == "replay":
            redo = replay_of(record)  # type: ignore[arg-type]
            if redo is not None:
                self.waiting.append((self.epoch, min(redo.to_ns, record.time_ns), redo))
                self._release()

    def _follow_epoch(self, time_ns: int) -> None:
        """Go on in the epoch in force; what was open in the one before is closed as it is."""
        spans = self.expectation.epochs()
        if not spans or spans[-1].epoch == self.epoch:
            return
        ended = next((span for span in spans if span.epoch == self.epoch), None)
        if self.open_ns is None:
            self.open_ns = self.lengths.span(spans[-1].start_ns).start_ns
        elif ended is not None:
            end_ns = time_ns if ended.end_ns is None else ended.end_ns
            while self.open_ns < end_ns:
                through(self._seal(self.open_ns, time_ns))
            through(self._revise(time_ns))
            self.open.clear()
            self.lengths.turns = []  # the epoch may repeat times for as long as it likes
            self.open_ns = self.grid.start_of(spans[-1].start_ns)
        else:  # the epoch's number is only known now
            self._renumber(spans[-1].epoch)
            self.begins.pop(self.epoch, None)
        if ended is not None or self.epoch < 0:
            self.progress_ns = max(time_ns, spans[-1].start_ns)
        self.epoch = spans[-1].epoch
        self.begins[self.epoch] = spans[-1].start_ns
        self.begins = dict(list(self.begins.items())[-KEPT - 1 :])
        self._release()
        self._set_alarm()

    def _renumber(self, epoch: int) -> None:
        through(self._revise(self.progress_ns))
        self.kept.clear()
        self.open = {(epoch, start_ns): stretch for (_, start_ns), stretch in self.open.items()}
        for stretch in self.open.values():
            stretch.epoch = epoch
        self.edges = {(epoch, at_ns): edge for (_, at_ns), edge in self.edges.items()}

    def _declare(self, event: Event) -> None:
        """Take a swap or a ratio's change, or that a swap was none; make anew what it touches."""
        undone = event.detail.get("undoes")
        at_ns = (undone if isinstance(undone, dict) else event.detail).get("effective_ns")
        if not isinstance(at_ns, int):
            return
        epoch = max((e for e, begin_ns in self.begins.items() if begin_ns <= at_ns), default=min(self.begins))
        meter = event.subject
        splits = self.splits.setdefault(meter, [])
        split = split_of(event, epoch, at_ns)
        if undone is not None:
            splits[:] = [s for s in splits if s.kind != event.kind or s.effective_ns != at_ns]
        else:
            splits.append(split)
        for key in self.kept:
            if key[0] == epoch and self._touches(split, meter, key):
                self._revise_later(key, meter, split.kind)
        first_ns = self.lengths.span(at_ns - self.after_ns).start_ns
        last_ns = self.lengths.span(at_ns).start_ns
        gone_ns = [s for s in dict.fromkeys((first_ns, last_ns)) if not self._is_there((epoch, s))]
        if gone_ns:
            end_ns = self.lengths.span(gone_ns[-1]).end_ns
            self.redo.append(Redo(split.kind, meter, gone_ns[0], end_ns, detail=dict(event.detail)))

    def _touches(self, split: Split, meter: str, key: tuple[int, int]) -> bool:
        """Return whether an interval is another one with a split than without."""
        stretch = self.kept[key]
        if stretch.start_ns <= split.effective_ns < stretch.end_ns:
            return True
        opening, closing = self._neighbours(meter, stretch)
        return any(
            lies_between(split, opening[name].boundary(), closing[name].boundary())
            for name in opening.keys() & closing.keys()
        )

    def _release(self) -> None:
        """Let go replays of times that are closed by now."""
        due = [
            row
            for row in self.waiting
            if row[0] != self.epoch or (self.open_ns is not None and self.open_ns >= row[1])
        ]
        if due:
            self.redo += [redo for _, _, redo in due]
            self.waiting = [row for row in self.waiting if row not in due]

    # closing

    def _catch_up(self, limit: int) -> Steps[int]:
        """Close and make anew what is due, `limit` times a length at most; return what is left of the limit."""
        if not self.behind:
            return limit
        if self.progress_ns >= self.revise_ns:
            yield from self._revise(self.progress_ns)
        until_ns = self.progress_ns - self.grace_ns
        while limit > 0 and self.open_ns is not None and self.lengths.span(self.open_ns).end_ns <= until_ns:
            if not self._skip(self.open_ns):
                yield from self._seal(self.open_ns, self.progress_ns)
                limit -= 1
        self._release()
        self._set_alarm()
        return limit

    def _skip(self, open_ns: int) -> bool:
        """Begin again with the first interval that is worth it; return whether any was not."""
        oldest_ns = self.progress_ns - self.keep_ns
        if open_ns >= oldest_ns:
            return False
        begun = (start_ns for epoch, start_ns in self.open if epoch == self.epoch and start_ns >= open_ns)
        self.open_ns = min(self.lengths.first(oldest_ns), *begun, NEVER)
        if self.open_ns == open_ns:
            return False
        self.skipped.append((self.epoch, open_ns, self.open_ns))
        return True

    def _seal(self, start_ns: int, closed_ns: int) -> Steps[None]:
        """Close an interval of the epoch in force for all meters."""
        key = self.epoch, start_ns
        stretch = self._stretch(key)
        stretch.shut()
        for meters in pieces(sorted({*self.expectation.meters(), *stretch.cells})):
            for meter in meters:
                self._seal_meter(meter, stretch, closed_ns)
            yield
        del self.open[key]
        self.kept[key] = stretch
        self.open_ns = stretch.end_ns
        yield from self._forget(closed_ns)

    def _seal_meter(self, meter: str, stretch: Stretch, closed_ns: int) -> None:
        accounts = self._accounts(meter, stretch, closed_ns)
        cells: Mapping[float, Cell] = stretch.cells.get(meter, {})
        if not (accounts or cells or self._is_seldom(meter, stretch)):
            return  # it has left, or is not there yet
        reports = self._reports(meter, stretch)
        facts = facts_of(reports, self.learned.get(meter, {}), cells, accounts)
        stretch.set_made(meter, self.facts.same(facts), 0)
        self.made.append(self._interval(meter, stretch, accounts, closed_ns, ""))

    def _is_seldom(self, meter: str, stretch: Stretch) -> bool:
        """Return whether a meter of which nothing was due is in its place: all its periods are longer than an interval."""
        periods_s = [period_s for _, _, period_s, _ in self._reports(meter, stretch).values()]
        periods_s += self.learned.get(meter, {})
        longest_ns = round(max(periods_s, default=0) * NS)
        if longest_ns <= self.grid.length_ns:
            return False
        until_ns = stretch.end_ns + longest_ns
        return bool(self.expectation.account(meter, stretch.epoch, stretch.start_ns, until_ns, until_ns))

    def _reports(self, meter: str, stretch: Stretch) -> Mapping[str, tuple[str, str, float, str]]:
        return self.expectation.reports(meter, stretch.epoch, stretch.start_ns, stretch.end_ns)

    def _accounts(self, meter: str, stretch: Stretch, now_ns: int) -> dict[float, Account]:
        return self.expectation.account(meter, stretch.epoch, stretch.start_ns, stretch.end_ns, now_ns)

    def _interval(
        self, meter: str, stretch: Stretch, accounts: Mapping[float, Account], closed_ns: int, cause: Cause
    ) -> Interval:
        assert stretch.made is not None
        facts, rev = stretch.made[meter]
        cells: Mapping[float, Cell] = stretch.cells.get(meter, {})
        splits = [split for split in self.splits.get(meter, ()) if split.epoch == stretch.epoch]
        near = self._neighbours(meter, stretch)
        maker = Maker(accounts, cells, near, splits)
        swaps = (split.effective_ns for split in splits if split.kind == "meter_swap")
        digests = dict.fromkeys(digest for _, cell in sorted(cells.items()) for digest in cell.layouts)
        return Interval(
            meter=meter,
            epoch=stretch.epoch,
            start_ns=stretch.start_ns,
            end_ns=stretch.end_ns,
            channels=tuple(map(maker.channel, facts.channels)),
            closed_ns=closed_ns,
            rev=rev,
            cause=cause,
            swapped=any(stretch.start_ns <= at_ns < stretch.end_ns for at_ns in swaps),
            energy_kind=facts.energy_kind,
            layouts=tuple(digests),
            verification=self.mark(meter, stretch.start_ns),
        )

    def _revise(self, closed_ns: int) -> Steps[None]:
        dirty, self.dirty, self.revise_ns = self.dirty, {}, NEVER
        for entries in pieces(sorted(dirty.items(), key=lambda row: (row[0][1], row[0][0], row[0][2]))):
            for (epoch, start_ns, meter), cause in entries:
                self._revise_meter(meter, self.kept[epoch, start_ns], closed_ns, cause)
            yield

    def _revise_meter(self, meter: str, stretch: Stretch, closed_ns: int, cause: Cause) -> None:
        assert stretch.made is not None
        accounts = self._accounts(meter, stretch, closed_ns)
        cells: Mapping[float, Cell] = stretch.cells.get(meter, {})
        if meter in stretch.made:
            facts, rev = stretch.made[meter]
            stretch.set_made(meter, self.facts.same(with_late(facts, cells)), rev + 1)
        else:
            reports = self._reports(meter, stretch)
            if not (accounts or cells or reports):
                return  # it was not there: a swap told of that time makes no interval of it
            facts = facts_of(reports, self.learned.get(meter, {}), cells, accounts)
            stretch.set_made(meter, self.facts.same(facts), 0)
        rev = stretch.made[meter][1]
        self.made.append(self._interval(meter, stretch, accounts, closed_ns, cause if rev else ""))

    def _forget(self, closed_ns: int) -> Steps[None]:
        """Forget what is older than the closed intervals that are kept, and lanes nothing came in."""
        while len(self.kept) > KEPT:
            oldest = next(iter(self.kept))
            if any(entry[:2] == oldest for entry in self.dirty):
                yield from self._revise(closed_ns)
            del self.kept[oldest]
        first = min(self.kept)
        ends = {(stretch.epoch, stretch.end_ns) for stretch in self.kept.values()}
        self.edges = {key: edge for key, edge in self.edges.items() if key in ends or self._is_there(key)}
        self.lengths.passed(first[1])
        since = first[0], first[1] - self.grid.tolerance_ns
        self.splits = {
            meter: kept
            for meter, splits in self.splits.items()
            if (kept := [split for split in splits if (split.epoch, split.effective_ns) >= since])
        }
        newest_ns = max(start_ns for _, start_ns in self.kept)
        self._lanes = {layout: lane for layout, lane in self._lanes.items() if lane.cell.end_ns > newest_ns}
        if first[0] == self.expectation.epochs()[-1].epoch:
            self.expectation.forget(first[1])

    # what goes on after a restart

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain JSON values, the expectation too."""
        return through(snapshot_of(self))

    def storing(self) -> Steps[dict[str, Any]]:
        """Make the `snapshot` in pieces. Until it is through nothing else may be asked."""
        return snapshot_of(self)

    @classmethod
    def restore(cls, grid: Grid, grace_ns: int, body: Mapping[str, Any]) -> Engine:
        """Return the engine a snapshot was taken of. Raises ValueError on one of another version.

        Of another grid: its intervals go on until one begins by the new one and nothing was collected for it yet.
        """
        engine = cls(grid, grace_ns, Expectation.restore(body["expectation"]))
        restore_into(engine, body)
        engine._set_alarm()
        return engine
