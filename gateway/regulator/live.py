"""How complete sites are, as their messages come. Pure: each interval counts once, in its newest revision.

Hour and day end where the newest live interval ends; how long that is ago is said beside them. Nothing is taken for due that the feed
did not call so: a site that is silent has figures that do not change, and an age that grows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from gateway.feed.contract import Birth, ClosedIntervals, EventMessage, Fitting, Summary
from gateway.model import Flag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.feed.contract import CompletenessBody, IntervalBody, Payload

HOUR_MS = 3_600_000
KEPT_MS = 26 * HOUR_MS  # a day is at most 25 hours
METERS_MAX = 2000  # of one site
KEPT_MAX = 4000  # intervals of one meter, whatever its times say
EVENTS_KEPT = 5
YEAR_MAX = 2200
COUNT_MAX = 10**9  # readings of an interval; more is no count
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Figures(NamedTuple):
    """Counts of intervals. due, known: interval values; boundaries: closing readings, of them by hand and estimated."""

    intervals: int = 0
    due: int = 0
    known: int = 0
    expected: int = 0
    received: int = 0
    good: int = 0
    boundaries: int = 0
    manual: int = 0
    estimated: int = 0
    revised: int = 0
    gaps: tuple[tuple[str, int], ...] = ()

    def body(self) -> dict[str, Any]:
        """Return it as JSON, with shares in percent; null where there is nothing to have a share of."""
        counts = {name: value for name, value in self._asdict().items() if name != "gaps"}
        return counts | {
            "gaps": dict(self.gaps),
            "percent": percent(self.known, self.due),
            "manual_percent": percent(self.manual, self.boundaries),
            "estimated_percent": percent(self.estimated, self.boundaries),
            "revised_percent": percent(self.revised, self.intervals),
        }


def percent(part: int, whole: int) -> str | None:
    """Return a share in percent, cut to two decimals; None of nothing."""
    if not whole:
        return None
    whole_part, rest = divmod(part * 10_000 // whole, 100)
    return f"{whole_part}.{rest:02d}"


class _Piece(NamedTuple):
    """One interval, newest revision."""

    rev: int
    t0_ms: int
    t1_ms: int
    figures: Figures


@dataclass
class _Meter:
    pieces: dict[tuple[int, int], _Piece] = field(default_factory=dict)  # (epoch, t0) -> piece
    newest_ms: int = 0


@dataclass
class Site:
    """One gateway's feed. name: REGION/ENTERPRISE/GATEWAY."""

    name: str
    online: bool | None = None  # None: it has not said
    seen_ms: int = 0  # when its newest message came
    newest_ms: int = 0  # end of the newest live interval
    lag_ms: int | None = None  # of it, when it came
    messages: int = 0
    late: int = 0
    repeats: int = 0
    superseded: int = 0
    day_start: timedelta = timedelta()
    zone: tzinfo = UTC
    is_zone_told: bool = False
    fitting: Fitting | None = None
    said: dict[str, tuple[str, int, CompletenessBody]] = field(default_factory=dict)
    meters: dict[str, _Meter] = field(default_factory=dict)
    expected_meters: tuple[str, ...] = ()
    events: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: int = 0  # intervals of meters beyond METERS_MAX


def take(site: Site, message: Payload, t_ms: int, *, late: bool, retain: bool) -> None:
    """Take a message into a site. late: from …/backfill. retain: from before the subscription, so it says nothing of being alive.

    Raises ValueError, TypeError where it says what cannot be; then it is not counted.
    """
    if isinstance(message, Birth):
        _settle(site, message)
    elif isinstance(message, ClosedIntervals):
        for interval in message.intervals:
            _interval(site, interval, t_ms, late=late)
    elif isinstance(message, Summary):
        _summary(site, message)
    elif isinstance(message, Fitting):
        orjson.dumps(message.result.model_dump())  # what cannot be told is not kept
        site.fitting = message
    elif isinstance(message, EventMessage):
        site.events += [(event.at, event.kind, event.subject) for event in message.events]
        del site.events[:-EVENTS_KEPT]
    site.messages += 1
    site.late += late
    if not retain:
        site.seen_ms = t_ms


def time_ms(text: str) -> int:
    """Return an ISO 8601 time of the contract in ms since 1970. Raises ValueError if it is none, or far out of our days."""
    stamp = datetime.fromisoformat(text)
    if not 1970 < stamp.year < YEAR_MAX:
        raise ValueError(f"{text} is out of our days")
    return round(stamp.timestamp() * 1000)


def _settle(site: Site, birth: Birth) -> None:
    hours, _, minutes = birth.cadence.day_start.partition(":")
    if hours.isdecimal() and minutes.isdecimal():
        site.day_start = timedelta(hours=int(hours) % 24, minutes=int(minutes) % 60)
    try:
        site.zone, site.is_zone_told = ZoneInfo(birth.timezone), True
    except (
        ValueError,
        KeyError,
        OSError,
    ):  # a zone this machine does not know: the offset of its times has to do
        site.is_zone_told = False
    site.expected_meters = tuple(meter.id for meter in birth.meters[:METERS_MAX])


def _interval(site: Site, body: IntervalBody, t_ms: int, *, late: bool) -> None:
    t0_ms, t1_ms, figures = time_ms(body.t0), time_ms(body.t1), _figures(body)
    if body.meter not in site.meters and len(site.meters) >= METERS_MAX:
        site.left_out += 1
        return
    meter = site.meters.setdefault(body.meter, _Meter())
    if not late and body.rev == 0:
        meter.newest_ms = t1_ms
        site.newest_ms, site.lag_ms = t1_ms, t_ms - t1_ms
        if not site.is_zone_told:
            site.zone = datetime.fromisoformat(body.t1).tzinfo or UTC
    identity = body.epoch, t0_ms
    known = meter.pieces.get(identity)
    if known is not None and body.rev <= known.rev:
        site.repeats += body.rev == known.rev
        site.superseded += body.rev < known.rev
        return
    meter.pieces[identity] = _Piece(body.rev, t0_ms, t1_ms, figures)
    if known is None:
        _forget(meter, site.newest_ms)


def _forget(meter: _Meter, newest_ms: int) -> None:
    """Drop what no window reaches any more, from the oldest that came, and more than KEPT_MAX in any case."""
    while len(meter.pieces) > 1:
        oldest = next(iter(meter.pieces))
        is_near = not newest_ms or abs(newest_ms - meter.pieces[oldest].t0_ms) <= KEPT_MS
        if is_near and len(meter.pieces) <= KEPT_MAX:
            return
        del meter.pieces[oldest]


def _figures(body: IntervalBody) -> Figures:
    gaps: Counter[str] = Counter()
    known = expected = received = good = boundaries = manual = estimated = 0
    for channel in body.channels.values():
        if max(channel.expected, channel.received, channel.good, *channel.gaps.values(), 0) > COUNT_MAX:
            raise ValueError(f"interval of {body.meter[:80]}: counts of readings beyond {COUNT_MAX:,}")
        known += (channel.delta if channel.kind == "counter" else channel.mean) is not None
        expected += channel.expected
        received += channel.received
        good += channel.good
        gaps.update(channel.gaps)
        if channel.closing is not None:
            boundaries += 1
            manual += channel.closing.source == "manual" or bool(channel.closing.flags & Flag.MANUAL)
            estimated += bool(channel.closing.flags & Flag.ESTIMATED)
    return Figures(
        intervals=1,
        due=len(body.channels),
        known=known,
        expected=expected,
        received=received,
        good=good,
        boundaries=boundaries,
        manual=manual,
        estimated=estimated,
        revised=int(body.rev > 0),
        gaps=tuple(gaps.items()),
    )


def _summary(site: Site, message: Summary) -> None:
    """Keep the newest of each period: the site's own word on it."""
    before = site.said.get(message.period)
    t0_ms = time_ms(message.t0)
    orjson.dumps(message.site.model_dump() | {"rev": message.rev})  # what cannot be told is not kept
    if before is None or (t0_ms, message.rev) >= (time_ms(before[0]), before[1]):
        site.said[message.period] = message.t0, message.rev, message.site


def total(figures: Iterable[Figures]) -> Figures:
    """Return the sum."""
    gaps: Counter[str] = Counter()
    columns = list(zip(*figures, strict=True))
    for told in columns[-1] if columns else ():
        gaps.update(dict(told))
    sums = [sum(column) for column in columns[:-1]] or [0] * (len(Figures._fields) - 1)
    return Figures._make([*sums, tuple(sorted(gaps.items()))])


def day_of(site: Site, time_ms: int) -> tuple[str, int]:
    """Return the date of the site's day a time lies in, and when it began; a day begins at the site's own hour."""
    stamp = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(site.zone)
    start = (stamp - site.day_start).replace(hour=0, minute=0, second=0, microsecond=0) + site.day_start
    return (stamp - site.day_start).date().isoformat(), round(start.timestamp() * 1000)


def windows(site: Site, meter: str | None = None) -> tuple[Figures, Figures]:
    """Return the figures of the hour and of the day that the newest live interval ends. meter: of this one alone."""
    if not site.newest_ms:
        return Figures(), Figures()
    end_ms = site.newest_ms
    _, from_ms = day_of(site, end_ms - 1)
    meters = site.meters.values() if meter is None else [site.meters.get(meter, _Meter())]
    pieces = [piece for one in meters for piece in one.pieces.values() if piece.t1_ms <= end_ms]
    hour = [piece.figures for piece in pieces if end_ms - HOUR_MS < piece.t1_ms]
    day = [piece.figures for piece in pieces if from_ms <= piece.t0_ms]
    return total(hour), total(day)


def body(site: Site, now_ms: int, *, meters: bool = False) -> dict[str, Any]:
    """Return a site as JSON: times ISO 8601 in UTC, ages in seconds. meters: with each of them."""
    hour, day = windows(site)
    told: dict[str, Any] = {
        "site": site.name,
        "online": site.online,
        "seen": _iso(site.seen_ms),
        "silent_s": _age(now_ms, site.seen_ms),
        "newest": _iso(site.newest_ms),
        "behind_s": _age(now_ms, site.newest_ms),
        "lag_s": None if site.lag_ms is None else round(site.lag_ms / 1000, 1),
        "messages": site.messages,
        "late": site.late,
        "repeats": site.repeats,
        "superseded": site.superseded,
        "left_out": site.left_out,
        "hour": hour.body(),
        "date": day_of(site, site.newest_ms - 1)[0] if site.newest_ms else None,
        "day": day.body(),
        "said": {
            period: {"t0": t0, "rev": rev} | one.model_dump() for period, (t0, rev, one) in site.said.items()
        },
        "fitting": None
        if site.fitting is None
        else site.fitting.model_dump(include={"ruleset", "as_of", "at", "inventory", "revision", "result"}),
        "events": [{"at": at, "kind": kind, "subject": subject} for at, kind, subject in site.events],
    }
    if meters:
        told["meters"] = [
            _meter(site, name, now_ms) for name in dict.fromkeys((*site.expected_meters, *site.meters))
        ]
    return told


def _meter(site: Site, name: str, now_ms: int) -> dict[str, Any]:
    hour, day = windows(site, name)
    newest_ms = site.meters[name].newest_ms if name in site.meters else 0
    return {
        "meter": name,
        "newest": _iso(newest_ms),
        "behind_s": _age(now_ms, newest_ms),
        "hour": hour.body(),
        "day": day.body(),
    }


def _iso(time_ms: int) -> str | None:
    if not time_ms:
        return None
    stamp = _EPOCH + timedelta(milliseconds=time_ms)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _age(now_ms: int, then_ms: int) -> float | None:
    return round((now_ms - then_ms) / 1000, 1) if then_ms else None
