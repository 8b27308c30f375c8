"""The table of docs/specs/gap-reasons.md, evaluated for each due time over the whole history: slow, plain, and its own.

It knows the true time of everything (`at`, which no clock step touches), so epochs are no puzzle to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import NamedTuple, TypeGuard

from gateway.model import NS, Event, Gap

OFF = {"timeout": "meter_off", "garbage": "meter_off", "exception": "rejected", "refused": "rejected"}


class Read(NamedTuple):
    """A frame."""

    meter: str
    period_s: float


class Entry(NamedTuple):
    """at: true time. wall_ns, epoch: by the clock of that moment."""

    at: int
    wall_ns: int
    epoch: int
    what: Event | Gap | Read


class History:
    """What was journaled, in order. begins: epoch -> (true time it began, wall time less true time)."""

    def __init__(self, entries: list[Entry], begins: dict[int, tuple[int, int]], at: int) -> None:
        """at: true time now."""
        self.entries, self.begins, self.at = with_kills(entries), begins, at
        self.absent = {key for e in entries if is_of(e.what, "channel_absent", "") for key in names(e.what)}
        self.reasons: dict[tuple[object, ...], str] = {}

    def true_time(self, due_ns: int, epoch: int) -> int | None:
        """Return when a due time was, None if the epoch never had it (yet)."""
        begin, offset = self.begins[epoch]
        at = due_ns - offset
        end = self.begins[epoch + 1][0] if epoch + 1 in self.begins else self.at + 1
        return at if begin <= at < end else None

    def until(self, at: int) -> list[Entry]:
        """Return what was journaled by then: entries are in order of true time."""
        return self.entries[: bisect_right(self.entries, at, key=lambda entry: entry.at)]

    def plan(self, meter: str, period_s: float, at: int) -> Event | None:
        found = None
        for entry in self.until(at):
            event = entry.what
            if isinstance(event, Event) and event.kind == "start":
                found = None
            elif is_of(event, "plan", meter) and event.detail["period_s"] == period_s:
                found = event
        return found

    def is_there(self, meter: str, period_s: float, due_ns: int, epoch: int) -> bool:
        period_ns = round(period_s * NS)
        return any(
            entry.what == Read(meter, period_s)
            and entry.epoch == epoch
            and due_ns <= entry.wall_ns < due_ns + period_ns
            for entry in self.entries
        )

    def account(
        self, meter: str, period_s: float, epoch: int, start_ns: int, end_ns: int
    ) -> tuple[list[int], int, Counter[str], dict[str, tuple[list[int], Counter[str]]]]:
        """Return due times, how many have a frame, reasons, and channel -> (due, reasons)."""
        period_ns = round(period_s * NS)
        dues = []
        for due_ns in range(-(-start_ns // period_ns) * period_ns, end_ns, period_ns):
            at = self.true_time(due_ns, epoch)
            plan = None if at is None else self.plan(meter, period_s, at)
            if at is not None and plan is not None:
                dues.append((due_ns, at, plan, self.is_there(meter, period_s, due_ns, epoch)))
        missing = Counter(
            self.reason(meter, period_s, due[0], due[1], due[2], "") for due in dues if not due[3]
        )
        channels = {}
        for key in {key for due in dues for key in reported(due[2])}:
            own, gaps = [], Counter[str]()
            for due_ns, at, plan, there in dues:
                if key not in reported(plan):
                    continue
                own.append(due_ns)
                if not there:
                    told = key if key in self.absent else ""  # nobody told of it: it fares like the others
                    gaps[self.reason(meter, period_s, due_ns, at, plan, told)] += 1
                elif not self.is_carried(meter, period_s, due_ns, epoch, key):
                    gaps["config_off"] += 1
            channels[key] = own, gaps
        return [due[0] for due in dues], sum(due[3] for due in dues), missing, channels

    def is_carried(self, meter: str, period_s: float, due_ns: int, epoch: int, key: str) -> bool:
        """Return whether the first frame of a due time was taken under a plan that reports a channel."""
        plan, period_ns = None, round(period_s * NS)
        for entry in self.entries:
            if is_of(entry.what, "start", ""):
                plan = None
            elif is_of(entry.what, "plan", meter) and entry.what.detail["period_s"] == period_s:
                plan = entry.what
            is_read = entry.what == Read(meter, period_s) and entry.epoch == epoch
            if is_read and due_ns <= entry.wall_ns < due_ns + period_ns:
                return plan is None or key in reported(plan)
        raise AssertionError("there is a frame")

    def reports(self, meter: str, epoch: int, start_ns: int, end_ns: int) -> set[str]:
        """Return what plans that were in force at some time of an interval report, of those that say so."""
        begin, offset = self.begins[epoch]
        following = self.begins.get(epoch + 1)
        first = max(start_ns - offset, begin)
        until = end_ns - offset if following is None else min(end_ns - offset, following[0])
        found, open_plans = set[str](), dict[object, tuple[int, Event]]()

        def end(period_s: object, at: int) -> None:
            since, plan = open_plans.pop(period_s, (at, None))
            if plan is not None and since < at and since < until and at > first and "reports" in plan.detail:
                found.update(reported(plan))

        for entry in self.entries:
            if is_of(entry.what, "start", ""):
                for period_s in list(open_plans):
                    end(period_s, entry.at)
            elif is_of(entry.what, "plan", meter):
                end(entry.what.detail["period_s"], entry.at)
                open_plans[entry.what.detail["period_s"]] = entry.at, entry.what
        for period_s in list(open_plans):
            end(period_s, 1 << 62)
        return found

    def reason(self, meter: str, period_s: float, due_ns: int, at: int, plan: Event, key: str) -> str:
        if not plan.detail["enabled"]:
            return "config_off"
        asked = meter, period_s, at, key
        if asked not in self.reasons:
            self.reasons[asked] = self.enabled_reason(meter, period_s, due_ns, at, plan, key)
        return self.reasons[asked]

    def enabled_reason(self, meter: str, period_s: float, due_ns: int, at: int, plan: Event, key: str) -> str:
        link = str(plan.detail["link"])
        return (
            self.declared(meter, link, due_ns, at)
            or self.lost(due_ns, round(period_s * NS), at)
            or self.open_at(meter, link, period_s, at, due_ns, key)
            or self.told_after(meter, link, period_s, at, key)
            or self.untold(period_s, at)
        )

    def declared(self, meter: str, link: str, due_ns: int, at: int) -> str:
        until: dict[str, int] = {}
        away: set[str] = set()
        for entry in self.until(at):
            event = entry.what
            if is_of(event, "maintenance_begin", ""):
                until[event.subject] = int(str(event.detail["until_ns"]))
                (away.add if event.detail.get("removed") else away.discard)(event.subject)
            elif is_of(event, "maintenance_end", ""):
                if event.subject == "gateway":
                    until.clear()
                until.pop(event.subject, None)
        if meter in away and due_ns < until.get(meter, 0):
            return "removed_for_verification"
        return "maintenance" if due_ns < max(until.get(meter, 0), until.get(link, 0)) else ""

    def lost(self, due_ns: int, period_ns: int, at: int) -> str:
        for entry in self.entries:
            gap = entry.what
            if isinstance(gap, Gap) and at <= entry.at and gap.first_ns - period_ns < due_ns <= gap.last_ns:
                return "journal_dropped"
        return ""

    def open_at(self, meter: str, link: str, period_s: float, at: int, due_ns: int, key: str) -> str:
        gateway, link_is, meter_is, off, absent = "", "down", "on", "", False
        last_start = -1
        for entry in self.until(at):
            event = entry.what
            if event in (Read(meter, 5.0), Read(meter, 10.0)) and meter_is == "waited for":
                meter_is = "on"
            if not isinstance(event, Event):
                continue
            kind, reason = event.kind, str(event.detail.get("reason", ""))
            if kind == "start":
                last_start = entry.at if gateway == "down" else -1
                gateway, link_is, meter_is, off, absent = "up", "down", "on", "", False
            elif kind in {"stop", "kill"}:
                gateway = "down"
            elif kind == "crash" and event.subject == f"link {link}":
                link_is = "crashed"
            elif kind == "link_up" and event.subject == link:
                link_is, meter_is = "up", "off" if meter_is == "off" else "waited for"
            elif kind == "link_down" and event.subject == link and link_is != "crashed":
                link_is = "up" if reason == "silent" else "down"
            elif event.subject == meter:
                meter_is = {"meter_off": "off", "meter_on": "on"}.get(kind, meter_is)
                if kind in {"channels_off", "channels_on"} and event.detail["period_s"] == period_s:
                    off = reason if kind == "channels_off" else ""
                if kind in {"channel_absent", "channel_found"} and key in names(event):
                    absent = kind == "channel_absent"
        if gateway == "down" or last_start == at or link_is == "crashed":
            return "gateway_down"
        if link_is == "down" or self.is_overrun(meter, period_s, due_ns, at):
            return "link_down"
        if meter_is != "on":
            return "meter_off"
        return "rejected" if absent else OFF.get(off, "")

    def is_overrun(self, meter: str, period_s: float, due_ns: int, at: int) -> bool:
        epoch = max(epoch for epoch, (begin, _) in self.begins.items() if begin <= at)
        return any(
            is_of(entry.what, "overrun", meter)
            and entry.what.detail["period_s"] == period_s
            and entry.epoch == epoch
            and int(str(entry.what.detail["first_ns"])) <= due_ns <= int(str(entry.what.detail["last_ns"]))
            and not any(is_of(after.what, "start", "") and after.at <= at for after in self.entries[i:])
            for i, entry in enumerate(self.entries)
        )

    def told_after(self, meter: str, link: str, period_s: float, at: int, key: str) -> str:
        """Return what the first event after a due time says that tells of a failure, if no frame comes before it."""
        for entry in self.entries:
            event = entry.what
            if entry.at <= at:
                continue
            if event == Read(meter, period_s):
                return ""
            if not isinstance(event, Event):
                continue
            reason = str(event.detail.get("reason", ""))
            if event.kind in {"stop", "kill"} or (event.kind == "crash" and event.subject == f"link {link}"):
                return "gateway_down"
            if event.kind == "link_down" and event.subject == link and reason != "silent":
                return "link_down"
            if event.kind == "meter_off" and event.subject == meter:
                return "meter_off"
            if is_of(event, "channels_off", meter) and event.detail["period_s"] == period_s:
                return OFF[reason]
            if is_of(event, "channel_absent", meter) and key in names(event):
                return "rejected"
        return ""

    def untold(self, period_s: float, at: int) -> str:
        gateway = ""
        for entry in self.entries:
            if isinstance(entry.what, Event) and entry.what.kind in {"start", "stop", "kill"}:
                gateway = entry.what.kind
            if is_of(entry.what, "kill", "") and at <= entry.at <= at + 60 * NS:
                return "gateway_down"
        if any(
            begin - 2 * NS * (epoch > 0) <= at < begin + 10 * NS for epoch, (begin, _) in self.begins.items()
        ):
            return "gateway_down"
        is_recent = at >= self.at - 75 * NS - 3 * round(period_s * NS)
        return "link_down" if gateway in {"start", ""} and is_recent else "gateway_down"


def is_of(what: object, kind: str, subject: str) -> TypeGuard[Event]:
    return isinstance(what, Event) and what.kind == kind and subject in ("", what.subject)


def names(event: Event) -> list[str]:
    keys = event.detail["channels"]
    assert isinstance(keys, list)
    return keys


def reported(plan: Event) -> list[str]:
    """Return the channels whose due times count: all it reads if nobody says."""
    reports = plan.detail.get("reports")
    return names(plan) if reports is None else list(reports)  # type: ignore[call-overload]


def with_kills(entries: list[Entry]) -> list[Entry]:
    """Return the entries with a `kill` behind the last one before each start that has no stop."""
    found: list[Entry] = []
    stopped = True
    for entry in entries:
        if is_of(entry.what, "stop", ""):
            stopped = True
        elif is_of(entry.what, "start", ""):
            if not stopped:
                heard = max(i for i, one in enumerate(found) if not isinstance(one.what, Gap))
                last = found[heard]
                found.insert(heard + 1, last._replace(what=Event(last.wall_ns, "kill", "", {})))
            stopped = False
        found.append(entry)
    return found
