"""Expectations against an oracle that evaluates the table naively, over random histories."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.intervals.expected import Expectation
from gateway.model import NS, Event, Gap
from tests.property.expected_oracle import Entry, History, Read

BASE_NS = 1_700_000_000 * NS
METERS = {"m-1": "link-1", "m-2": "link-2"}
PERIODS = (5.0, 10.0)
KEYS = ("a", "b")
HALF_NS = NS // 2
LINK_KINDS = ("link_up", "link_down", "silent", "crash")
METER_KINDS = ("meter_on", "meter_off", "channels_off", "channels_on", "channel_absent", "channel_found")

PlanRow = tuple[
    list[str], bool, list[str] | None
]  # channels, whether it is enabled, those to report (None: nobody says)

waits = st.integers(0, 40)  # half seconds
meters = st.sampled_from(sorted(METERS))
keys = st.lists(st.sampled_from(KEYS), max_size=2, unique=True).map(sorted)
reports = st.none() | keys
plans = st.dictionaries(
    st.tuples(meters, st.sampled_from(PERIODS)), st.tuples(keys, st.booleans(), reports), max_size=4
)
reads = st.tuples(st.just("read"), waits, meters, st.sampled_from(PERIODS))
trains = st.tuples(st.just("train"), st.integers(1, 6), meters, st.sampled_from(PERIODS))
turns = st.tuples(
    st.sampled_from(METER_KINDS), waits, meters, st.sampled_from(PERIODS), keys,
    st.sampled_from(["timeout", "garbage", "exception", "refused"]),
)  # fmt: skip
acts = st.one_of(
    reads,
    reads,
    reads,
    trains,
    trains,
    turns,
    turns,
    st.tuples(st.sampled_from(LINK_KINDS), waits, st.sampled_from(["link-1", "link-2"])),
    st.tuples(st.just("stop"), waits),
    st.tuples(st.just("start"), waits, plans),
    st.tuples(st.just("start_behind"), st.integers(2, 200), plans),
    st.tuples(st.just("plan"), waits, meters, st.sampled_from(PERIODS), keys, st.booleans(), reports),
    st.tuples(st.just("step"), waits, st.integers(-300, 300).filter(bool)),
    st.tuples(st.just("overrun"), waits, meters, st.sampled_from(PERIODS), waits, waits),
    st.tuples(st.just("begin"), waits, st.sampled_from(["m-1", "link-1"]), st.integers(0, 300)),
    st.tuples(st.just("away"), waits, st.just("m-1"), st.integers(0, 300)),
    st.tuples(st.just("end"), waits, st.sampled_from(["m-1", "link-1", "gateway"])),
    st.tuples(st.just("gap"), waits, waits, waits),
    st.tuples(st.just("idle"), st.integers(0, 120)),
    st.tuples(st.just("ask"), st.integers(0, 200), st.integers(1, 400), meters),
    st.tuples(st.just("cut")),
    st.tuples(st.just("forget"), st.integers(0, 300)),
)  # fmt: skip


class World:
    """Plays a history: to the code as the journal has it, to the oracle as it was."""

    def __init__(self) -> None:
        """One start, every meter planned, heard of and in order."""
        self.expectation = Expectation()
        self.entries: list[Entry] = []
        self.at, self.offset, self.epoch = BASE_NS, 0, 0
        self.begins = {0: (BASE_NS, 0)}
        self.heard = BASE_NS
        self.newest: dict[tuple[str, int], int] = {}
        self.floor = BASE_NS  # true time before which it was told to forget
        self.is_running = False
        self.planned: dict[tuple[str, float], PlanRow] = {}
        self.start(0, dict.fromkeys(((m, p) for m in METERS for p in PERIODS), (list(KEYS), True, None)))
        for link in ("link-1", "link-2"):
            self.about_link("link_up", link)
        for meter in METERS:
            self.read(1, meter, 5.0)

    @property
    def wall_ns(self) -> int:
        return self.at + self.offset

    def event(self, kind: str, subject: str, /, **detail: object) -> None:
        event = Event(self.wall_ns, kind, subject, detail)
        self.expectation.note(event)
        self.entries.append(Entry(self.at, self.wall_ns, self.epoch, event))
        self.heard = self.at

    def start(self, halves: int, plans_: dict[tuple[str, float], PlanRow]) -> None:
        self.at += halves * HALF_NS
        self.event("start", "plant-1")
        self.is_running, self.planned = True, {}
        for (meter, period_s), row in plans_.items():
            self.plan(0, meter, period_s, *row)

    def start_behind(self, seconds: int, plans_: Any) -> None:
        self.at = self.heard  # how long it was away nobody can tell
        self.offset -= seconds * NS
        self.epoch += 1
        self.begins[self.epoch] = self.at, self.offset
        self.start(0, plans_)

    def plan(
        self,
        halves: int,
        meter: str,
        period_s: float,
        channels: list[str],
        enabled: bool,
        reported: list[str] | None,
    ) -> None:
        self.at += halves * HALF_NS
        self.planned[meter, period_s] = channels, enabled, reported
        detail: dict[str, object] = {"link": METERS[meter], "period_s": period_s, "channels": channels}
        if reported is not None:
            rows = {key: {"unit": "kWh", "kind": "counter"} for key in channels if key in reported}
            detail["reports"] = rows
        self.event("plan", meter, **detail, enabled=enabled)

    def read(self, halves: int, meter: str, period_s: float) -> None:
        self.at += halves * HALF_NS
        time_ns = max(self.wall_ns, self.newest.get((meter, self.epoch), 0) + 1_000_000)
        self.at = time_ns - self.offset
        self.newest[meter, self.epoch] = time_ns
        self.expectation.frame(meter, period_s, self.epoch, time_ns)
        self.entries.append(Entry(self.at, time_ns, self.epoch, Read(meter, period_s)))
        self.heard = self.at

    def train(self, count: int, meter: str, period_s: float) -> None:
        for _ in range(count):
            self.read(round(period_s * 2), meter, period_s)

    def step(self, seconds: int) -> None:
        self.offset += seconds * NS
        self.epoch += 1
        self.begins[self.epoch] = self.at, self.offset
        self.event("clock_step", "gateway", step_s=float(seconds), epoch=self.epoch)

    def gap(self, first: int, length: int) -> None:
        first_ns = self.wall_ns - (first + length) * HALF_NS
        gap = Gap(self.wall_ns, "journal_dropped", first_ns, first_ns + length * HALF_NS, 7)
        self.expectation.note(gap)
        self.entries.append(Entry(self.at, self.wall_ns, self.epoch, gap))

    def overrun(self, meter: str, period_s: float, first: int, length: int) -> None:
        floor_ns = self.begins[self.epoch][0] + self.offset
        first_ns = max(self.wall_ns - first * HALF_NS, floor_ns)
        last_ns = first_ns + length * HALF_NS  # a rest is told when it begins
        detail = {"period_s": period_s, "count": 1, "first_ns": first_ns, "last_ns": last_ns}
        self.event("overrun", meter, **detail)

    def about_meter(self, kind: str, meter: str, period_s: float, channels: list[str], reason: str) -> None:
        detail: dict[str, object] = {"reason": reason}
        if kind.startswith("channels"):
            detail["period_s"] = period_s
        if kind.startswith("channel"):
            detail["channels"] = channels
        self.event(kind, meter, **detail)

    def about_link(self, kind: str, link: str) -> None:
        if kind == "crash":
            self.event("crash", f"link {link}", error="bug")
        elif kind == "silent":
            self.event("link_down", link, reason="silent")
        else:
            self.event(kind, link, reason="connection")

    def cut(self) -> None:
        body = json.loads(json.dumps(self.expectation.snapshot()))
        self.expectation = Expectation.restore(body)
        assert json.loads(json.dumps(self.expectation.snapshot())) == body

    def forget(self, seconds: int) -> None:
        self.floor = max(self.floor, self.at - seconds * NS)
        self.expectation.forget(self.floor + self.offset)

    def ask(self, back: int, length: int, only: str = "") -> None:
        history = History(self.entries, self.begins, self.at)
        start = max(self.at - back * NS, self.floor)
        for epoch, (_, offset) in self.begins.items():
            begin_ns = start + offset
            for meter in [only] if only else METERS:
                self.compare(history, meter, epoch, begin_ns, begin_ns + length * NS)

    def compare(self, history: History, meter: str, epoch: int, start_ns: int, end_ns: int) -> None:
        accounts = self.expectation.account(meter, epoch, start_ns, end_ns, self.wall_ns)
        for period_s in PERIODS:
            due, there, missing, channels = history.account(meter, period_s, epoch, start_ns, end_ns)
            account = accounts.pop(period_s, None)
            if account is None:
                assert not due, (meter, period_s, epoch, due)
                continue
            where = meter, period_s, epoch, [time_ns - BASE_NS for time_ns in account.due]
            assert (list(account.due), account.there, account.missing) == (due, there, missing), where
            assert sum(account.missing.values()) == len(due) - there
            for key, told in channels.items():
                own, gaps = account.channels.get(key, (account.due, account.missing))
                assert (list(own), gaps) == told, (key, *where)
            assert not due or account.named == channels.keys(), where
        assert not accounts
        told_of = self.expectation.reports(meter, epoch, start_ns, end_ns)
        assert told_of.keys() == history.reports(meter, epoch, start_ns, end_ns)

    def do(self, act: tuple[Any, ...]) -> None:
        kind, *rest = act
        if kind in {"ask", "cut", "forget"}:
            getattr(self, kind)(*rest)
        elif kind == "idle":
            self.at += rest[0] * NS
        elif kind == "start" or (kind == "start_behind" and not isinstance(self.entries[-1].what, Gap)):
            getattr(self, kind)(*rest)
        elif self.is_running and kind != "start_behind":
            self.live(kind, rest)

    def live(self, kind: str, rest: list[Any]) -> None:
        if kind in {"read", "train"}:
            getattr(self, kind)(*rest)
            return
        if kind == "plan":
            if (rest[1], rest[2]) in self.planned:  # a layout comes into force
                self.plan(*rest)
            return
        self.at += rest[0] * HALF_NS
        if kind in LINK_KINDS:
            self.about_link(kind, rest[1])
        elif kind in METER_KINDS:
            self.about_meter(kind, *rest[1:])
        elif kind == "stop":
            self.event("stop", "plant-1")
            self.is_running = False
        elif kind == "begin":
            self.event("maintenance_begin", rest[1], until_ns=self.wall_ns + rest[2] * NS)
        elif kind == "away":
            until_ns = self.wall_ns + rest[2] * NS
            self.event("maintenance_begin", rest[1], until_ns=until_ns, removed=True)
        elif kind == "end":
            self.event("maintenance_end", rest[1])
        else:
            getattr(self, kind)(*rest[1:])


@settings(max_examples=200, deadline=None)
@given(st.lists(acts, min_size=8, max_size=40))
def test_every_due_time_fares_as_the_table_says(history: list[tuple[Any, ...]]) -> None:
    world = World()
    for act in history:
        world.do(act)
    if len(history) % 2:
        world.cut()
    world.ask(10_000, 20_000)
