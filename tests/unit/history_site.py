"""A site whose history holds two days of two meters, summed up and told on a feed as the gateway does: for commands that read it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.config.site_file import load
from gateway.derive.agenda import Agenda
from gateway.derive.site_grid import grid_of
from gateway.derive.summaries import Words, read_sums
from gateway.feed import bodies
from gateway.feed.chain import Place, Sealer
from gateway.feed.keys import Key
from gateway.history.store import Store
from gateway.history.work import ManualReading, TotalRow, Work
from gateway.model import NS, Event
from tests.unit.history_rig import position
from tests.unit.sums_rig import KEY, LENGTH_NS, at, steady

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.derive.agenda import Due
    from gateway.feed.entries import Entry
    from gateway.intervals.model import Interval

BEGIN = at("2026-08-30T00:00")
END = at("2026-09-01T00:00")
DESK = "regulator"
SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
region = "350100"
enterprise = "91350100M000100Y43"
[[links]]
id = "hall-a"
kind = "modbus-tcp"
host = "127.0.0.1"
port = 5020
[[meters]]
id = "m-1"
link = "hall-a"
unit = 1
profile = "eastron-sdm630"
period = "10s"
energy_kind = "electricity"
[[meters]]
id = "m-2"
link = "hall-a"
unit = 2
profile = "eastron-sdm630"
period = "10s"
energy_kind = "electricity"
[[sinks]]
id = "regulator"
kind = "feed"
host = "127.0.0.1"
port = 1883
tls = { enabled = false }
"""


class HistorySite:
    """The site file and the history beside it, open as the gateway holds it. messages: seq -> what it tells."""

    def __init__(
        self, folder: Path, *, backlog: tuple[int, int] | None = None, live: int | None = None
    ) -> None:
        """backlog, live: of the destination `regulator`, which else has acknowledged everything."""
        self.file = folder / "site.toml"
        self.file.write_text(SITE, encoding="utf-8")
        self.site = load(self.file)
        self.grid = grid_of(self.site)
        state = self.site.gateway.state_dir
        state.mkdir(parents=True)
        self.path = state / "history.db"
        self.store = Store(self.path, BEGIN)
        self.store._db.execute("PRAGMA synchronous=OFF")  # hundreds of commits, and nobody pulls the plug
        key = Key.make("plant-1")
        self._sealer = Sealer(key, gateway="plant-1", region="350100", enterprise="91350100M000100Y43", place=Place("c-1"))  # fmt: skip
        self.agenda = Agenda(self.grid)
        self.entries: list[Entry] = []
        self.summaries: list[dict[str, Any]] = []
        self.intervals = self._intervals()
        self._fill()
        following = len(self.entries) + 1
        self.store.save_position(
            DESK, position(following if live is None else live, *([backlog] if backlog else []))
        )

    def _intervals(self) -> list[Interval]:
        """Return m-1 whole, m-2 silent for an hour at noon of the first day; both at the end of August."""
        noon = BEGIN + 12 * 3600 * NS
        lost = set(range(noon, noon + 3600 * NS, LENGTH_NS))
        return steady(BEGIN, END, base_ns=BEGIN) + steady(BEGIN, END, meter="m-2", lost=lost)

    def _fill(self) -> None:
        for start_ns in range(BEGIN, END, LENGTH_NS):
            together = [one for one in self.intervals if one.start_ns == start_ns]
            self.commit(together)
            while (due := self.agenda.due()) is not None:
                self.summarise(due)

    def summarise(self, due: Due) -> None:
        """Keep a summary, and tell it."""
        words = Words(self.grid, due, read_sums(self.store, self.grid, due, self.site.intervals))
        row = TotalRow(
            due.period, due.span.start_ns, words.rev, due.span.end_ns, due.span.end_ns, words.row()
        )
        self.agenda.done(due)
        said = list(words.messages())
        self.summaries += said
        self.write(Work(totals=[row]), due.span.end_ns, [("summary", one) for one in said])

    def commit(self, intervals: list[Interval]) -> None:
        """Keep intervals that have just closed, and tell them."""
        told = [("data", body) for body in bodies.closed(intervals, (), (), self.grid)]
        for one in intervals:
            self.agenda.closed(one.start_ns, one.end_ns, one.epoch, one.rev)
        self.write(Work(intervals=intervals), intervals[0].end_ns, told)

    def revise(self, number: int, closing: str) -> None:
        """Make the n-th interval of m-1 anew with another reading at its end."""
        before = self.intervals[number]
        channel = before.channels[0]
        assert channel.opening is not None
        assert channel.closing is not None
        end = replace(channel.closing, reading=Decimal(closing))
        made = replace(channel, closing=end, delta=end.reading - channel.opening.reading)
        self.commit([replace(before, channels=(made,), rev=before.rev + 1, cause="late")])

    def write(self, work: Work, time_ns: int, told: list[Any]) -> None:
        issued = self.grid.iso(time_ns)
        clock = {"synchronised": True}
        work.entries = [
            self._sealer.seal(kind, "", body, time_ns=time_ns, issued=issued, clock=clock, config="d")
            for kind, body in told
        ]
        work.chain = "c-1"
        work.states = {"agenda": self.agenda.body()}
        self.entries += work.entries
        self.store.commit(work, now_ns=END, size_max=1 << 40, keep_ns=10**18)

    def more(self) -> None:
        """Keep an event and a reading entered by hand."""
        event = Event(BEGIN + NS, "meter_swap", "m-1", {"by": "Li", "why": 'broken, "old"'})
        hand = ManualReading("m-2", KEY, END, Decimal("1234.500"), "kWh", "Li", "=1+1", END + NS)
        self.write(Work(events=[event], manual=[hand]), END, [])

    def close(self) -> None:
        self.store.close()
